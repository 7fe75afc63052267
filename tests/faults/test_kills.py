"""kill -9 of each of our processes between any two steps of run, exec, stop, start, create and rm.

Whatever was killed: the next `ps -a`, `rm -f` and `run` do their work, and nothing is left on the machine.
"""

import itertools
import os

import pytest

from boxship.runtime import active
from tests import stores
from tests.faults import attempts, leaks, tracer

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = int(os.environ.get("BOXSHIP_FAULT_KILLS", "3"))  # for each process of each operation

# role of a fork, by the role of who forked it
_HEIRS = {"breeder": "shim", "shim": "helper", "helper": "init"}
_number = itertools.count(700_000)


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


def attempt(shop: stores.Store, name: str, victim: str, nth: int) -> tracer.Report:
    """The operation, with the victim killed at its nth step; it ends by itself, well or not."""
    words = Operation(shop).words(name)
    if victim == "cli":
        return attempts.cli(shop, words, nth)
    if victim == "old shim":
        roles = {active.holder(shop.paths, words[-1]): victim}
    else:
        roles = {pid: role for role, pid in attempts.fork_server(shop).items()}
    with tracer.killing(roles, _HEIRS, victim, nth) as report:
        done = shop.run(*words, check=False, timeout=30)
        assert "Traceback" not in done.stderr, done.stderr
        assert "internal error" not in done.stderr, done.stderr
    return report


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
    for nth in attempts.spread(counted.steps, KILLS):
        attempt(shop, name, victim, nth)
        attempts.recover(shop, f"{victim} of {name} killed at step {nth} of {counted.steps}")
    assert leaks.counted(shop) == []
