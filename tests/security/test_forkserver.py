"""The fork server and the shims against strange clients: other users, floods, silence, garbage, sudden ends."""

import contextlib
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import time

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root

SERVERS = (b"boxship-fork", b"boxship-breed", b"boxship-warm")


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(10)
    connection.connect(path)
    return connection


def works(den: stores.Store) -> None:
    assert den.run("run", "--rm", "busybox", "echo", "well", timeout=20).stdout == "well\n"


def servers(den: stores.Store) -> list[int]:
    """The processes that stay: neither shims nor helpers."""
    found = []
    for pid in stores._processes(den):
        with contextlib.suppress(OSError):
            if (
                b"shim" not in pathlib.Path(f"/proc/{pid}/comm").read_bytes()
                and b"boxship" in pathlib.Path(f"/proc/{pid}/comm").read_bytes()
            ):
                found.append(pid)
    return sorted(found)


def test_sockets_and_directories_are_the_owner_s(den: stores.Store) -> None:
    """CVE-2021-41091, CVE-2021-41103: nobody else enters"""
    den.run("run", "-d", "--name", "modes", "-v", "named:/v", "busybox", "echo", "secret")
    den.run("wait", "modes")
    for folder in (den.paths.run, den.paths.active):
        assert os.stat(folder).st_mode & 0o077 == 0, folder
    for path in pathlib.Path(den.paths.run).rglob("*"):
        assert path.lstat().st_mode & 0o077 == 0 or path.name.startswith("seccomp-"), path
    for folder in (den.root, den.paths.containers, den.paths.layers, den.paths.volumes, den.paths.content, den.paths.tmp):
        assert os.stat(folder).st_mode & 0o066 == 0, folder
    assert os.stat(den.root).st_mode & 0o007 == 0  # set-user-id programs of images are no host's
    for path in [den.paths.db, *map(str, pathlib.Path(den.paths.containers).glob("*/*-json.log"))]:
        assert os.stat(path).st_mode & 0o037 == 0, path
    stranger = f"import os; os.setgroups([]); os.setgid(12); os.setuid(12); os.stat({den.paths.containers!r})"
    assert subprocess.run([sys.executable, "-c", stranger], capture_output=True, check=False).returncode != 0


def test_another_user_is_refused(den: stores.Store) -> None:
    """Even where the modes let it connect"""
    works(den)
    opened = [den.paths.run, den.paths.fork_socket]
    modes = [os.stat(path).st_mode & 0o7777 for path in opened]
    request = json.dumps({"op": "start", "id": "x"})
    stranger = (
        "import os, socket; os.setgroups([]); os.setgid(12); os.setuid(12); s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"s.connect({den.paths.fork_socket!r}); s.settimeout(5)\n"
        f"try: s.send({request.encode()!r}); print(s.recv(99))\n"
        "except OSError as error: print('refused')"
    )
    try:
        for path in opened:
            os.chmod(path, 0o777)
        done = subprocess.run([sys.executable, "-c", stranger], capture_output=True, text=True, check=False, timeout=20)
        assert done.stdout.strip() in ("refused", "b''"), done
    finally:
        for path, mode in zip(opened, modes, strict=True):
            os.chmod(path, mode)
    works(den)


def test_no_abstract_socket(den: stores.Store) -> None:
    """CVE-2020-15257"""
    den.run("run", "-d", "--name", "listening", "busybox", "sleep", "100")
    shown = den.run("run", "--rm", "--network", "host", "busybox", "cat", "/proc/net/unix").stdout
    assert not [line for line in shown.splitlines() if "@" in line and "boxship" in line]


def test_floods_and_silence(den: stores.Store) -> None:
    """200 connections that say nothing, when it may have 60 files open: the next command works"""
    works(den)
    subprocess.run(["prlimit", "--nofile=60:60", "-p", str(servers(den)[0])], check=True)
    silent = []
    try:
        for _ in range(200):
            with contextlib.suppress(TimeoutError, BlockingIOError):
                silent.append(connect(den.paths.fork_socket))
        works(den)
    finally:
        for connection in silent:
            connection.close()
    works(den)
    assert servers(den), "it has gone"


