"""The whole engine where cgroup v2 is all there is: one boot of user-mode Linux (6.1), whose facts are asserted one by one.

Debian builds that kernel without nf_tables' families for IPv4, so the default bridge can't be made there: containers run on no network
or on the machine's own, and the refusal is a fact too.
"""

import io
import json
import os
import pathlib
import shutil
import tarfile
from typing import Any

import pytest

from tests import stores
from tests.runtime import uml

pytestmark = [pytest.mark.root, pytest.mark.slow]

_INSIDE = r"""
import json, os, pathlib, signal, subprocess, sys, time

STORE, CGROUPS = "/mnt/store", pathlib.Path("/sys/fs/cgroup")
MODULES = pathlib.Path("/usr/lib/uml/modules", os.uname().release)
WITHOUT_NETWORK = "from boxship.engine import task; task.Tasks.__init__.__defaults__ = ('none',); from boxship.cli.main import main; main()"
started, facts, times = time.monotonic(), {}, []

def load(*modules):
    # insmod wants what a module needs to be there already; modules.dep names the nearest first
    needs = {}
    for line in (MODULES / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[pathlib.Path(path).stem] = [path, *others.split()]
    for name in modules:
        for path in reversed(needs.get(name, [])):
            subprocess.run(["insmod", MODULES / path], capture_output=True, check=False)

def run(*command):
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=40, check=False)
    times.append((round(time.monotonic() - begun, 2), " ".join(command)[-60:]))
    return [done.returncode, done.stdout, done.stderr]

def keep(name, *words):
    facts[name] = run(COMMAND, *words)

def sh(name, script, *flags):
    keep(name, "run", "--rm", "--network", "none", *flags, "busybox", "sh", "-c", script)

def groups():
    return [path for path in CGROUPS.glob("boxship*/**/*") if path.is_dir()]

subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
os.environ |= {"BOXSHIP_ROOT": STORE, "PYTHONPATH": SOURCE, "HOME": "/mnt", "TMPDIR": "/mnt", "PYTHONDONTWRITEBYTECODE": "1"}
os.environ.pop("BOXSHIP_RUN", None)

keep("import", "import", BUSYBOX, "busybox")
keep("no overlay", "run", "--rm", "--network", "none", "busybox", "echo", "hello")
load("overlay", "veth", "bridge", "nf_tables", "nft_ct", "nft_masq")
keep("bridge", "run", "--rm", "busybox", "echo", "hello")
keep("echo", "run", "--rm", "--network", "none", "busybox", "echo", "hello")
keep("exit", "run", "--rm", "--network", "host", "busybox", "sh", "-c", "exit 42")
keep("not found", "run", "--rm", "--network", "none", "busybox", "nosuchprogram")

life = 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done'
keep("detached", "run", "-d", "--name", "one", "--network", "none", "--pids-limit", "50", "busybox", "sh", "-c", life)
facts["groups"] = [[path.name, (path / "pids.max").read_text()] for path in groups()]
keep("exec", "exec", "one", "sh", "-c", "cat /proc/self/cgroup; grep -c . /sys/fs/cgroup/cgroup.procs; exit 7")
eat = ("dd", "if=/dev/zero", "of=/dev/null", "bs=40M", "count=1")
keep("oom", "run", "--name", "fat", "--network", "none", "-m", "32m", "busybox", *eat)
keep("stop", "stop", "one")
keep("logs", "logs", "one")
keep("stopped", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "one", "fat")
facts["groups of the stopped"] = [str(path) for path in groups()]
keep("start", "start", "one")
pid = min(int(line) for path in groups() for line in (path / "cgroup.procs").read_text().split())
shim = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
facts["shim"] = pathlib.Path(f"/proc/{shim}/cgroup").read_text()
os.kill(shim, signal.SIGKILL)
keep("lost", "ps", "-a", "--format", "{{.Names}} {{.State}}")
facts["groups of the lost"] = [str(path) for path in groups()]
keep("start the lost", "start", "one")
keep("rm", "rm", "-f", "one", "fat")

sh("pids", "for i in 1 2 3; do sleep 9 & done", "--pids-limit", "3")
context = pathlib.Path("/mnt/context")
context.mkdir()
(context / "Dockerfile").write_text("FROM busybox\nRUN cat /proc/self/cgroup > /a\nRUN tr a-z A-Z < /etc/passwd > /b; echo done-$((6*7))\n")
for name in ("build", "cached"):
    facts[name] = run(sys.executable, "-c", WITHOUT_NETWORK, "build", "-t", "built", str(context))

limits = ("--cpus", "0.5", "-m", "64m", "--pids-limit", "33", "--cpu-shares", "512")
script = '''cat /a /b; cd /sys/fs/cgroup; cat cpu.max memory.max pids.max cpu.weight /proc/self/cgroup
grep -c " /sys/fs/cgroup ro,.* - cgroup2 " /proc/self/mountinfo; mkdir new; echo 9 > pids.max'''
keep("built", "run", "--rm", "--network", "none", *limits, "built", "sh", "-c", script)
sh("devices", '''head -c 2 /dev/zero | wc -c; echo x > /dev/null && echo null; mknod /tty c 4 64 && echo made; true < /tty
true < /dev/kmsg && echo opened; true > /dev/kmsg''', "--device", "/dev/kmsg:/dev/kmsg:r")
sh("privileged", '''cd /sys/fs/cgroup; mkdir below; sleep 99 & echo $! > below/cgroup.procs; grep -c . below/cgroup.procs
mknod /kmsg c 1 11; : < /kmsg && echo opened''', "--privileged")

keep("info", "info", "-f", "{{.CgroupVersion}} {{json .Orphans}}")
keep("containers", "ps", "-aq")
facts["left groups"] = [str(path) for path in groups()]
facts["left mounts"] = [line for line in open("/proc/self/mountinfo") if STORE in line]
facts["times"] = [round(time.monotonic() - started, 1), *times]
pathlib.Path(REPORT).write_text(json.dumps(facts))
"""


