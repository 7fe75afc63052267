"""What all tests share: stores that leave nothing behind, the command, a registry, and the rule about skips.

With BOXSHIP_CI=1 (.ci/run sets it) a skip is a failure, unless its reason says what this machine cannot do, or that
the tables, which are no part of the repository, are absent.
"""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import bases, stores
from tests import registry as registries

_ALLOWED = ("this machine cannot", "the conformance tables are absent", "the schemas are absent")
_OF_THE_MACHINE = ("not installed", "needs root", "missing", "absent", "make install")
_IN_CI = os.environ.get("BOXSHIP_CI") == "1"

# a test run started in the background ignores these, and what is ignored is inherited: the programs under test would not end by them
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

Runner = Callable[..., "subprocess.CompletedProcess[str]"]


def _no_root() -> str | None:
    """Why tests that need root can't run here."""
    if not sys.platform.startswith("linux"):
        return "this machine cannot run containers: not Linux"
    if os.geteuid() != 0:
        return "needs root"
    # in a child, for namespaces stay with whoever makes them
    probe = "import ctypes,sys; sys.exit(ctypes.CDLL(None).unshare(0x20000 | 0x40000000) != 0)"
    if subprocess.run([sys.executable, "-c", probe], check=False).returncode != 0:
        return "this machine cannot make namespaces"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("root")]
    reason = _no_root() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """A test marked `serial` runs while no other does, whatever the number of workers. Waiting does not count as its time."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    shared = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    # whoever wants to be alone takes the door first, so that the others' locks can only become fewer
    alone = item.get_closest_marker("serial") is not None
    with open(shared / "door", "w") as door, open(shared / "room", "w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        if not alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Any:
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
        # a row of a table that does not apply is left out in the source, with its reason, whatever the machine
        of_a_row = hasattr(item, "callspec") and not any(word in reason for word in _OF_THE_MACHINE)
        if not of_a_row and not reason.startswith(_ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped where nothing may be skipped: {reason}"
    return report


@pytest.fixture
def store() -> Iterator[stores.Store]:
    """A store of the test's own: `store.run("ps", "-a")`. Needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with stores.make() as made:
        yield made


@pytest.fixture
def boxship(store: stores.Store) -> Runner:
    """The command on a store of the test's own: boxship("run", "--rm", "busybox", "true").stdout."""
    return store.run


@pytest.fixture
def busybox(store: stores.Store) -> str:
    """The name of a tiny image in the test's store."""
    put_busybox(store)
    return "busybox"


def put_busybox(store: stores.Store) -> None:
    changes = [word for change in bases.changes("busybox") for word in ("--change", change)]
    store.run("import", *changes, str(bases.tarball("busybox")), "busybox")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[registries.Registry]:
    """docker-registry with busybox; the workers of one test run share its storage. `registry.base("ubuntu:18.04")` adds more."""
    if not registries.available():
        pytest.skip("docker-registry is not installed")
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    folder = pathlib.Path(shared) / "registry"
    folder.mkdir(exist_ok=True)
    with registries.serve(folder) as served:
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            served.base("busybox")
        yield served
