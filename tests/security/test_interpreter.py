"""The interpreter and the container: neither gets hold of the other."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root

# what init and exec helpers open between joining the container and its program: nothing that an image could bring
MEANT = ("/proc/sys/", "/proc/self/", "/dev/null", "/dev/pts/ptmx", "/dev/console", "/proc/", "/sys/")
BAIT = (
    "etc/ld.so.preload",
    "etc/ld.so.cache",
    "etc/nsswitch.conf",
    "etc/localtime",
    "usr/lib/python3.11/encodings/__init__.py",
    "usr/lib/python3.11/encodings/idna.py",
    "usr/lib/python3.11/traceback.py",
    "usr/lib/python3/os.py",
    "lib/x86_64-linux-gnu/libnss_files.so.2",
    "usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
    "usr/bin/xz",
    "usr/bin/gzip",
    "bin/tar",
)


def digests() -> list[str]:
    paths = [os.path.realpath(sys.executable), stores.command()]
    return [hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in paths]


@pytest.fixture(scope="module")
def image(den: stores.Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    mark = attack.file("#!/bin/sh\necho hostile >> /pwned\n", 0o755)
    self = attack.file("#!/proc/self/exe\nopen('/pwned', 'w')\n", 0o755)
    entries = {**dict.fromkeys(BAIT, mark), "self": self, "exe": attack.link("/proc/self/exe")}
    return attack.put(den, tmp_path_factory.mktemp("bait"), "bait", entries)


def _trace(den: stores.Store, commands: list[list[str]], out: pathlib.Path) -> list[str]:
    """The openings by processes of ours after they entered a container, before they became its program."""
    pids = [str(pid) for pid in stores._processes(den)]
    attached = [word for pid in pids for word in ("-p", pid)]
    calls = "trace=openat,open,openat2,execve,pivot_root,setns,%stat,access,readlink,chdir"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", calls, "-o", str(out), *attached], stderr=subprocess.PIPE)
    time.sleep(0.5)
    if tracer.poll() is not None and tracer.returncode:
        pytest.skip("this machine cannot trace")
    for command in commands:
        den.run(*command, check=False)
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    inside: dict[str, bool] = {}
    found = []
    for line in out.read_text().splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith("pivot_root(") or (call.startswith("setns(") and "CLONE_NEWUTS" in call):
            inside[pid] = True
        elif call.startswith("execve("):
            inside[pid] = False
        elif inside.get(pid):
            found.append(call)
    return found


def test_nothing_of_the_image_is_opened(den: stores.Store, image: str, tmp_path: pathlib.Path) -> None:
    """CVE-2019-14271"""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    den.run("run", "-d", "--name", "traced", image, "sleep", "100")
    commands = [
        ["run", "--rm", image, "true"],
        ["run", "--rm", "-t", "--init", "-u", "12", "-w", "/tmp", image, "true"],
        ["run", "--rm", image, "/nothing"],
        ["run", "--rm", image, "nothing"],
        ["run", "--rm", image, "/etc"],
        ["exec", "traced", "true"],
        ["exec", "-t", "-u", "daemon", "traced", "true"],
        ["exec", "-w", "/nowhere", "traced", "true"],
        ["exec", "traced", "nothing"],
    ]
    calls = _trace(den, commands, tmp_path / "trace")
    assert any("/dev/null" in call for call in calls), "nothing was traced"
    for call in calls:
        words = call.split('"')
        named = words[1] if len(words) > 1 else ""
        if call.startswith(("chdir", "setns")) or named in ("", "/etc", "etc", "nothing", "/nothing", "."):
            continue
        assert named.startswith(MEANT), call


@pytest.mark.parametrize("program", ["/self", "/exe", "/proc/self/exe"])
def test_the_interpreter_is_out_of_reach(den: stores.Store, image: str, program: str) -> None:
    """CVE-2019-5736"""
    before = digests()
    writer = "while :; do for p in /proc/[0-9]*; do for f in exe fd/3 fd/5 fd/9; do true >> $p/$f; done; done; done"
    den.run("run", "-d", "--name", "writer", image, "sh", "-c", f"({writer}) 2>/dev/null")
    try:
        for _ in range(3):
            den.run("exec", "writer", program, check=False, timeout=20, stdin=subprocess.DEVNULL)
            den.run("run", "--rm", image, program, "-c", "1", check=False, timeout=20, stdin=subprocess.DEVNULL)
        done = den.run("exec", "writer", "sh", "-c", f"true >> {program}; echo $?; readlink {program}", check=False)
        attack.clean(done.stderr)
        assert den.run("exec", "writer", "true").returncode == 0
    finally:
        den.run("rm", "-f", "writer")
    assert digests() == before


def test_the_init_of_init(den: stores.Store, image: str) -> None:
    """With --init, PID 1 stays a process of ours: it tells nothing and can't be written to"""
    look = "readlink /proc/1/exe; cat /proc/1/environ; ls -l /proc/1/fd; cat /proc/1/maps; true > /proc/1/exe; tr '\\0' ' ' < /proc/1/cmdline"
    for user in ("0", "12"):
        done = den.run("run", "--rm", "--init", "-u", user, image, "sh", "-c", look, check=False)
        text = done.stdout + done.stderr
        for word in ("/var/tmp", str(stores.CHECKOUT), "python", "PATH=", "LD_LIBRARY_PATH", sys.prefix):
            assert word not in text, text


