"""Images between Boxship, docker and podman: pushed, pulled, saved, loaded and run, either way; and what other tools say of them.

Each engine builds the same Dockerfile (interop_image). What an image is, is what its own program prints, the tree that a container
sees, and its configuration: these must be the same wherever it was brought.
"""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests import registry as registries
from tests.conformance import interop_image, peers

pytestmark = [pytest.mark.root, pytest.mark.slow]

PEERS = ("docker", "podman")
WAYS = [("boxship", "docker"), ("boxship", "podman"), ("docker", "boxship"), ("podman", "boxship")]
_IDS = ["-to-".join(way) for way in WAYS]
_START = {"boxship": peers.boxship, "docker": peers.docker, "podman": peers.podman}


class House:
    """The engines, each started when it is first asked for, and the image that each one built of the Dockerfile."""

    def __init__(self, stack: contextlib.ExitStack, served: registries.Registry, folder: pathlib.Path) -> None:
        self.stack = stack
        self.served = served
        self.base = f"{served.host}/library/busybox:latest"
        self.folder = folder
        self.context = interop_image.write(folder / "context")
        self.engines: dict[str, peers.Engine | pytest.skip.Exception] = {}
        self.built: dict[str, str] = {}
        self.known: dict[tuple[str, str], peers.Facts] = {}

    def engine(self, name: str) -> peers.Engine:
        if name not in self.engines:
            try:
                self.engines[name] = self.stack.enter_context(_START[name]())
            except pytest.skip.Exception as reason:
                self.engines[name] = reason
        found = self.engines[name]
        if isinstance(found, pytest.skip.Exception):
            raise found
        return found

    def image(self, maker: str) -> str:
        """The name of the image that this engine built; it says where to push it."""
        engine = self.engine(maker)
        if maker not in self.built:
            name = f"{self.served.host}/interop/{maker}:1"
            engine.pull(self.base)
            engine.build(self.context, name, "--build-arg", f"BASE={self.base}")
            self.built[maker] = name
        return self.built[maker]

    def facts(self, engine: str, image: str) -> "peers.Facts":
        """What `engine` makes of the image, looked at once."""
        key = (engine, self.engine(engine).image_id(image))
        if key not in self.known:
            self.known[key] = self.engine(engine).facts(image, interop_image.REPORT_CODE)
        return self.known[key]

    def same(self, maker: str, taker: str) -> None:
        """The image that `maker` built is the same in both, and it is then removed from the taker."""
        image = self.image(maker)
        want = self.facts(maker, image)
        got = self.engine(taker).facts(image, interop_image.REPORT_CODE)
        assert got.image_id == want.image_id
        assert got.output == want.output
        assert difference(got.files, want.files) == {}
        assert got.config == want.config
        if "podman" not in (maker, taker):  # podman counts in another way
            assert got.size == want.size
        self.engine(taker)("rmi", image)


def difference(got: dict[str, peers.File], want: dict[str, peers.File]) -> dict[str, Any]:
    return {path: (got.get(path), want.get(path)) for path in got.keys() | want.keys() if got.get(path) != want.get(path)}


