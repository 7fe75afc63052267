"""kill -9 of each of our processes between any two steps of run, exec, stop, start, create and rm.

Whatever was killed: the next `ps -a`, `rm -f` and `run` do their work, and nothing is left on the machine.
"""

import itertools
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from boxship.runtime import active
from tests import stores
from tests.conftest import put_busybox
from tests.faults import leaks, tracer

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = int(os.environ.get("BOXSHIP_FAULT_KILLS", "3"))  # for each process of each operation

# role of a fork, by the role of who forked it
_HEIRS = {"breeder": "shim", "shim": "helper", "helper": "init"}
_number = itertools.count(700_000)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    # an empty configuration: its name marks the processes of this store
    config = tmp_path_factory.mktemp("faults") / "boxship.toml"
    config.write_text("")
    with stores.make(BOXSHIP_CONFIG=str(config)) as made:
        put_busybox(made)
        yield made


class Operation:
    """`prepare` gives the words of a command; afterwards nobody but `recover` cares what became of it."""

    def __init__(self, shop: stores.Store) -> None:
        self.shop = shop
        self.sleep = str(next(_number))

    def container(self, *flags: str) -> str:
        return self.shop.run("run", "-d", *flags, "busybox", "sleep", self.sleep).stdout.strip()

    def words(self, name: str) -> list[str]:
        program = ["busybox", "sleep", self.sleep]
        plain = {
            "run": ["run", "--rm", "-v", "/data", "busybox", "true"],
            "run -d -p": ["run", "-d", "-p", "80", "-v", "/data", *program],
            "run -d --init -u": ["run", "-d", "--init", "-u", "1000", *program],
            "create": ["create", "-v", "/data", *program],
        }
        if name in plain:
            return plain[name]
        if name == "start":
            return ["start", self.shop.run("create", "-v", "/data", *program).stdout.strip()]
        if name == "rm":
            return ["rm", "-v", self.shop.run("create", "-v", "/data", *program).stdout.strip()]
        box = self.container("-v", "/data")
        return {
            "stop": ["stop", "-t", "0", box],
            "rm -f": ["rm", "-f", "-v", box],
            "exec": ["exec", box, "true"],
            "kill": ["kill", box],
        }[name]


def fork_server(shop: stores.Store) -> dict[str, int]:
    """Its two processes: `server` takes requests, `breeder`, its child, forks."""
    shop.run("run", "--rm", "busybox", "true")
    mark = os.fsencode(shop.root)
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            folder = pathlib.Path("/proc", entry)
            if (folder / "comm").read_bytes().strip() == b"boxship-fork" and mark in (folder / "cmdline").read_bytes().split(b"\0"):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(entry)] = parent
        except OSError:
            continue
    breeder = next(pid for pid, parent in found.items() if parent in found)
    return {"breeder": breeder, "server": found[breeder]}


def attempt(shop: stores.Store, name: str, victim: str, nth: int) -> tracer.Report:
    """The operation, with the victim killed at its nth step; it ends by itself, well or not."""
    words = Operation(shop).words(name)
    if victim == "cli":
        return _attempt_cli(shop, words, nth)
    if victim == "old shim":
        roles = {active.holder(shop.paths, words[-1]): victim}
    else:
        roles = {pid: role for role, pid in fork_server(shop).items()}
    with tracer.killing(roles, _HEIRS, victim, nth) as report:
        done = shop.run(*words, check=False, timeout=30)
        assert "Traceback" not in done.stderr, done.stderr
        assert "internal error" not in done.stderr, done.stderr
    return report


def _attempt_cli(shop: stores.Store, words: list[str], nth: int) -> tracer.Report:
    # stopped before its first instruction, until the tracer has it
    line = f"kill -STOP $$; exec {stores.command()} {' '.join(words)}"
    command = subprocess.Popen(["sh", "-c", line], env=shop.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _until_stopped(command.pid)
    try:
        with tracer.killing({command.pid: "cli"}, {}, "cli", nth) as report:
            os.kill(command.pid, signal.SIGCONT)
            command.communicate(timeout=30)
        return report
    finally:
        command.kill()
        command.wait()


def _until_stopped(pid: int) -> None:
    while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


def recover(shop: stores.Store, what: str) -> None:
    """What a user would do next; afterwards there is nothing."""
    listed = shop.run("ps", "-aq", "--no-trunc").stdout.split()
    assert shop.run("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n", what
    if listed:
        shop.run("rm", "-f", "-v", *listed)
    assert shop.run("ps", "-aq").stdout == "", what
    left = leaks.settle(shop)
    assert left == [], f"{what}: {left}"


CASES = [
    *[(name, "cli") for name in ("run", "run -d -p", "create", "start", "rm", "stop", "rm -f", "exec", "kill")],
    *[(name, victim) for name in ("run", "run -d -p", "run -d --init -u") for victim in ("shim", "helper", "init")],
    *[(name, victim) for name in ("run", "exec") for victim in ("server", "breeder")],
    ("exec", "shim"),
    ("exec", "helper"),
    ("stop", "old shim"),
    ("rm -f", "old shim"),
    ("kill", "old shim"),
]


@pytest.mark.parametrize(("name", "victim"), CASES, ids=[f"{name}: {victim}" for name, victim in CASES])
def test_kill(shop: stores.Store, name: str, victim: str) -> None:
    counted = attempt(shop, name, victim, 0)
    assert counted.steps > 0
    for number in range(KILLS):
        nth = 1 + number * (counted.steps - 1) // max(1, KILLS - 1)
        attempt(shop, name, victim, nth)
        recover(shop, f"{victim} of {name} killed at step {nth} of {counted.steps}")
    assert leaks.counted(shop) == []
