"""A store of its own for a test, and the way to leave nothing of it behind."""

import contextlib
import dataclasses
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from boxship import config
from boxship.network import bridge

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def command() -> str:
    """The boxship of this environment, else the launcher of the checkout."""
    beside = pathlib.Path(sys.executable).parent / "boxship"
    return str(beside if beside.exists() else CHECKOUT / "scripts" / "boxship")


@dataclasses.dataclass
class Store:
    """Where it lies, and the environment that leads the command there."""

    paths: config.Paths
    tag: str
    env: dict[str, str]

    @property
    def root(self) -> str:
        return self.paths.root

    def run(self, *arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """`boxship ARGUMENTS`, its output as text. `check`: any other exit code than 0 fails the test with the output."""
        options = {"capture_output": True, "text": True, "timeout": 240, "env": self.env, **options}
        done = subprocess.run([command(), *arguments], check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"boxship {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": self.env, **options}
        return subprocess.Popen([command(), *arguments], **options)


@contextlib.contextmanager
def make(**environment: str) -> Iterator[Store]:
    """A new store below /var/tmp (overlay needs a real disk); `environment` goes on top of ours."""
    folder = tempfile.mkdtemp(prefix="boxship-test-", dir="/var/tmp")
    paths = config.paths(f"{folder}/store")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("BOXSHIP_R", "DOCKER_"))}
    env |= {"BOXSHIP_ROOT": paths.root, "LC_ALL": "C.UTF-8", **environment}
    store = Store(paths, config.store_tag(paths), env)
    try:
        yield store
    finally:
        remove(store)
        shutil.rmtree(folder, ignore_errors=True)


def remove(store: Store) -> None:
    """Containers by the command itself; then, for a command that does not work yet, whatever is still there."""
    if os.path.exists(store.paths.db):
        listed = store.run("ps", "-aq", check=False).stdout.split()
        if listed:
            store.run("rm", "-f", "-v", *listed, check=False)
    for pid in _processes(store):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)
    with contextlib.suppress(Exception):
        bridge.remove(*bridge.names(store.tag))
    _unmount(store.root)
    _remove_cgroups(store.tag)
    shutil.rmtree(store.paths.run, ignore_errors=True)


def _processes(store: Store) -> list[int]:
    """The fork server and its forks (the store is one of their arguments), and everything whose environment names the store."""
    marks = (f"\0BOXSHIP_ROOT={store.root}\0".encode(), f"\0{store.root}\0".encode())
    found = []
    for folder in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            said = [b"\0" + pathlib.Path(folder, name).read_bytes() for name in ("environ", "cmdline")]
            if any(mark in text for mark, text in zip(marks, said, strict=True)):
                found.append(int(folder.rpartition("/")[2]))
    return [pid for pid in found if pid != os.getpid()]


def _unmount(root: str) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in reversed([point for point in points if point == root or point.startswith(f"{root}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def _remove_cgroups(tag: str) -> None:
    if not tag:
        return
    tops = [path for depth in ("*", "*/*", "*/*/*") for path in glob.glob(f"/sys/fs/cgroup/{depth}") if tag in os.path.basename(path)]
    for top in tops:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
