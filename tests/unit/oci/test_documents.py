"""Descriptors, manifests and configs against the tables, the schemas, and hostile input."""

import json

import pytest

from boxship.errors import InvalidArgument, Unsupported
from boxship.oci import config, descriptor, digest, manifest
from boxship.oci.descriptor import Descriptor
from boxship.oci.manifest import Index, Manifest, parse_manifest
from boxship.oci.platform import Platform
from tests.tables import DATA, rows

SHA = "sha256:" + "ab" * 32
OCI_CONFIG = Descriptor(descriptor.OCI_CONFIG, SHA, 10)
OCI_LAYER = Descriptor(descriptor.OCI_LAYER_GZIP, SHA, 20)


@pytest.mark.parametrize("row", rows("distribution/media_type"))
def test_media_type(row):
    want = row["expect"]
    if "media_type" in row:
        found = {
            "distributable": descriptor.is_distributable(row["media_type"]),
            "image": row["media_type"] in descriptor.MANIFESTS,
            "index": row["media_type"] in descriptor.INDEXES,
        }
        assert {key: found[key] for key in want} == want
        return
    raw = json.loads(row["document"])
    served = row.get("served_as")

    def look():
        return manifest.agree(raw, served) if served else manifest.detect(raw)

    if "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            look()
        assert want["error"] in caught.value.message
    else:
        found = look()
        assert found == want.get("detected", found)


_OURS = {
    "manifest:5": "an image without layers is taken, as Docker does: FROM scratch with labels alone",
    "image-layout.md:6": "the layout marker is read by images",
}


@pytest.mark.parametrize("row", rows("oci/image_spec_examples", **_OURS))
def test_image_spec_examples(row):
    data = row["document"].encode()
    readers = {
        "descriptor": lambda: Descriptor.from_dict(json.loads(data)),
        "manifest": lambda: parse_manifest(data),
        "index": lambda: parse_manifest(data),
        "config": lambda: config.parse_config(data),
    }
    if row["expect"].get("valid", True):
        readers[row["kind"]]()
    else:
        with pytest.raises(InvalidArgument):
            readers[row["kind"]]()
    if "digest" in row["expect"]:
        assert digest.of(data) == row["expect"]["digest"]


def _validate(name, document):
    jsonschema = pytest.importorskip("jsonschema")
    folder = DATA / "files" / "image-spec"
    if not folder.exists():
        pytest.skip(f"the schemas are absent: {folder}")
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    # without their ids the schemas find each other by file name
    def plain(raw):
        return {key: value for key, value in raw.items() if key != "id" or not isinstance(value, str)}

    files = [path for path in folder.glob("*.json") if path.name != "index.json"]
    schemas = {path.name: json.loads(path.read_text(), object_hook=plain) for path in files}
    registry = Registry().with_resources(
        (file, Resource.from_contents(text, default_specification=DRAFT4)) for file, text in schemas.items()
    )
    schema = schemas[f"{name}-schema.json"]
    jsonschema.Draft4Validator(schema, registry=registry).validate(document)


def test_built_manifest_follows_the_schema():
    data = manifest.build_manifest(OCI_CONFIG, [OCI_LAYER], annotations={"a": "b"})
    _validate("image-manifest", json.loads(data))
    got = parse_manifest(data, descriptor.OCI_MANIFEST)
    assert isinstance(got, Manifest)
    assert (got.config, got.layers, got.annotations, got.flavour) == (OCI_CONFIG, (OCI_LAYER,), {"a": "b"}, "oci")


def test_built_index_follows_the_schema():
    entry = Descriptor(descriptor.OCI_MANIFEST, SHA, 30, platform=Platform("linux", "arm64", "v8"))
    data = manifest.build_index([entry])
    _validate("image-index", json.loads(data))
    got = parse_manifest(data, descriptor.OCI_INDEX)
    assert isinstance(got, Index)
    assert got.manifests == (entry,)


def test_docker_flavour():
    data = manifest.build_manifest(
        Descriptor(descriptor.DOCKER_CONFIG, SHA, 10), [Descriptor(descriptor.DOCKER_LAYER_GZIP, SHA, 20)], "docker"
    )
    assert data.startswith(b'{\n   "schemaVersion": 2,\n   "mediaType": "application/vnd.docker.distribution.manifest.v2+json"')
    assert parse_manifest(data, descriptor.DOCKER_MANIFEST).flavour == "docker"
    listed = manifest.build_index([], "docker")
    assert parse_manifest(listed).media_type == descriptor.DOCKER_LIST
    with pytest.raises(InvalidArgument, match="annotations need an OCI manifest"):
        manifest.build_manifest(OCI_CONFIG, [], "docker", {"a": "b"})


def test_layer_types():
    assert descriptor.layer_type("gzip", "oci") == descriptor.OCI_LAYER_GZIP
    assert descriptor.COMPRESSION[descriptor.layer_type("zstd", "docker")] == "zstd"
    with pytest.raises(InvalidArgument, match="xz"):
        descriptor.layer_type("xz", "oci")


