"""Streams, terminals, signals and restarts: what passes between the user and the program in a container."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests import stores
from tests.conftest import put_busybox
from tests.terminal import Session, session

pytestmark = pytest.mark.root

DETACH = "\x10\x11"  # ctrl-p ctrl-q


@pytest.fixture(scope="module")
def shop() -> Iterator[stores.Store]:
    with stores.make() as made:
        put_busybox(made)
        yield made


@contextlib.contextmanager
def terminal(shop: stores.Store, *words: str, rows: int = 24, columns: int = 100) -> Iterator[Session]:
    with session([stores.command(), *words], env=shop.env, rows=rows, columns=columns) as opened:
        yield opened


@contextlib.contextmanager
def running(shop: stores.Store, *words: str) -> Iterator[str]:
    name = shop.run("run", "-d", *words).stdout.strip()
    try:
        yield name
    finally:
        shop.run("rm", "-f", "-v", name, check=False)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def state(shop: stores.Store, name: str, field: str) -> str:
    return str(shop.run("inspect", "--format", "{{." + field + "}}", name).stdout.strip())


# -- terminals --------------------------------------------------------------------------------------------------------------------
def test_run_it(shop: stores.Store) -> None:
    with terminal(shop, "run", "--rm", "-it", "busybox", rows=30, columns=91) as shell:
        shell.type("stty size; tty; echo TERM=$TERM; test -t 2 && echo err''or\n")
        shell.expect("30 91")
        shell.expect("/dev/pts/0")
        shell.expect("TERM=xterm")
        shell.expect("error")
        shell.resize(40, 132)
        until(lambda: _size(shell) == "40 132")
        shell.type("exit 42\n")
        assert shell.end() == 42


def _size(shell: Session) -> str:
    shell.output = ""
    shell.type("stty size; echo e''nd\n")
    shell.expect("end\r\n")
    found = re.search(r"^(\d+ \d+)\r$", shell.output, re.MULTILINE)
    return found[1] if found else ""


def test_raw_mode_and_back(shop: stores.Store) -> None:
    """While the container has the terminal, the user's own line discipline does nothing; afterwards it is as before."""
    import termios

    with terminal(shop, "run", "--rm", "-it", "busybox", "sh", "-c", "stty -echo; echo ready; cat; echo done") as shell:
        before = termios.tcgetattr(shell.fd)
        shell.expect("ready")
        until(lambda: not termios.tcgetattr(shell.fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG))
        shell.type("typed\n")
        shell.expect("typed\r\n")
        shell.type("\x04")  # ^D: the end of the container's input, not of the user's terminal
        shell.expect("done")
        assert shell.end() == 0
        assert termios.tcgetattr(shell.fd) == before


def test_ctrl_c_goes_to_the_program_at_once(shop: stores.Store) -> None:
    with terminal(shop, "run", "--rm", "-it", "busybox", "sh", "-c", "trap 'exit 5' INT; echo ready; while :; do sleep 0.1; done") as shell:
        shell.expect("ready")
        started = time.monotonic()
        shell.type("\x03")
        assert shell.end() == 5
        assert time.monotonic() - started < 3


def test_ctrl_c_without_a_terminal_is_forwarded(shop: stores.Store) -> None:
    """run without -t on a terminal: ^C is a signal to the command, which hands it on."""
    with terminal(shop, "run", "--rm", "busybox", "sh", "-c", "trap 'echo got; exit 6' INT; echo ready; while :; do sleep 0.1; done") as shell:
        shell.expect("ready")
        shell.type("\x03")
        assert shell.end() == 6