@pytest.mark.parametrize("target", ["fork server", "shim"])
def test_garbage(den: stores.Store, target: str) -> None:
    """What is no request is answered or ignored; the server and the container live on"""
    den.run("rm", "-f", "garbage", check=False)
    identity = den.run("run", "-d", "--name", "garbage", "busybox", "sleep", "100").stdout.strip()
    path = den.paths.fork_socket if target == "fork server" else f"{den.paths.active}/{identity}/sock"
    chooser = random.Random(3)
    documents: list[bytes] = [b"{", b"null", b"[]", b'""', b"7", b"{}", b'{"op":1}', b'{"op":"signal"}', b'{"op":"signal","signal":"x"}',
        b'{"op":"signal","signal":99999}', b'{"op":"signal","signal":-1}', b'{"op":"resize","rows":-1,"cols":1e99}', b'{"op":"attach"}',
        b'{"op":"attach","streams":["stdin","stdout","stdin","x"]}', b'{"op":"attach","streams":7}', b'{"op":"start"}', b'{"op":"exec"}',
        b'{"op":"task"}', b'{"op":"spilled"}', b'{"op":"stop","signal":"x","timeout":0}', b'{"op":"stop","signal":0,"timeout":"nan"}',
        b'{"op":"exec","id":"../../../etc","argv":["x"]}\n{', b"[" * 5000, b"\xff" * 1000, b'{"op":"sync"}' + b" " * 190000,
        *(chooser.randbytes(chooser.randrange(1, 400)) for _ in range(20))]  # fmt: skip
    for number, data in enumerate(documents):
        connection = connect(path)
        fds = os.open("/dev/null", os.O_RDONLY)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("3i", fds, fds, fds))] if number % 3 == 0 else []
        with contextlib.suppress(OSError):
            connection.sendmsg([data], ancillary)
            if number % 2:
                connection.settimeout(0.3)
                connection.recv(4096)
        connection.close()
        os.close(fds)
    works(den)
    assert den.run("inspect", "-f", "{{.State.Running}}", "garbage").stdout == "true\n"
    assert den.run("exec", "garbage", "echo", "here").stdout == "here\n"
    pathlib.Path(den.paths.run, "fork.log").write_text("")  # helpers complain of garbage there, and only there


def test_clients_that_die_at_any_moment(den: stores.Store) -> None:
    for number in range(10):
        client = den.popen("run", "--rm", "busybox", "sleep", "0.3")
        time.sleep(0.012 * number)
        client.kill()
        client.communicate()
    den.run("run", "-d", "--name", "victim", "busybox", "sleep", "100")
    for number in range(8):
        client = den.popen("exec", "victim", "sleep", "0.2")
        time.sleep(0.012 * number)
        client.kill()
        client.communicate()
    works(den)
    den.run("rm", "-f", "victim")
    deadline = time.monotonic() + 8
    while len(den.run("ps", "-q").stdout.split()) > 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    for kind, count in json.loads(den.run("info", "--format", "{{json .}}").stdout).get("Orphans", {}).items():
        assert count == 0, kind


def growth(pids: list[int]) -> tuple[int, int]:
    fds = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
    pages = sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return fds, pages * 4096


def zombies(pids: list[int]) -> int:
    count = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            count += fields[0] == "Z" and int(fields[1]) in pids
    return count


def test_nothing_grows(den: stores.Store) -> None:
    """CVE-2022-1708, CVE-2022-31030: many runs and execs leave no descriptor, no zombie, no memory"""
    den.run("run", "-d", "--name", "grown", "busybox", "sleep", "1000")
    works(den)
    before = servers(den)
    fds, memory = growth(before)
    script = "i=0; while [ $i -lt 15 ]; do {0} run --rm busybox true; {0} exec grown true; i=$((i+1)); done".format(
        stores.command()
    )
    subprocess.run(["sh", "-c", f"({script}) & ({script}) & wait"], env=den.env, check=True, timeout=100)
    time.sleep(0.2)
    assert servers(den) == before
    more_fds, more_memory = growth(before)
    assert more_fds <= fds + 2
    assert more_memory < memory + (1 << 20)
    assert zombies(before) == 0


def test_output_without_a_reader(den: stores.Store) -> None:
    """CVE-2022-23471: a program that floods its output while nobody reads costs no memory"""
    identity = den.run("run", "-d", "--name", "noisy", "busybox", "sleep", "100").stdout.strip()
    client = den.popen("exec", "noisy", "yes")
    state = json.loads(pathlib.Path(den.paths.active, identity, "state.json").read_text())
    time.sleep(1.0)
    pids = [*servers(den), state["shim"]]
    assert growth(pids)[1] < 200 << 20
    client.kill()
    client.communicate()
    den.run("rm", "-f", "noisy", timeout=10)


def test_programs_with_strange_ends(den: stores.Store) -> None:
    """Closed streams, broken pipes, forks at the end: the exit code arrives, nothing hangs"""
    assert den.run("run", "--rm", "busybox", "sh", "-c", "exec >&- 2>&- <&-; exit 5", check=False, timeout=10).returncode == 5
    assert (
        den.run(
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "trap '' TERM; (sleep 100 &) ; (while :; do (:) & done) & exit 6",
            check=False,
            timeout=20,
        ).returncode
        == 6
    )
    bomb = "trap 'b() { b | b & b; }; b' EXIT; exit 7"
    assert den.run("run", "--rm", "--pids-limit", "40", "busybox", "sh", "-c", bomb, check=False, timeout=30).returncode in (
        2,
        7,
        137,
    )
    piped = subprocess.run(["sh", "-c", f"{stores.command()} run --rm busybox yes | head -1; {stores.command()} run --rm busybox sh -c 'kill -PIPE $$'; echo $?"],
                           env=den.env, capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    assert piped.stdout == "y\n0\n" or piped.stdout == "y\n141\n", piped
    attack.clean(piped.stderr)
    works(den)
