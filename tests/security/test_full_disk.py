"""The store on a disk that is too small: a clear error, nothing left behind, and all is well when there is room again."""

import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests import bases, stores
from tests import registry as registries
from tests.conftest import put_busybox
from tests.security import attack

pytestmark = pytest.mark.root

SIZE = 28 << 20


@pytest.fixture
def small() -> Iterator[stores.Store]:
    """A store on a tmpfs of 28 MiB with busybox in it."""
    with stores.make() as store:
        os.makedirs(store.root)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", store.root], check=True)
        put_busybox(store)
        yield store
        attack.clean(attack.fork_log(store))


@contextlib.contextmanager
def full(store: stores.Store, leave: int = 0) -> Iterator[None]:
    """No room but for `leave` bytes."""
    ballast = pathlib.Path(store.root, "ballast")
    room = os.statvfs(store.root)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, room.f_bavail * room.f_frsize - leave))
    try:
        yield
    finally:
        ballast.unlink()


def entries(store: stores.Store) -> set[str]:
    """Everything in the store but the database's own files, once the last shim has ended."""
    deadline = time.monotonic() + 5
    while os.path.isdir(store.paths.active) and os.listdir(store.paths.active) and time.monotonic() < deadline:
        time.sleep(0.01)
    return {str(path) for path in pathlib.Path(store.root).rglob("*") if "boxship.db" not in path.name and path.name != "ballast"
            and "/layers/" not in str(path)} | {str(path) for path in pathlib.Path(store.root, "layers").glob("*")}  # fmt: skip


def complains(done: "subprocess.CompletedProcess[str]") -> None:
    attack.clean(done.stdout + done.stderr)
    assert done.returncode != 0, done.stdout
    assert "space" in done.stderr or "full" in done.stderr, done.stderr


@pytest.mark.parametrize("leave", [0, 16 << 10, 48 << 10])
def test_run(small: stores.Store, leave: int) -> None:
    before = entries(small)
    with full(small, leave):
        done = small.run("run", "--rm", "busybox", "true", check=False)
        attack.clean(done.stderr)
        assert done.returncode in (0, 125)
        if done.returncode:
            complains(done)
    assert small.run("run", "--rm", "busybox", "true").returncode == 0
    assert small.run("ps", "-aq").stdout == ""
    assert entries(small) == before


def test_a_running_container(small: stores.Store) -> None:
    """It writes until nothing goes any more; its log can't be written, its end can't be recorded: all is clean once there is room"""
    with full(small, 8 << 20):
        small.run("run", "-d", "--name", "filler", "busybox", "sh", "-c", "cat /dev/zero > /file; while echo more; do :; done")
        with contextlib.suppress(subprocess.TimeoutExpired):
            small.run("wait", "filler", check=False, timeout=1)
        for command in (["exec", "filler", "true"], ["ps"], ["stop", "-t", "0", "filler"], ["rm", "-f", "filler"]):
            done = small.run(*command, check=False, timeout=20)
            attack.clean(done.stdout + done.stderr)
    small.run("rm", "-f", "filler", check=False, timeout=20)
    assert small.run("ps", "-aq").stdout == ""
    assert os.listdir(small.paths.containers) == []
    assert small.run("run", "--rm", "busybox", "echo", "room").stdout == "room\n"


def test_the_exit_code_survives(small: stores.Store) -> None:
    """It is told, and recorded later"""
    small.run("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 1; exit 42")
    waiting = small.popen("wait", "ends")
    with full(small):
        out, err = waiting.communicate(timeout=20)
        assert out == "42\n", err
    assert small.run("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "ends").stdout == "42 exited\n"


@pytest.mark.parametrize("leave", [0, 100 << 10, 1 << 20])
def test_build(small: stores.Store, tmp_path: pathlib.Path, leave: int) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY big /big\nRUN cp /big /bigger && cp /big /biggest\n")
    (tmp_path / "big").write_bytes(os.urandom(2 << 20))
    small.run("run", "--rm", "busybox", "true")
    before = entries(small)
    with full(small, leave):
        complains(small.run("build", "-t", "full", str(tmp_path), check=False))
    assert small.run("images", "-q", "full").stdout == ""
    left = {path for path in entries(small) - before if "/layers/" not in path and "/content/" not in path}
    assert left == set()


@pytest.mark.parametrize("leave", [0, 200 << 10])
def test_load_and_import(small: stores.Store, tmp_path: pathlib.Path, leave: int) -> None:
    archive = attack.archive(tmp_path / "big.tar", "big", {"big": attack.file(os.urandom(3 << 20))})
    before = entries(small)
    with full(small, leave):
        complains(small.run("load", "-i", str(archive), check=False))
        complains(small.run("import", str(bases.tarball("busybox")), "again", check=False))
    assert "big" not in small.run("images").stdout
    assert entries(small) - before == set()
    assert small.run("load", "-i", str(archive)).returncode == 0


@pytest.mark.parametrize("leave", [0, 200 << 10])
def test_pull(small: stores.Store, registry: registries.Registry, leave: int) -> None:
    name = f"{registry.host}/library/busybox"
    small.run("rmi", "-f", "busybox")
    before = entries(small)
    with full(small, leave):
        complains(small.run("pull", name, check=False))
    # what has come already is kept there for the next pull
    assert {path for path in entries(small) - before if "/ingest/" not in path} == set()
    small.run("pull", name)


def test_volumes(small: stores.Store, tmp_path: pathlib.Path) -> None:
    """Copy-up of the image's content into a new volume"""
    image = attack.put(small, tmp_path, "content", {"data/file": attack.file(os.urandom(1 << 20))})
    with full(small, 300 << 10):
        complains(small.run("run", "--rm", "-v", "filled:/data", image, "true", check=False))
    assert small.run("ps", "-aq").stdout == ""
    assert small.run("run", "--rm", "-v", "fresh:/data", image, "wc", "-c", "/data/file").stdout.split()[0] == str(1 << 20)
