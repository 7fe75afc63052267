"""Archives that lie: bounded, refused in one line, nothing left behind."""

import gzip
import io
import json
import os
import pathlib
import tarfile
from typing import Any

import pytest

from boxship.config import Paths
from boxship.engine import images as engine
from boxship.engine.store import Store
from boxship.errors import BoxshipError
from boxship.oci import digest as digests
from boxship.state.db import connect
from tests.conformance.layer_tools import archive

LAYER = archive([{"type": "file", "name": "hello", "content": "x"}])
CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digests.of(LAYER)]}}
).encode()


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    return Store(paths, connect(paths))


def pack(files: dict[str, Any]) -> bytes:
    """bytes: a file; a text: a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def manifest(**fields: Any) -> bytes:
    return json.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"], **fields}]).encode()


def good(**changes: Any) -> dict[str, Any]:
    return {"config.json": CONFIG, "l/layer.tar": LAYER, "manifest.json": manifest(), **changes}


def check_nothing_left(store: Store) -> None:
    assert engine.list_images(store) == []
    assert os.listdir(store.paths.tmp) == [] and os.listdir(store.paths.layers) == []


def test_the_good_one_loads(store: Store) -> None:
    assert engine.load(store, io.BytesIO(pack(good()))) == ["Loaded image: x:1"]
    # as Docker before 1.10's layout had it: one layer file, other names link to it
    linked = good(**{"l/layer.tar": "../other/layer.tar", "other/layer.tar": LAYER})
    assert engine.load(store, io.BytesIO(pack(linked))) == ["Loaded image: x:1"]


def oci(entry: dict[str, Any], **blobs: bytes) -> bytes:
    files: dict[str, Any] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    for name, data in blobs.items():
        files[f"blobs/sha256/{name}"] = data
    return pack(files)


HOSTILE = {
    "empty": b"",
    "no archive": b"hello" * 1000,
    "no manifest": pack({"a": b"b"}),
    "only old files": pack({"repositories": b"{}"}),
    "manifest is no list": pack(good(**{"manifest.json": b"{}"})),
    "manifest is noise": pack(good(**{"manifest.json": b"\xff\xfe"})),
    "manifest is deep": pack(good(**{"manifest.json": b"[" * 100_000})),
    "config climbs out": pack(good(**{"manifest.json": manifest(Config="../../../../etc/passwd")})),
    "config is absolute": pack(good(**{"manifest.json": manifest(Config="/etc/passwd")})),
    "config is a link out": pack(good(**{"config.json": "/etc/passwd"})),
    "config is a link that climbs": pack(good(**{"config.json": "../../etc/passwd"})),
    "links in a circle": pack(good(**{"config.json": "b", "b": "config.json"})),
    "layer climbs out": pack(good(**{"manifest.json": manifest(Layers=["../../etc/passwd"])})),
    "layer is a link out": pack(good(**{"l/layer.tar": "../../../../../etc/passwd"})),
    "layer is missing": pack(good(**{"manifest.json": manifest(Layers=["absent"])})),
    "fewer layers": pack(good(**{"manifest.json": manifest(Layers=[])})),
    "layers are numbers": pack(good(**{"manifest.json": manifest(Layers=[1])})),
    "tag is no name": pack(good(**{"manifest.json": manifest(RepoTags=["../../x"])})),
    "other layer than the config says": pack(good(**{"l/layer.tar": archive([{"type": "file", "name": "evil"}])})),
    "layer is no tar": pack(good(**{"l/layer.tar": b"x" * 5000})),
    "cut": pack(good())[:3000],
    "cut gzip": gzip.compress(pack(good()))[:-20],
    "oci: no blobs": oci({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}),
    "oci: blob is another": oci(
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}, **{"0" * 64: b"{}"}
    ),
    "oci: digest is a path": oci(
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../x", "size": 2}
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_archives(data: bytes, store: Store) -> None:
    with pytest.raises(BoxshipError):
        engine.load(store, io.BytesIO(data))
    check_nothing_left(store)


def test_ten_gigabytes_of_manifest(store: Store, tmp_path: pathlib.Path) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.size = 10 << 30
    with open(tmp_path / "big.tar", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + info.size + 1024)
    with (
        open(tmp_path / "big.tar", "rb") as file,
        pytest.raises(BoxshipError, match="manifest.json in the image archive is larger than"),
    ):
        engine.load(store, file)
    check_nothing_left(store)


def test_a_bomb_as_layer_of_an_import(store: Store) -> None:
    zeros = gzip.compress(bytes(1 << 24), 9)
    with pytest.raises(BoxshipError, match="grows more than|too much data after the end|archive"):
        engine.import_image(store, io.BytesIO(zeros * 100))
    check_nothing_left(store)


@pytest.mark.parametrize("change", ["RUN true", "FROM x", "NONSENSE x", "EXPOSE notaport"])
def test_import_refuses_bad_changes(change: str, store: Store) -> None:
    with pytest.raises(BoxshipError):
        engine.import_image(store, io.BytesIO(LAYER), "x:1", "", [change])
    check_nothing_left(store)