def _busybox(to: pathlib.Path) -> str:
    """A tar of a root file system that is one static program."""
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    with tarfile.open(to, "w") as tar:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        tar.add(program, "bin/busybox")
        for name in ("sh", "cat", "dd", "echo", "grep", "head", "mkdir", "mknod", "sleep", "tr", "wc"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        text = b"root:x:0:0:root:/:/bin/sh\n"
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(text)
        tar.addfile(passwd, io.BytesIO(text))
    return str(to)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All that the machine reported; it is down when this returns. A command's fact is [exit code, output, errors]."""
    if shutil.which("linux.uml") is None:
        pytest.skip("linux.uml is not installed (Debian: user-mode-linux)")
    if shutil.which("insmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        pytest.skip("insmod is not installed (Debian: kmod)")
    folder = tmp_path_factory.mktemp("v2")
    report = folder / "report.json"
    given = {
        "COMMAND": stores.command(),
        "BUSYBOX": _busybox(folder / "busybox.tar"),
        "SOURCE": str(stores.CHECKOUT / "src"),
        "REPORT": str(report),
    }
    head = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    output = uml.run(head + _INSIDE, folder, timeout=150, memory="768M")
    assert report.exists(), output
    return json.loads(report.read_text())


def test_programs_and_their_exit_codes(facts: Any) -> None:
    assert facts["import"][0] == 0, facts["import"]
    assert facts["echo"] == [0, "hello\n", ""]
    assert facts["exit"] == [42, "", ""]
    assert facts["not found"][0] == 127
    assert 'exec: "nosuchprogram": executable file not found in $PATH' in facts["not found"][2]


def test_a_kernel_without_nat_is_told_so(facts: Any) -> None:
    code, out, err = facts["bridge"]
    assert (code, out) == (125, "")
    assert "this kernel can't make the network" in err
    assert "hint: it needs bridge, veth and nf_tables with nat" in err


def test_a_kernel_without_overlayfs_is_told_so(facts: Any) -> None:
    code, out, err = facts["no overlay"]
    assert (code, out) == (125, "")
    assert "can't mount the container's root: mount overlay" in err
    assert "\nhint: the kernel needs overlayfs: modprobe overlay\n" in err


def test_a_detached_container(facts: Any) -> None:
    container = facts["detached"][1].strip()
    assert facts["detached"] == [0, f"{container}\n", ""]
    assert facts["groups"] == [[container, "50\n"]]
    assert facts["exec"][0] == 7, facts["exec"]
    assert facts["exec"][1].startswith("0::/\n")
    assert facts["stop"] == [0, "one\n", ""]
    assert facts["logs"] == [0, "up\nbye\n", ""]
    assert facts["stopped"][1].splitlines()[0] == "exited 3 false"
    assert facts["groups of the stopped"] == []


def test_limits(facts: Any) -> None:
    assert facts["oom"][0] == 137
    assert facts["stopped"][1].splitlines()[1] == "exited 137 true"
    assert facts["pids"] == [2, "", "sh: can't fork: Resource temporarily unavailable\n"]
    assert facts["built"][1].splitlines()[2:6] == ["50000 100000", str(64 << 20), "33", "20"]


def test_the_container_sees_its_own_group_read_only(facts: Any) -> None:
    assert facts["built"][1].splitlines()[6:] == ["0::/", "1"]
    assert facts["built"][2].splitlines() == [
        "mkdir: can't create directory 'new': Read-only file system",
        "sh: can't create pids.max: Read-only file system",
    ]


def test_devices(facts: Any) -> None:
    code, out, err = facts["devices"]
    assert (code, out) == (1, "2\nnull\nmade\nopened\n")
    assert err.splitlines() == [
        "sh: can't open /tty: Operation not permitted",
        "sh: can't create /dev/kmsg: Operation not permitted",
    ]


def test_a_privileged_container_may_make_groups_that_go_with_it(facts: Any) -> None:
    assert facts["privileged"] == [0, "1\nopened\n", ""]


def test_a_container_whose_shim_was_killed_has_ended_and_starts_again(facts: Any) -> None:
    assert facts["start"] == [0, "one\n", ""]
    assert "boxship" not in facts["shim"]
    assert facts["lost"] == [0, "fat exited\none exited\n", ""]
    assert facts["groups of the lost"] == []
    assert facts["start the lost"] == [0, "one\n", ""]
    assert facts["rm"] == [0, "one\nfat\n", ""]


def test_build(facts: Any) -> None:
    assert facts["build"][0] == 0, facts["build"]
    assert " done-42\n" in facts["build"][2]
    assert facts["cached"][2].count(" CACHED\n") == 2, facts["cached"]
    assert facts["built"][1].splitlines()[:2] == ["0::/", "ROOT:X:0:0:ROOT:/:/BIN/SH"]


def test_nothing_is_left(facts: Any) -> None:
    version, _, orphans = facts["info"][1].partition(" ")
    assert version == "2"
    assert not any(json.loads(orphans).values()), orphans
    assert facts["containers"] == [0, "", ""]
    assert facts["left groups"] == []
    assert facts["left mounts"] == []
