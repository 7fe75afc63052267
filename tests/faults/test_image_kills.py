"""kill -9 of each of our processes between any two steps of build, pull, load and rmi.

Whatever was killed: the next build, pull, load, ps, run and rm do their work, and nothing is left on the machine but what a
pull goes on from: whole and partial blobs below content/.
"""

import io
import itertools
import os
import pathlib
import tarfile

import pytest

from tests import bases, stores
from tests import registry as registries
from tests.faults import attempts, leaks, tracer

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

# the first of them is always reached; how many there are varies with the threads
KILLS = int(os.environ.get("BOXSHIP_FAULT_KILLS", "3"))  # for each process of each operation

_HEIRS = {"breeder": "step", "step": "init"}
_DOCKERFILE = "FROM busybox\nWORKDIR /work\nCOPY . .\nRUN cat mark > copy && echo $((1 + 1)) >> copy\nCMD cat copy\n"
_number = itertools.count(1)


def _archive(mark: str) -> bytes:
    """The tar of a layer that no other image has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("mark")
        entry.size = len(mark)
        tar.addfile(entry, io.BytesIO(mark.encode()))
    return out.getvalue()


def _nothing_left(shop: stores.Store, what: str) -> None:
    attempts.recover(shop, what)
    left = leaks.counted(shop)
    assert left == [], f"{what}: {left}"


# - build ----------------------------------------------------------------------------------------------------------------


class _Context:
    """A context that differs from all before it: nothing of its build is in the cache."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.mark = f"build {next(_number)}"
        self.folder = folder
        (folder / "Dockerfile").write_text(_DOCKERFILE)
        (folder / "mark").write_text(f"{self.mark}\n")
        self.words = ["build", "-q", "-t", "built", str(folder)]


def _build(shop: stores.Store, context: _Context, victim: str, nth: int) -> tracer.Report:
    if victim == "cli":
        return attempts.cli(shop, context.words, nth)
    roles = {pid: role for role, pid in attempts.fork_server(shop).items()}
    with tracer.killing(roles, _HEIRS, victim, nth) as report:
        done = shop.run(*context.words, check=False, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        assert "internal error" not in done.stderr, done.stderr
    return report


@pytest.mark.parametrize("victim", ["cli", "step", "init", "server", "breeder"])
def test_build(shop: stores.Store, tmp_path: pathlib.Path, victim: str) -> None:
    counted = _build(shop, _Context(tmp_path), victim, 0)
    assert counted.steps > 0
    for nth in attempts.spread(counted.steps, KILLS):
        context = _Context(tmp_path)
        killed = _build(shop, context, victim, nth).killed
        assert killed or nth > 1
        shop.run(*context.words)
        assert shop.run("run", "--rm", "built").stdout == f"{context.mark}\n2\n"
        _nothing_left(shop, f"{victim} of build killed at step {nth} of {counted.steps}")


# - pull -----------------------------------------------------------------------------------------------------------------


def test_pull(shop: stores.Store, registry: registries.Registry) -> None:
    layers = [_archive(f"pull {os.getpid()}"), bases.tarball("busybox").read_bytes()]
    registry.image("faults/pulled:latest", layers, bases.config("busybox"))
    name = f"{registry.host}/faults/pulled"
    counted = attempts.cli(shop, ["pull", name], 0)
    assert counted.steps > 0
    for nth in attempts.spread(counted.steps, KILLS + 3):
        shop.run("rmi", "-f", name, check=False)
        killed = attempts.cli(shop, ["pull", name], nth).killed
        assert killed or nth > 1
        shop.run("pull", name)
        assert shop.run("run", "--rm", name, "cat", "/mark").stdout == f"pull {os.getpid()}"
        _nothing_left(shop, f"pull killed at step {nth} of {counted.steps}")


# - load and rmi ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(shop: stores.Store, tmp_path: pathlib.Path) -> str:
    """An archive of the image `saved`, which is in the store, with layers of its own below."""
    tar = tmp_path / "root.tar"
    tar.write_bytes(_archive(f"saved {next(_number)}"))
    shop.run("import", str(tar), "saved-base")
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM saved-base\nCOPY --from=busybox / /\n")
    shop.run("build", "-q", "-t", "saved", str(folder))
    path = str(tmp_path / "saved.tar")
    shop.run("save", "-o", path, "saved")
    shop.run("rmi", "saved-base")
    return path


@pytest.mark.parametrize("name", ["load", "rmi"])
def test_kill(shop: stores.Store, saved: str, name: str) -> None:
    words = {"load": ["load", "-q", "-i", saved], "rmi": ["rmi", "-f", "saved"]}
    before = {"load": words["rmi"], "rmi": words["load"]}
    shop.run(*before[name])
    counted = attempts.cli(shop, words[name], 0)
    assert counted.steps > 0
    for nth in attempts.spread(counted.steps, KILLS + 1):
        shop.run(*before[name], check=False)
        killed = attempts.cli(shop, words[name], nth).killed
        assert killed or nth > 1
        shop.run(*words["load"])
        assert shop.run("run", "--rm", "saved", "cat", "/mark").stdout.startswith("saved ")
        _nothing_left(shop, f"{name} killed at step {nth} of {counted.steps}")
