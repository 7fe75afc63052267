"""Many commands at one container, at once: whatever the order, no command hangs, nothing internal shows and nothing is left."""

import os
import pathlib
import random
import subprocess
import time

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root

LOOP = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done")


def together(store: stores.Store, *commands: list[str], seconds: float = 40) -> list["subprocess.CompletedProcess[str]"]:
    """All at once; each must end in time and without a word of Python's."""
    running = [store.popen(*command, stdin=subprocess.DEVNULL) for command in commands]
    deadline = time.monotonic() + seconds
    done = []
    for command, process in zip(commands, running, strict=True):
        try:
            out, err = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            for one in running:
                one.kill()
            raise AssertionError(f"{command} hangs") from None
        attack.clean(out + err)
        done.append(subprocess.CompletedProcess(command, process.returncode, out, err))
    return done


def nothing_left(store: stores.Store) -> None:
    assert store.run("ps", "-aq").stdout == ""
    deadline = time.monotonic() + 3
    while os.listdir(store.paths.active) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert os.listdir(store.paths.active) == []
    assert os.listdir(store.paths.containers) == []
    shims = [pid for pid in stores._processes(store) if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("boxship-shim")]
    assert shims == []


@pytest.mark.parametrize("command", [["stop", "-t", "1"], ["rm", "-f"], ["kill"], ["start"]], ids=lambda c: c[0])
def test_the_same_command_many_times(den: stores.Store, command: list[str]) -> None:
    den.run("run", "-d", "--name", "same", "busybox", *LOOP)
    if command == ["start"]:
        den.run("stop", "-t", "1", "same")
    done = together(den, *[[*command, "same"]] * 6)
    codes = {one.returncode for one in done}
    assert 0 in codes
    if command[0] in ("stop", "start"):
        assert codes == {0}, [one.stderr for one in done]
    if command == ["start"]:
        assert den.run("inspect", "-f", "{{.State.Running}}", "same").stdout == "true\n"
    den.run("rm", "-f", "same", check=False)
    nothing_left(den)


def test_remove_while_it_starts(den: stores.Store) -> None:
    for number in range(6):
        den.run("create", "--name", "starting", "busybox", *LOOP)
        starting = den.popen("start", "starting")
        time.sleep(0.02 * number)
        done = together(den, ["rm", "-f", "starting"], seconds=12)[0]
        starting.communicate(timeout=12)
        assert done.returncode == 0, done.stderr
        den.run("rm", "-f", "starting", check=False)
    nothing_left(den)


def test_stop_while_it_starts(den: stores.Store) -> None:
    """The stop wins or the start does, but never a container that runs on although its stop said it was done later"""
    for number in range(5):
        den.run("create", "--name", "stopping", "busybox", *LOOP)
        starting = den.popen("start", "stopping")
        time.sleep(0.03 * number)
        together(den, ["stop", "-t", "1", "stopping"], seconds=12)
        starting.communicate(timeout=12)
        together(den, ["stop", "-t", "1", "stopping"], seconds=12)
        assert den.run("inspect", "-f", "{{.State.Running}}", "stopping").stdout == "false\n"
        den.run("rm", "stopping")
    nothing_left(den)


def test_remove_during_the_pause_of_a_restart(den: stores.Store) -> None:
    for number in range(4):
        den.run("run", "-d", "--restart", "always", "--name", "again", "busybox", "false")
        time.sleep(0.15 + 0.13 * number)
        done = together(den, ["rm", "-f", "again"], seconds=12)[0]
        assert done.returncode == 0, done.stderr
    for number in range(2):
        den.run("run", "-d", "--restart", "always", "--name", "again", "busybox", "false")
        time.sleep(0.2 + 0.2 * number)
        assert together(den, ["stop", "again"], seconds=8)[0].returncode == 0
        assert den.run("inspect", "-f", "{{.State.Running}} {{.State.Restarting}}", "again").stdout == "false false\n"
        den.run("rm", "again")
    nothing_left(den)


def test_exec_during_stop(den: stores.Store) -> None:
    den.run("run", "-d", "--name", "ending", "busybox", *LOOP)
    done = together(
        den, *[["exec", "ending", "sleep", "0.1"]] * 5, ["stop", "-t", "1", "ending"], *[["exec", "ending", "true"]] * 5
    )
    assert done[5].returncode == 0
    assert {one.returncode for one in done} <= {0, 1, 126, 128, 137}, [(one.returncode, one.stderr) for one in done]
    den.run("rm", "ending")
    nothing_left(den)


def test_everything_at_once(den: stores.Store) -> None:
    chooser = random.Random(7)
    verbs = [["start"], ["stop", "-t", "0"], ["kill"], ["exec", "-d"], ["rm"], ["inspect"], ["logs"], ["start"]]
    for _ in range(3):
        den.run("create", "--name", "chaos", "busybox", *LOOP)
        chosen = [chooser.choice(verbs) for _ in range(12)]
        together(den, *[[*verb, "chaos", *(["true"] if verb[0] == "exec" else [])] for verb in chosen])
        den.run("rm", "-f", "chaos", check=False)
    nothing_left(den)


def test_two_containers_swap_paths_in_a_volume(den: stores.Store, tmp_path: pathlib.Path) -> None:
    """CVE-2021-30465, CVE-2019-19921: the target of a mount is swapped for a link while it is being mounted on"""
    canary = tmp_path / "canary"
    canary.mkdir()
    swap = f"cd /v; ln -s {canary} link; mkdir dir; while :; do mv dir t; mv link dir; mv dir link; mv t dir; rm -rf new; ln -s {canary} new; rm new; done"
    den.run("run", "-d", "--name", "swapper", "-v", "shared:/v", "busybox", "sh", "-c", f"({swap}) 2>/dev/null")
    flags = ["run", "--rm", "-v", "shared:/v", "-v", "other:/v/dir", "--tmpfs", "/v/new/deep", "-w", "/v/link/work"]
    for _ in range(6):
        for one in together(den, *[[*flags, "busybox", "true"]] * 3):
            assert one.returncode in (0, 125, 127), one.stderr
    den.run("rm", "-f", "swapper")
    assert os.listdir(canary) == []
