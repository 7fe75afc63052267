"""What the cases share: who is there to be killed, a command that is killed, and what a user does next."""

import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

from tests import stores
from tests.faults import leaks, tracer


def spread(steps: int, kills: int) -> Iterator[int]:
    """The numbers of so many of the steps, from the first to the last."""
    for number in range(kills):
        yield 1 + number * (steps - 1) // max(1, kills - 1)


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


def cli(shop: stores.Store, words: list[str], nth: int) -> tracer.Report:
    """The command, killed at its nth step in any of its threads."""
    # stopped before its first instruction, until the tracer has it
    line = f"kill -STOP $$; exec {stores.command()} {' '.join(words)}"
    command = subprocess.Popen(["sh", "-c", line], env=shop.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until_stopped(command.pid)
    try:
        with tracer.killing({command.pid: "cli"}, {}, "cli", nth) as report:
            os.kill(command.pid, signal.SIGCONT)
            command.communicate(timeout=30)
        return report
    finally:
        command.kill()
        command.wait()


def until_stopped(pid: int) -> None:
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