def test_detach_and_attach_again(shop: stores.Store) -> None:
    with terminal(shop, "run", "-it", "--name", "box", "busybox") as shell:
        shell.type("A=kept; echo re''ady\n")
        shell.expect("ready")
        shell.type(DETACH)
        assert shell.end() == 0
    assert state(shop, "box", "State.Running") == "true"
    with terminal(shop, "attach", "box", rows=20, columns=70) as shell:
        shell.type("\nstty size; echo $A-$A\n")
        shell.expect("kept-kept")
        shell.expect("20 70")
        # half of the sequence is typed text
        shell.type("\x10x\x15echo al''so\n")
        shell.expect("also")
        shell.type(DETACH)
        shell.end()
    assert state(shop, "box", "State.Running") == "true"
    with terminal(shop, "attach", "--detach-keys", "ctrl-a,q", "box") as shell:
        shell.type("\necho a''gain\n")
        shell.expect("again")
        shell.type("\x01q")
        shell.end()
    with terminal(shop, "attach", "box") as shell:
        shell.type("\nexit 7\n")
        assert shell.end() == 7
    assert state(shop, "box", "State.ExitCode") == "7"
    with terminal(shop, "start", "-ai", "box") as shell:
        shell.type("echo sec''ond; exit 8\n")
        shell.expect("second")
        assert shell.end() == 8
    shop.run("rm", "box")


def test_the_container_outlives_its_command(shop: stores.Store) -> None:
    with terminal(shop, "run", "-it", "--name", "orphan", "busybox") as shell:
        shell.type("echo re''ady\n")
        shell.expect("ready")
        os.kill(shell.pid, signal.SIGKILL)
        assert shell.end() == -signal.SIGKILL
    assert state(shop, "orphan", "State.Running") == "true"
    shop.run("rm", "-f", "orphan")


def test_exec_it(shop: stores.Store) -> None:
    with running(shop, "busybox", "sleep", "1000") as name:
        with terminal(shop, "exec", "-it", name, "sh", rows=33, columns=77) as shell:
            shell.type("stty size; tty; echo t$TERM\n")
            shell.expect("33 77")
            shell.expect("/dev/pts/")
            shell.expect("txterm")
            shell.resize(22, 66)
            until(lambda: _size(shell) == "22 66")
            shell.type("sleep 1000\n")
            time.sleep(0.2)
            shell.type("\x03")
            shell.type("exit 9\n")
            assert shell.end() in (9, 130)
        with terminal(shop, "exec", "-it", name, "sh", "-c", "stty raw -echo; echo ready; sleep 0.5; head -c 100000 | wc -c") as shell:
            shell.expect("ready")
            # more than a terminal holds, none of it read at first
            shell.type("x" * 100_000)
            shell.expect("100000")
            assert shell.end() == 0
        with terminal(shop, "exec", "-it", name, "sh") as shell:
            shell.type("echo re''ady\n")
            shell.expect("ready")
            shell.type(DETACH)
            assert shell.end() in (0, 1)


def test_exec_without_a_terminal_ends_by_ctrl_c(shop: stores.Store) -> None:
    with running(shop, "busybox", "sleep", "1000") as name:
        with terminal(shop, "exec", name, "sh", "-c", "echo ready; sleep 500") as shell:
            shell.expect("ready")
            started = time.monotonic()
            shell.type("\x03")
            assert shell.end() in (130, -signal.SIGINT)
            assert time.monotonic() - started < 3
        assert "sleep 500" in shop.run("exec", name, "ps").stdout, "the program itself runs on, as with Docker"


def test_exec_detached(shop: stores.Store) -> None:
    with running(shop, "busybox", "sleep", "1000") as name:
        assert shop.run("exec", "-d", name, "sh", "-c", "echo 1 > /one; sleep 501").stdout == ""
        assert shop.run("exec", "-d", "-t", name, "sh", "-c", "yes | head -100000; tty > /two; sleep 502").stdout == ""
        until(lambda: shop.run("exec", name, "sh", "-c", "cat /one /two", check=False).stdout.startswith("1\n/dev/pts/"))
        listed = shop.run("exec", name, "ps").stdout
        assert "sleep 501" in listed
        assert "sleep 502" in listed


def test_exec_ends_with_its_program(shop: stores.Store) -> None:
    """What it leaves in the background holds the pipe open and nobody back."""
    with running(shop, "busybox", "sleep", "1000") as name:
        started = time.monotonic()
        assert shop.run("exec", name, "sh", "-c", "sleep 600 & echo started").stdout == "started\n"
        assert time.monotonic() - started < 5
        lines = shop.run("exec", name, "sh", "-c", "sleep 600 & seq 100000").stdout.splitlines()
        assert lines[-1] == "100000"
        assert len(lines) == 100_000