@pytest.mark.parametrize(
    "raw",
    [
        {"schemaVersion": 1, "fsLayers": [{"blobSum": SHA}], "name": "x"},
        {"schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+json"},
    ],
)
def test_schema1_is_refused_clearly(raw):
    with pytest.raises(Unsupported, match="Docker schema 1") as caught:
        parse_manifest(json.dumps(raw).encode())
    assert caught.value.hint
    with pytest.raises(Unsupported):
        parse_manifest(b"junk", descriptor.DOCKER_SCHEMA1_SIGNED)


def _with(**changes):
    raw = json.loads(manifest.build_manifest(OCI_CONFIG, [OCI_LAYER]))
    raw.update(changes)
    return json.dumps(raw).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100000,
        b'{"schemaVersion": 2, "config": ' * 20000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": NaN}',
        b" " * (manifest.MANIFEST_MAX + 1),
        _with(manifests=[]),
        _with(mediaType=descriptor.OCI_INDEX),
        _with(mediaType=7),
        _with(config=None),
        _with(config=[]),
        _with(layers={}),
        _with(layers=["x"]),
        _with(layers=[OCI_LAYER.to_dict()] * 5000),
        _with(layers=[{**OCI_LAYER.to_dict(), "size": 1 << 63}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "size": True}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "size": 1.5}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "digest": "../../etc/passwd"}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "digest": "sha256:" + "a" * 63}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "urls": "x"}]),
        _with(layers=[{**OCI_LAYER.to_dict(), "platform": []}]),
        _with(annotations={"a": 1}),
        _with(schemaVersion=True),
        _with(schemaVersion=3),
        _with(subject="x"),
    ],
    ids=range(28),
)
def test_hostile_manifests(data):
    with pytest.raises((InvalidArgument, Unsupported)) as caught:
        parse_manifest(data)
    assert len(caught.value.message) < 500


def test_embedded_data_must_match():
    good = {"mediaType": "text/plain", "digest": digest.of(b"{}"), "size": 2, "data": "e30="}
    assert Descriptor.from_dict(good).data == b"{}"
    for change in ({"size": 3}, {"digest": SHA}, {"data": "YWI="}):
        with pytest.raises(InvalidArgument, match="does not match"):
            Descriptor.from_dict({**good, **change})


GOOD = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [SHA]}}


def test_config_is_kept_as_it_is():
    raw = {**GOOD, "config": {"Env": None, "Volumes": {"/a": {}}, "Cmd": ["x"]}, "x-unknown": [1]}
    assert config.parse_config(json.dumps(raw).encode()) == raw
    assert config.diff_ids(raw) == [SHA]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"os": None}, "os is not a string"),
        ({"architecture": 1}, "architecture"),
        ({"rootfs": None}, "rootfs"),
        ({"rootfs": {"type": "x", "diff_ids": []}}, "type"),
        ({"rootfs": {"type": "layers", "diff_ids": ["../../x"]}}, "diff_ids"),
        ({"rootfs": {"type": "layers", "diff_ids": [SHA] * 5000}}, "layers"),
        ({"config": []}, "config"),
        ({"config": {"Env": {}}}, "Env"),
        ({"config": {"Env": [1]}}, "Env"),
        ({"config": {"Env": ["A=b\0c"]}}, "Env"),
        ({"config": {"User": 0}}, "User"),
        ({"config": {"WorkingDir": "/a\0b"}}, "WorkingDir"),
        ({"config": {"Volumes": ["/a"]}}, "Volumes"),
        ({"config": {"Volumes": {"/a\0b": {}}}}, "Volumes"),
        ({"config": {"ExposedPorts": {"80/tcp": 1}}}, "ExposedPorts"),
        ({"config": {"Labels": {"a": None}}}, "Labels"),
        ({"config": {"Healthcheck": {"Interval": "1s"}}}, "Interval"),
        ({"config": {"StopTimeout": -1}}, "StopTimeout"),
        ({"history": {}}, "history"),
        ({"history": [{"empty_layer": "yes"}]}, "empty_layer"),
        ({"created": 5}, "created"),
    ],
)
def test_hostile_configs(change, words):
    with pytest.raises(InvalidArgument, match="invalid image config") as caught:
        config.parse_config(json.dumps({**GOOD, **change}).encode())
    assert words in caught.value.message


def test_chain_ids():
    a, b, c = (digest.of(text) for text in (b"a", b"b", b"c"))
    ab = digest.of(f"{a} {b}".encode())
    assert config.chain_ids([a, b, c]) == [a, ab, digest.of(f"{ab} {c}".encode())]
    assert config.chain_ids([]) == []


def test_history():
    entry = config.history_entry("2026-01-01T00:00:00Z", "RUN x", comment="buildkit")
    assert entry == {"created": "2026-01-01T00:00:00Z", "created_by": "RUN x", "comment": "buildkit"}
    empty = config.history_entry("2026-01-01T00:00:00Z", "ENV a=b", empty_layer=True)
    image = {**GOOD, "history": [entry, empty]}
    assert config.pair_history(image) == [(entry, 0), (empty, None)]
    assert config.pair_history(GOOD) == [({}, 0)]
    with pytest.raises(InvalidArgument, match="history has more layers"):
        config.pair_history({**GOOD, "history": [entry, entry]})
