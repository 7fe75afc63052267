"""Save, load and import, with skopeo, podman and a private dockerd on the other side."""

import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator

import pytest

from boxship.engine import images as engine
from boxship.engine.store import Store
from boxship.errors import BoxshipError
from boxship.images import store as images
from boxship.oci import reference as references
from boxship.state import images as image_rows
from tests.runtime.images_tools import need, new_store, run
from tests.runtime.test_images_registry import build, tree

pytestmark = pytest.mark.root

NAME = "docker.io/library/archive-test:1"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


def saved(store: Store, *names: str) -> bytes:
    out = io.BytesIO()
    engine.save(store, names, out)
    return out.getvalue()


def test_save_is_the_same_every_time_and_loads_again(store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    data = saved(store, "archive-test:1")
    assert data == saved(store, "archive-test:1")
    names = tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert names[-4:] == ["index.json", "manifest.json", "oci-layout", "repositories"]
    other = new_store(tmp_path, "other")
    assert engine.load(other, io.BytesIO(data)) == ["Loaded image: archive-test:1"]
    assert tree(other, image_id) == tree(store, image_id)
    assert saved(other, "archive-test:1") == data
    # nothing of a layer that diff can make again is kept
    kept = os.listdir(f"{other.paths.content}/sha256")
    assert len(kept) == 2
    assert engine.load(other, io.BytesIO(gzip.compress(data))) == ["Loaded image: archive-test:1"]


def test_save_by_id_and_all_tags(store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    engine.tag(store, "archive-test:1", "archive-test:2")
    assert json.loads(_member(saved(store, image_id[7:19]), "manifest.json"))[0]["RepoTags"] is None
    assert json.loads(_member(saved(store, "archive-test"), "manifest.json"))[0]["RepoTags"] == ["archive-test:1", "archive-test:2"]
    other = new_store(tmp_path, "other")
    assert engine.load(other, io.BytesIO(saved(store, image_id))) == [f"Loaded image ID: {image_id}"]


def _member(data: bytes, name: str) -> bytes:
    file = tarfile.open(fileobj=io.BytesIO(data)).extractfile(name)
    assert file is not None
    return file.read()


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_skopeo_reads_and_writes(kind: str, store: Store, tmp_path: pathlib.Path) -> None:
    need("skopeo")
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    archive = tmp_path / "saved.tar"
    archive.write_bytes(saved(store, "archive-test:1"))
    config = json.loads(run("skopeo", "inspect", "--config", f"{kind}:{archive}"))
    assert config["rootfs"]["diff_ids"] == engine.inspect(store, image_id)["RootFS"]["Layers"]
    again = tmp_path / "again.tar"
    run("skopeo", "copy", f"{kind}:{archive}", f"{kind}:{again}:archive-test:again")
    other = new_store(tmp_path, "other")
    with open(again, "rb") as file:
        lines = engine.load(other, file)
    assert lines == ["Loaded image: archive-test:again"]
    assert tree(other, engine.resolve(other, "archive-test:again").id) == tree(store, image_id)


def test_oci_layout_passes_the_image_tool_and_umoci(store: Store, tmp_path: pathlib.Path) -> None:
    need("umoci")
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    layout = tmp_path / "layout"
    layout.mkdir()
    with tarfile.open(fileobj=io.BytesIO(saved(store, "archive-test:1"))) as archive:
        archive.extractall(layout, filter="data")
    run("umoci", "unpack", "--image", f"{layout}:1", str(tmp_path / "bundle"))
    found = sorted(
        f"{path.relative_to(tmp_path / 'bundle/rootfs')}{'/' if path.is_dir() else ''}"
        for path in (tmp_path / "bundle/rootfs").rglob("*")
    )
    assert found == tree(store, image_id)


def test_podman(store: Store, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    need("podman")
    # podman takes no run root of more than 50 characters
    short = tempfile.mkdtemp(prefix="bx-", dir="/tmp")
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    podman = ("podman", "--root", str(tmp_path / "podman"), "--runroot", short, "--storage-driver", "vfs")
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    archive = tmp_path / "saved.tar"
    archive.write_bytes(saved(store, "archive-test:1"))
    run(*podman, "load", "-i", str(archive))
    again = tmp_path / "again.tar"
    run(*podman, "save", "-o", str(again), "archive-test:1")
    other = new_store(tmp_path, "other")
    with open(again, "rb") as file:
        engine.load(other, file)
    assert tree(other, engine.resolve(other, "archive-test:1").id) == tree(store, image_id)


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """A daemon of our own without a bridge."""
    need("dockerd")
    base = tmp_path_factory.mktemp("dockerd")
    socket = f"unix://{base}/docker.sock"
    words = ["dockerd", "-H", socket, "--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid"]
    words += [
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--storage-driver=vfs",
        "--config-file",
        f"{base}/daemon.json",
    ]
    (base / "daemon.json").write_text("{}")
    with open(base / "log", "wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    docker = ("docker", "-H", socket)
    try:
        for _ in range(150):
            if subprocess.run([*docker, "version"], capture_output=True, check=False).returncode == 0:
                break
            if process.poll() is not None:
                pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield docker
    finally:
        process.terminate()
        process.wait(30)


def test_docker(dockerd: tuple[str, ...], store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    archive = tmp_path / "saved.tar"
    archive.write_bytes(saved(store, "archive-test:1"))
    assert "Loaded image: archive-test:1" in run(*dockerd, "load", "-i", str(archive))
    theirs = json.loads(run(*dockerd, "image", "inspect", "archive-test:1"))[0]
    ours = engine.inspect(store, "archive-test:1")
    assert theirs["Id"] == image_id
    for key in ("RepoTags", "RootFS", "Architecture", "Os", "Created", "Size"):
        assert ours[key] == theirs[key], key
    assert ours["Config"]["Cmd"] == theirs["Config"]["Cmd"]
    again = tmp_path / "again.tar"
    run(*dockerd, "save", "-o", str(again), "archive-test:1")
    other = new_store(tmp_path, "other")
    with open(again, "rb") as file:
        assert engine.load(other, file) == ["Loaded image: archive-test:1"]
    assert tree(other, image_id) == tree(store, image_id)


def test_docker_imports_are_alike(dockerd: tuple[str, ...], store: Store, tmp_path: pathlib.Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        info = tarfile.TarInfo("etc/hello")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    file = tmp_path / "fs.tar.gz"
    file.write_bytes(gzip.compress(plain.getvalue()))
    changes = ["CMD echo x", "ENV A=b C=d", "EXPOSE 80", "WORKDIR /w", 'LABEL k="v w"', "USER 7"]
    flags = [word for change in changes for word in ("-c", change)]
    run(*dockerd, "import", *flags, "-m", "note", str(file), "imported:1")
    with open(file, "rb") as stream:
        engine.import_image(store, stream, "imported:1", "note", changes)
    theirs = json.loads(run(*dockerd, "image", "inspect", "imported:1"))[0]
    ours = engine.inspect(store, "imported:1")
    for key in ("Cmd", "Env", "ExposedPorts", "WorkingDir", "Labels", "User"):
        assert ours["Config"].get(key) == theirs["Config"].get(key), key
    assert (ours["Comment"], ours["Size"]) == (theirs["Comment"], theirs["Size"])
    assert tree(store, ours["Id"]) == ["etc/", "etc/hello"]


# - removing -------------------------------------------------------------------------------------------------------------


def test_tag_list_history_remove(store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    engine.tag(store, "archive-test:1", "other/name")
    entry = engine.list_images(store)[0]
    assert (entry["Id"], entry["RepoTags"]) == (image_id, ["archive-test:1", "other/name:latest"])
    assert [row["CreatedBy"] for row in engine.history(store, image_id[7:20])] == ["two", "ENV x", "one"]
    assert engine.list_images(store, filters={"reference": ["other/*"]})[0]["RepoTags"] == ["other/name:latest"]
    assert engine.list_images(store, filters={"dangling": ["true"]}) == []
    with pytest.raises(BoxshipError, match="must be forced.*multiple repositories"):
        engine.remove(store, image_id)
    assert engine.remove(store, "other/name") == [{"Untagged": "other/name:latest"}]
    records = engine.remove(store, "archive-test:1")
    assert records[0] == {"Untagged": "archive-test:1"}
    assert records[1] == {"Deleted": image_id} and len(records) == 4
    assert os.listdir(store.paths.layers) == []
    assert os.listdir(f"{store.paths.content}/sha256") == []
    with pytest.raises(BoxshipError, match="^No such image: archive-test:1$"):
        engine.resolve(store, "archive-test:1")


def _container(store: Store, image_id: str) -> str:
    ident = "c" * 64
    with store.db:
        store.db.execute(
            "INSERT INTO containers (id, name, image_id, image_name, created, config, host_config) VALUES (?, 'c', ?, 'x', 1, '{}', '{}')",
            (ident, image_id),
        )
    return ident


def test_remove_under_a_container(store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    ident = _container(store, image_id)
    short = image_id[7:19]
    words = (
        f'conflict: unable to remove repository reference "archive-test:1" (must force) - container {ident[:12]} '
        f"is using its referenced image {short}"
    )
    with pytest.raises(BoxshipError) as caught:
        engine.remove(store, "archive-test:1")
    assert str(caught.value) == words
    with pytest.raises(
        BoxshipError, match=rf"unable to delete {short} \(must be forced\) - image is being used by stopped container"
    ):
        engine.remove(store, short)
    assert engine.remove(store, "archive-test:1", force=True) == [{"Untagged": "archive-test:1"}]
    assert engine.prune(store, all=True)["ImagesDeleted"] is None
    store.db.execute("DELETE FROM containers")
    done = engine.prune(store)
    assert done["ImagesDeleted"][0] == {"Deleted": image_id} and done["SpaceReclaimed"] > 0
    assert image_rows.all_images(store.db) == []


def test_sweep_finds_what_a_kill_left(store: Store, tmp_path: pathlib.Path) -> None:
    image_id = build(store, tmp_path, NAME, {"a": "1"})
    os.mkdir(f"{store.paths.layers}/left")
    images.content(store).put(b"left over")
    with images.content(store).ingest("sha256:half") as writer:
        writer.write(b"half")
    os.mkdir(f"{store.paths.tmp}/pull-killed")
    images.sweep(store)
    assert os.listdir(store.paths.tmp) == []
    assert "left" not in os.listdir(store.paths.layers)
    assert os.listdir(f"{store.paths.content}/ingest") == []
    assert tree(store, image_id)
    assert saved(store, str(references.parse(NAME)))