# -- pipes ------------------------------------------------------------------------------------------------------------------------
def test_stdin_piped(shop: stores.Store) -> None:
    assert shop.run("run", "--rm", "-i", "busybox", "cat", input="x\n").stdout == "x\n"
    assert shop.run("run", "--rm", "-i", "busybox", "cat", stdin=subprocess.DEVNULL).stdout == ""
    assert shop.run("run", "--rm", "-i", "busybox", "wc", "-c", input="12345").stdout.strip() == "5"
    with open("/etc/passwd") as file:
        assert shop.run("run", "--rm", "-i", "busybox", "cat", stdin=file).stdout == pathlib.Path("/etc/passwd").read_text()


def test_run_without_i_does_not_eat_stdin(shop: stores.Store) -> None:
    line = f"{stores.command()} run --rm busybox cat; cat"
    done = subprocess.run(["sh", "-c", line], input="mine\n", capture_output=True, text=True, env=shop.env, check=True, timeout=60)
    assert done.stdout == "mine\n"


def test_binary_and_large(shop: stores.Store) -> None:
    data = bytes(range(256)) * (10 << 20 >> 8)
    for words in (["run", "--rm", "-i", "busybox", "cat"],):
        done = subprocess.run([stores.command(), *words], input=data, capture_output=True, env=shop.env, check=True, timeout=120)
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
        assert done.stderr == b""
    with running(shop, "busybox", "sleep", "1000") as name:
        done = subprocess.run([stores.command(), "exec", "-i", name, "cat"], input=data, capture_output=True, env=shop.env, check=True, timeout=120)
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_stdout_and_stderr_are_apart(shop: stores.Store) -> None:
    done = shop.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    with running(shop, "busybox", "sleep", "1000") as name:
        done = shop.run("exec", name, "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


def test_output_closed_early(shop: stores.Store) -> None:
    line = f"{stores.command()} run --rm busybox sh -c 'yes 2>/dev/null | head -1000000; echo end' | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=shop.env, timeout=60, check=False)
    assert done.stdout == "y\n"
    assert "Traceback" not in done.stderr
    until(lambda: shop.run("ps", "-aq").stdout == "", 20)


def test_a_slow_reader_loses_nothing(shop: stores.Store) -> None:
    with shop.popen("run", "--rm", "busybox", "seq", "500000") as command:
        time.sleep(0.5)
        assert command.stdout is not None
        lines = command.stdout.read().splitlines()
        assert command.wait(60) == 0
    assert (len(lines), lines[-1]) == (500_000, "500000")


def test_stdin_stays_open_for_many_attachments(shop: stores.Store) -> None:
    with running(shop, "-i", "busybox", "sh", "-c", "while read line; do echo got $line; done"):
        name = shop.run("ps", "-lq").stdout.strip()
        for number in range(3):
            with shop.popen("attach", name, stdin=subprocess.PIPE) as command:
                assert command.stdin is not None
                assert command.stdout is not None
                command.stdin.write(f"{number}\n")
                command.stdin.flush()
                assert command.stdout.readline() == f"got {number}\n"
                command.kill()
        assert state(shop, name, "State.Running") == "true"


# -- exit codes and signals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 255", 255), ("kill -9 $$; sleep 0.1", 0), ("exec sh -c 'kill -TERM $$'", 0)])
def test_exit_codes(shop: stores.Store, script: str, code: int) -> None:
    # PID 1 of a namespace does not hear its own signals without a handler: pid_namespaces(7)
    assert shop.run("run", "--rm", "busybox", "sh", "-c", script, check=False, timeout=60).returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_of_the_command_are_forwarded(shop: stores.Store, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    with shop.popen("run", "--rm", "busybox", "sh", "-c", f"trap 'echo {name}; exit 11' {name}; echo ready; while :; do sleep 0.05; done") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.send_signal(number)
        assert command.stdout.read() == f"{name}\n"
        assert command.wait(30) == 11


def test_init(shop: stores.Store) -> None:
    # the orphan of a dead parent is reaped, and signals reach the program
    script = "(sleep 0.1 & exec true) ; sleep 0.5; ps -o stat,comm | grep -c ^Z; trap 'exit 12' TERM; echo ready; while :; do sleep 0.05; done"
    with shop.popen("run", "--rm", "--init", "busybox", "sh", "-c", script) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "0\n"
        assert command.stdout.readline() == "ready\n"
        command.send_signal(signal.SIGTERM)
        assert command.wait(30) == 12
    # without a handler the program dies of the signal, for it is not PID 1
    done = shop.run("run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$; sleep 0.1", check=False)
    assert done.returncode == 143
    shown = shop.run("run", "--rm", "--init", "-u", "1000", "busybox", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; ls -l /proc/1/exe /proc/1/fd 2>&1; id -u").stdout
    assert "/root" not in shown
    assert str(stores.CHECKOUT) not in shown
    assert shown.endswith("1000\n")


def test_kill_signal(shop: stores.Store) -> None:
    with running(shop, "busybox", "sh", "-c", "trap 'exit 13' USR1; while :; do sleep 0.05; done") as name:
        time.sleep(0.3)
        shop.run("kill", "-s", "USR1", name)
        assert shop.run("wait", name).stdout == "13\n"
        refused = shop.run("kill", name, check=False)
        assert (refused.returncode, "is not running" in refused.stderr) == (1, True)
    with running(shop, "busybox", "sleep", "1000") as name:
        assert shop.run("kill", name).stdout == f"{name}\n"
        assert shop.run("wait", name).stdout == "137\n"


def test_stop(shop: stores.Store) -> None:
    with running(shop, "busybox", "sleep", "1000") as name:
        started = time.monotonic()
        shop.run("stop", "-t", "1", name)  # PID 1 has no handler: it is killed
        assert 0.9 < time.monotonic() - started < 4
        assert shop.run("wait", name).stdout == "137\n"
        assert shop.run("stop", name).stdout == f"{name}\n", "stopping what is stopped is no error"
    with running(shop, "--stop-signal", "QUIT", "busybox", "sh", "-c", "trap 'exit 14' QUIT; while :; do sleep 0.05; done") as name:
        time.sleep(0.3)
        shop.run("stop", name)
        assert shop.run("wait", name).stdout == "14\n"
    with running(shop, "--stop-timeout", "1", "busybox", "sleep", "1000") as name:
        started = time.monotonic()
        shop.run("stop", name)
        assert time.monotonic() - started < 4
    with running(shop, "busybox", "sh", "-c", "trap 'exit 15' HUP; while :; do sleep 0.05; done") as name:
        time.sleep(0.3)
        shop.run("stop", "-s", "HUP", name)
        assert shop.run("wait", name).stdout == "15\n"


def test_wait(shop: stores.Store) -> None:
    with running(shop, "busybox", "sh", "-c", "sleep 0.5; exit 21") as name:
        assert shop.run("wait", name).stdout == "21\n"
        assert shop.run("wait", name).stdout == "21\n"
    created = shop.run("create", "busybox", "true").stdout.strip()
    assert shop.run("wait", created).stdout == "0\n"
    shop.run("rm", created)


def test_rm(shop: stores.Store) -> None:
    with running(shop, "busybox", "sleep", "1000") as name:
        refused = shop.run("rm", name, check=False)
        assert (refused.returncode, "container is running" in refused.stderr) == (1, True)
        started = time.monotonic()
        assert shop.run("rm", "-f", name).stdout == f"{name}\n"
        assert time.monotonic() - started < 3
        assert shop.run("rm", "-f", name).returncode == 0, "rm -f of what is gone is no error"
        assert shop.run("rm", name, check=False).returncode == 1


def test_cidfile(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cid"
    shop.run("run", "--cidfile", str(path), "busybox", "true")
    assert shop.run("ps", "-aq", "--no-trunc").stdout.strip() == path.read_text()
    again = shop.run("run", "--rm", "--cidfile", str(path), "busybox", "true", check=False)
    assert (again.returncode, "container ID file found" in again.stderr) == (125, True)
    shop.run("rm", path.read_text())


def test_logs(shop: stores.Store) -> None:
    with running(shop, "busybox", "sh", "-c", "echo one; echo two >&2; sleep 0.4; echo three; printf four") as name:
        followed = shop.run("logs", "-f", name)
        assert (followed.stdout, followed.stderr) == ("one\nthree\nfour", "two\n")
        assert shop.run("logs", "--tail", "1", name).stdout == "four"
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one\n", shop.run("logs", "-t", name).stdout)


def test_start_attached(shop: stores.Store) -> None:
    name = shop.run("create", "-i", "busybox", "sh", "-c", "echo hello; cat; exit 4").stdout.strip()
    for text in ("first\n", "second\n"):
        done = shop.run("start", "-ai", name, input=text, check=False)
        assert (done.stdout, done.returncode) == (f"hello\n{text}", 4)
    assert shop.run("start", name).stdout == f"{name}\n"
    assert shop.run("start", name).stdout == f"{name}\n"
    shop.run("rm", "-f", name)
    plain = shop.run("create", "busybox", "sh", "-c", "echo out; echo err >&2").stdout.strip()
    done = shop.run("start", "-a", plain)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    shop.run("rm", plain)


def test_what_a_container_writes_stays_with_it(shop: stores.Store) -> None:
    name = shop.run("create", "busybox", "sh", "-c", "cat /count; echo x >> /count").stdout.strip()
    assert [shop.run("start", "-a", name).stdout for _ in range(3)] == ["", "x\n", "x\nx\n"]
    assert shop.run("run", "--rm", "busybox", "ls", "/count", check=False).returncode == 1
    shop.run("rm", name)


# -- restarts ---------------------------------------------------------------------------------------------------------------------
def test_restart_on_failure(shop: stores.Store) -> None:
    done = shop.run("run", "--restart", "on-failure:2", "--name", "again", "busybox", "sh", "-c", "echo run; exit 5", check=False)
    assert done.returncode == 5
    until(lambda: state(shop, "again", "RestartCount") == "2" and state(shop, "again", "State.Status") == "exited")
    assert shop.run("logs", "again").stdout == "run\n" * 3
    shop.run("rm", "again")
    with running(shop, "--restart", "on-failure", "busybox", "true") as name:
        assert shop.run("wait", name).stdout == "0\n"
        time.sleep(0.3)
        assert (state(shop, name, "State.Status"), state(shop, name, "RestartCount")) == ("exited", "0")


def test_restart_always_until_stopped(shop: stores.Store) -> None:
    with running(shop, "--restart", "always", "busybox", "sh", "-c", "date +%N >> /starts; sleep 0.1") as name:
        until(lambda: int(state(shop, name, "RestartCount")) >= 2)
        assert state(shop, name, "State.Status") in ("running", "restarting")
        shop.run("stop", "-t", "1", name)
        count = state(shop, name, "RestartCount")
        time.sleep(0.8)
        assert (state(shop, name, "State.Status"), state(shop, name, "RestartCount")) == ("exited", count)
    with running(shop, "--restart", "always", "busybox", "sleep", "1000") as name:
        assert shop.run("exec", name, "sh", "-c", "kill -9 -1; true", check=False).returncode in (0, 137)
        # PID 1 can't be killed from inside; from outside it can, and comes back
        os.kill(int(state(shop, name, "State.Pid")), signal.SIGKILL)
        until(lambda: state(shop, name, "RestartCount") == "1" and state(shop, name, "State.Status") == "running")
        shop.run("rm", "-f", name)
        assert shop.run("ps", "-aq", "--filter", f"id={name}").stdout == ""


def test_rm_f_of_one_that_waits_to_restart(shop: stores.Store) -> None:
    with running(shop, "--restart", "always", "busybox", "false") as name:
        until(lambda: int(state(shop, name, "RestartCount")) >= 4)  # the pause is 1.6 s by now
        started = time.monotonic()
        shop.run("rm", "-f", name)
        assert time.monotonic() - started < 3
    assert shop.run("ps", "-aq").stdout == ""


# -- many at once -------------------------------------------------------------------------------------------------------------------
def test_fifty_at_once(shop: stores.Store) -> None:
    results: dict[int, tuple[int, str]] = {}

    def one(number: int) -> None:
        done = shop.run("run", "--rm", "busybox", "sh", "-c", f"echo {number}; exit {number}", check=False, timeout=120)
        results[number] = (done.returncode, done.stdout + done.stderr)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: (number, f"{number}\n") for number in range(50)}
    assert shop.run("ps", "-aq").stdout == ""
    until(lambda: os.listdir(shop.paths.active) == [] and os.listdir(shop.paths.containers) == [])