@pytest.fixture(scope="module")
def house(registry: registries.Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("interop")
        (folder / "context").mkdir()
        yield House(stack, registry, folder)


def run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


# - the same Dockerfile --------------------------------------------------------------------------------------------------


def test_build_gives_what_the_dockerfile_says(house: House) -> None:
    """What the others are compared with below is not empty."""
    facts = house.facts("boxship", house.image("boxship"))
    said = {key: facts.config[key] for key in interop_image.config()}
    assert said == interop_image.config()
    assert facts.output[:5] == [
        "arguments: 2",
        "[one]",
        "[two words]",
        "uid=1234(app) gid=50(staff) groups=50(staff)",
        "/srv/work/place",
    ]
    files = facts.files
    assert [path for path in files if path.startswith("srv/hidden")] == ["srv/hidden", "srv/hidden/new"]
    assert not {"srv/gone", "srv/deep", "srv/two", "srv/moved"} & files.keys()
    assert (files["srv/becomes-dir"].kind, files["srv/becomes-link"].kind) == ("d", "l")
    assert files["srv/capable"].same_as == ("srv/capable-again",)
    assert dict(files["srv/capable"].xattrs)["security.capability"][4:8] == b"\0\x20\0\0"
    assert dict(files["srv/noted"].xattrs)["user.note"] == "grüße".encode()
    assert (files["srv/suid"].mode, files["srv/sgid"].mode, files["srv/sticky"].mode) == ("0o4755", "0o2711", "0o1777")
    assert files["srv/one"].mtime == interop_image.TIME


@pytest.mark.parametrize("peer", PEERS)
def test_the_same_dockerfile_gives_the_same_image(house: House, peer: str) -> None:
    """Beside times, and attributes that docker's classic builder and podman leave out of the layers they commit."""

    def timeless(files: dict[str, peers.File]) -> dict[str, object]:
        return {path: (one.kind, one.mode, one.owner, one.content, one.device, one.same_as) for path, one in files.items()}

    ours = house.facts("boxship", house.image("boxship"))
    theirs = house.facts(peer, house.image(peer))
    assert theirs.output == ours.output
    assert timeless(theirs.files) == timeless(ours.files)
    assert theirs.config == ours.config
    assert theirs.files["srv/capable"] == ours.files["srv/capable"]


# - registry -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("maker", "taker"), WAYS, ids=_IDS)
def test_pushed_and_pulled(house: House, maker: str, taker: str) -> None:
    image = house.image(maker)
    house.engine(taker)
    house.engine(maker).push(image)
    house.engine(taker).pull(image)
    house.same(maker, taker)


@pytest.mark.parametrize("flags", [("--format", "oci"), ("--format", "oci", "--compression-format", "zstd")], ids=["oci", "zstd"])
def test_podman_pushes_other_forms(house: House, flags: tuple[str, ...]) -> None:
    """OCI manifests and layers packed by zstd: another digest, another ID where the config is written anew, the same layers."""
    image, ours = house.image("podman"), house.engine("boxship")
    other = image.replace(":1", f":{flags[-1]}")
    house.engine("podman")("tag", image, other)
    house.engine("podman").push(other, *flags)
    ours.pull(other)
    want, got = house.facts("podman", image), ours.facts(other, interop_image.REPORT_CODE)
    assert (got.layers, got.output, difference(got.files, want.files)) == (want.layers, want.output, {})
    ours("rmi", other)


def test_what_docker_built_leaves_boxship_as_it_came(house: House) -> None:
    """Pulled, pushed under another name, saved: the layers' own bytes, so the digests are those that docker gave."""
    image, ours = house.image("docker"), house.engine("boxship")
    house.engine("docker").push(image)
    ours.pull(image)
    again = image.replace("interop/docker", "interop/again")
    ours("tag", image, again)
    told = ours.push(again)  # the base's layer may be in another repository still
    digest = house.engine("docker").inspect(image)["RepoDigests"][0].rpartition("@")[2]
    assert f"digest: {digest}" in told and len(re.findall(r"Mounted from (interop|library)/", told)) == len(
        ours.inspect(image)["RootFS"]["Layers"]
    )
    archive = house.folder / "through.tar"
    ours("save", "-o", str(archive), image)
    podman = house.engine("podman")
    podman("load", "-i", str(archive))
    house.same("docker", "podman")
    ours("rmi", "-f", image, again)


def test_push_says_where_to_once(house: House) -> None:
    image, ours = house.image("boxship"), house.engine("boxship")
    target = image.replace("interop/boxship:1", "interop/said")
    ours("tag", image, target)
    lines = ours.push(target).splitlines()
    assert lines[:2] == ["Using default tag: latest", f"The push refers to repository [{target}]"]
    assert lines.count(lines[1]) == 1
    assert re.fullmatch(r"latest: digest: sha256:[0-9a-f]{64} size: \d+", lines[-1])
    assert ours.push(target, "-q") == f"{target}:latest\n"
    absent = ours.fails("push", f"{house.served.host}/interop/absent:1")
    assert absent.stdout == f"The push refers to repository [{house.served.host}/interop/absent]\n"
    assert f"An image does not exist locally with the tag: {house.served.host}/interop/absent\n" in absent.stderr
    ours("rmi", target)


# - archives -------------------------------------------------------------------------------------------------------------

_ARCHIVES = [
    ("boxship", "docker", ()),
    ("boxship", "podman", ()),
    ("docker", "boxship", ()),
    ("podman", "boxship", ("--format", "docker-archive")),
    ("podman", "boxship", ("--format", "oci-archive")),
]
_ARCHIVE_IDS = ["-".join([maker, "to", taker, *flags[1:]]) for maker, taker, flags in _ARCHIVES]


@pytest.mark.parametrize(("maker", "taker", "flags"), _ARCHIVES, ids=_ARCHIVE_IDS)
def test_saved_and_loaded(house: House, maker: str, taker: str, flags: tuple[str, ...]) -> None:
    image = house.image(maker)
    archive = house.folder / "saved.tar"
    archive.unlink(missing_ok=True)
    house.engine(maker)("save", *flags, "-o", str(archive), image)
    told = house.engine(taker)("load", "-i", str(archive))
    assert told == f"Loaded image: {image}\n"
    if "oci-archive" in flags:
        _same_layers(house, image)
    else:
        house.same(maker, taker)


def _same_layers(house: House, image: str) -> None:
    """podman writes the config anew for an OCI archive, so the ID is another one."""
    ours = house.engine("boxship")
    want, got = house.facts("podman", image), ours.facts(image, interop_image.REPORT_CODE)
    assert (got.layers, got.output, difference(got.files, want.files)) == (want.layers, want.output, {})
    ours("rmi", image)


_TWICE = """\
ARG BASE=busybox
FROM ${BASE} AS first
RUN echo one > /one
FROM first
COPY same /same
RUN rm /same
COPY same /same
"""


@pytest.mark.parametrize(("maker", "taker"), WAYS, ids=_IDS)
def test_several_images_and_names_in_one_archive(house: House, tmp_path: pathlib.Path, maker: str, taker: str) -> None:
    """Layers that two images share, one that comes twice (docker's archive has a link for it), and two names of one image."""
    (tmp_path / "Dockerfile").write_text(_TWICE)
    (tmp_path / "same").write_text("same\n")
    # podman's own names without a registry begin with localhost/
    names = [f"localhost/{maker}-interop/{name}" for name in ("one:1", "two:2", "two:again")]
    one, two, three = names
    made, taking = house.engine(maker), house.engine(taker)
    house.image(maker)  # the base is there
    made.build(tmp_path, one, "--build-arg", f"BASE={house.base}", "--target", "first")
    made.build(tmp_path, two, "--build-arg", f"BASE={house.base}")
    made("tag", two, three)
    several = ("-m",) if maker == "podman" else ()
    made("save", *several, "-o", str(tmp_path / "saved.tar"), one, two, three)
    told = taking("load", "-i", str(tmp_path / "saved.tar"))
    for name in names:
        assert name in told
        assert taking.image_id(name) == made.image_id(name)
    assert taking("run", "--rm", *taking.run_flags, two, "cat", "/one", "/same") == "one\nsame\n"
    for engine in (taking, made):
        engine("rmi", *names)


# - other tools ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(house: House) -> pathlib.Path:
    """The image as `boxship save` writes it."""
    path = house.folder / "boxship.tar"
    house.engine("boxship")("save", "-o", str(path), house.image("boxship"))
    return path


@pytest.fixture(scope="module")
def layout(house: House, archive: pathlib.Path) -> pathlib.Path:
    """The same unpacked: an OCI image layout."""
    folder = house.folder / "layout"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci", "docker"])
def test_skopeo_inspects_and_copies(
    house: House, archive: pathlib.Path, layout: pathlib.Path, tmp_path: pathlib.Path, form: str
) -> None:
    peers.need("skopeo")
    image, ours = house.image("boxship"), house.engine("boxship")
    source = {"docker-archive": f"docker-archive:{archive}", "oci-archive": f"oci-archive:{archive}", "oci": f"oci:{layout}"}.get(
        form
    )
    if source is None:
        ours.push(image)
        source = f"docker://{image}"
    plain = ("--tls-verify=false",) if form == "docker" else ()
    want = ours.inspect(image)
    config = json.loads(run("skopeo", "inspect", *plain, "--config", source))
    assert config["rootfs"]["diff_ids"] == want["RootFS"]["Layers"]
    assert peers.comparable(config["config"]) == peers.comparable(want["Config"])
    copied = tmp_path / "copied.tar"
    more = ("--src-tls-verify=false",) if plain else ()
    run("skopeo", "copy", *more, source, f"docker-archive:{copied}:interop/copied:1")
    assert ours("load", "-i", str(copied)) == "Loaded image: interop/copied:1\n"
    assert ours.image_id("interop/copied:1") == want["Id"]
    ours("rmi", "interop/copied:1")
    run("skopeo", "copy", *more, source, f"oci-archive:{copied}.oci:interop/copied:2")
    assert ours("load", "-i", f"{copied}.oci") == "Loaded image: interop/copied:2\n"
    assert ours.inspect("interop/copied:2")["RootFS"] == want["RootFS"]
    ours("rmi", "interop/copied:2")


def _ours(house: House) -> dict[str, peers.File]:
    return house.facts("boxship", house.image("boxship")).files


def test_umoci_unpacks_the_layout(house: House, layout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    peers.need("umoci")
    run("umoci", "unpack", "--image", f"{layout}:1", str(tmp_path / "bundle"))
    assert difference(peers.tree(tmp_path / "bundle/rootfs"), _ours(house)) == {}
    process = json.loads((tmp_path / "bundle/config.json").read_text())["process"]
    assert process["args"] == ["/bin/sh", "/opt/report", "one", "two words"]
    assert (process["cwd"], process["user"]["uid"], process["user"]["gid"]) == ("/srv/work/place", 1234, 50)
    assert "GREETING=hello world" in process["env"]


def test_umoci_image_is_loaded(house: House, layout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A layer that umoci made on top of ours."""
    peers.need("umoci")
    own = tmp_path / "own"
    shutil.copytree(layout, own)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/file").write_text("more\n")
    run("umoci", "insert", "--image", f"{own}:1", "--rootless", str(tmp_path / "more"), "/srv/more")
    run("umoci", "insert", "--image", f"{own}:1", "--whiteout", "/srv/secret")
    run("umoci", "config", "--image", f"{own}:1", "--tag", "2", "--config.cmd", "three")
    index = json.loads((own / "index.json").read_text())
    for entry in index["manifests"]:  # umoci keeps the name that Boxship gave the image, for both
        entry["annotations"].pop("io.containerd.image.name")
    (own / "index.json").write_text(json.dumps(index))
    with tarfile.open(tmp_path / "own.tar", "w") as tar:
        for name in ("blobs", "index.json", "oci-layout"):
            tar.add(own / name, name)
    ours = house.engine("boxship")
    told = ours("load", "-i", str(tmp_path / "own.tar"))
    ids = re.findall(r"Loaded image ID: (\S+)", told)
    assert len(ids) == 2, told
    ours("tag", ids[1], "interop/umoci:2")
    facts = ours.facts("interop/umoci:2", interop_image.REPORT_CODE)
    want = house.facts("boxship", house.image("boxship")).files
    changed = {path for path, (got, _) in difference(facts.files, want).items() if got is None or got.kind != "d"}
    assert changed == {"srv/more/file", "srv/secret"}
    assert facts.output[:2] == ["arguments: 1", "[three]"]
    ours("rmi", "-f", *ids)


def test_oci_image_tool_accepts_the_layout(house: House, layout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    peers.need("oci-image-tool")
    told = run("oci-image-tool", "validate", "--type", "image", "--ref", "name=1", str(layout))
    assert "OK" in told
    index = json.loads((layout / "index.json").read_text())
    manifest = layout / "blobs/sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    config = layout / "blobs/sha256" / json.loads(manifest.read_text())["config"]["digest"].removeprefix("sha256:")
    for kind, path in (("imageIndex", layout / "index.json"), ("manifest", manifest), ("config", config)):
        run("oci-image-tool", "validate", "--type", kind, str(path))
    (tmp_path / "tree").mkdir()
    run("oci-image-tool", "unpack", "--ref", "name=1", str(layout), str(tmp_path / "tree"))
    # the tool makes no devices, sets no times or attributes, and this version of it does not know opaque directories
    got = {path: (one.kind, one.content) for path, one in peers.tree(tmp_path / "tree").items()}
    want = {path: (one.kind, one.content) for path, one in _ours(house).items() if one.kind in "-dl"}
    assert {path for path in got.keys() ^ want.keys() if not path.startswith("srv/hidden/")} == set()
    assert {path: one for path, one in got.items() if path in want and one != want[path]} == {}