PEEK = """
i=0
while [ ! -e /stop ]; do
  for p in /proc/[0-9]*; do
    case $p in /proc/1|/proc/$$) continue;; esac
    [ -e $p/root$1 ] && echo root $p >> /found
    for l in $p/cwd $p/exe $p/fd/*; do
      t=$(readlink $l 2>/dev/null) || continue
      case $t in *$2*|*memfd*|*active*|*cgroup*) echo $l $t >> /found;; esac
    done
  done
done
"""


@pytest.mark.parametrize("extra", [[], ["--cap-add", "SYS_PTRACE"]], ids=["default", "ptrace"])
def test_a_joining_process_shows_nothing(den: stores.Store, tmp_path: pathlib.Path, extra: list[str]) -> None:
    """CVE-2016-9962: exec joins without descriptors of the host, and with the container's own root from the first instant"""
    secret = tmp_path / "of-the-host"
    secret.write_text("secret")
    den.run("run", "-d", "--name", "peek", *extra, "busybox", "sh", "-c", PEEK, "sh", str(secret), den.root)
    try:
        for _ in range(25):
            den.run("exec", "peek", "true")
        found = den.run("exec", "peek", "sh", "-c", "touch /stop; cat /found", check=False).stdout
        assert "root " not in found, found
        if not extra:
            assert found == ""
    finally:
        den.run("rm", "-f", "peek")


def test_only_the_streams_are_open(den: stores.Store) -> None:
    """CVE-2024-21626"""
    den.run("run", "-d", "--name", "open", "busybox", "sleep", "100")
    show = ("sh", "-c", "ls /proc/self/fd; ls /proc/1/fd")
    for flags in (["run", "--rm", "busybox"], ["run", "--rm", "-t", "busybox"], ["run", "--rm", "-i", "busybox"], ["exec", "open"],
                  ["exec", "-t", "open"], ["exec", "-i", "open"], ["run", "--rm", "--init", "busybox"]):  # fmt: skip
        shown = den.run(*flags, *show, stdin=subprocess.DEVNULL, check=False).stdout.split()
        assert set(shown) <= {"0", "1", "2", "3"}, (flags, shown)  # 3: the directory that ls reads
        assert shown.count("3") <= 1 + ("--init" not in flags and "exec" not in flags), (flags, shown)


@pytest.mark.parametrize("number", [3, 5, 8, 12, 17])
def test_working_directories_of_descriptors(den: stores.Store, number: int, tmp_path: pathlib.Path) -> None:
    """CVE-2024-21626"""
    where = f"/proc/self/fd/{number}"
    if number == 3:
        den.run("run", "-d", "--name", "working", "busybox", "sleep", "100")
        den.run("exec", "working", "ln", "-s", "/proc/self/fd", "/fds")
    image = attack.put(den, tmp_path, "workdir", {"in": attack.link(where)}, {"WorkingDir": "/in"})
    for command in (["run", "--rm", "-w", where, "busybox"], ["run", "--rm", image], ["exec", "-w", where, "working"],
                    ["exec", "-w", f"/fds/{number}", "working"], ["exec", "-w", f"{where}/../../..", "working"]):  # fmt: skip
        done = den.run(*command, "ls", "-a", "../../../..", check=False)
        attack.clean(done.stderr)
        assert done.returncode != 0, done.stdout
