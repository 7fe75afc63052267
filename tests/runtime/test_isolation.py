"""What a container is given, fact by fact, against what dockerd gives on the same machine.

Both run the same probes (tests/data/probe). Where we differ on purpose the reason stands in a table here; whatever is not
in a table must be equal.
"""

import os
import pathlib
import platform
import re
from collections.abc import Iterator

import pytest

from tests import dockerd, probe, stores
from tests.conftest import put_busybox

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("isolation")]

LAST_CALL = 470


@pytest.fixture(scope="module")
def shop() -> Iterator[stores.Store]:
    with stores.make() as made:
        put_busybox(made)
        yield made


@pytest.fixture(scope="module")
def docker() -> Iterator[dockerd.Docker]:
    with dockerd.serve() as served:
        served.put_busybox()
        yield served


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("probe")
    probe.build("syscalls", folder)
    folder.chmod(0o755)
    (folder / "isolation.sh").write_bytes((probe.SOURCES / "isolation.sh").read_bytes())
    return str(folder)


def words(programs: str, *command: str, flags: tuple[str, ...] = ()) -> list[str]:
    return ["run", "--rm", "--network", "none", *flags, "-v", f"{programs}:/probe:ro", "busybox", *command]


def facts(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) if ": " in line else (line, "") for line in text.splitlines())


# -- the facts ---------------------------------------------------------------------------------------------------------------------
# fact -> (dockerd 20.10, ours, why); None: there is no such line
ON_PURPOSE: dict[str, tuple[str | None, str | None, str]] = {
    "path /proc/interrupts": (r"file of 1, .*", "file of 0, .*", "masked since Docker 27: it tells when others type"),
    "mount /proc/interrupts": (None, "tmpfs .*", "the mask itself, /dev/null"),
    "path /sys/devices/virtual/powercap": ("directory of some, .*", "directory of 0, cannot be written to", "masked since Docker 23: PLATYPUS, CVE-2020-8694"),
    "mount /sys/devices/virtual/powercap": (None, "tmpfs .*ro.*", "the mask itself"),
    "mount /sys/fs/cgroup": ("tmpfs .*rw", "tmpfs .*ro", "on v1 runc of 20.10 leaves the tmpfs above the hierarchies writable; nothing needs that"),
    "path /sys/fs/cgroup": ("directory of some, can be written to", "directory of some, cannot be written to", "the same"),
    "mount /sys/fs/cgroup/systemd": ("cgroup .*name=systemd.*", None, "v1's named hierarchy without a controller: there is nothing to see in it"),
    "status SigIgn": ("[0-9a-f]{16}", "0{16}", "dockerd hands on what it was started with; nothing that was ignored is inherited from us"),
    "device c:10:200": ("made, opened", "made, Operation not permitted", "tun: in the list of runc, not in moby's; --device /dev/net/tun gives it"),
}  # fmt: skip
# not in this table because the namespaces' names are compared with the host's: 20.10 makes no cgroup namespace on v1, we do on both


def purposely(fact: str, theirs: str | None, ours: str | None) -> bool:
    if fact not in ON_PURPOSE:
        return False
    for value, expected in zip((theirs, ours), ON_PURPOSE[fact], strict=False):
        if (value is None) != (expected is None) or (value is not None and not re.fullmatch(expected or "", value)):
            return False
    return True


_MOUNT_NOISE = re.compile(r"(lowerdir|upperdir|workdir|nr_inodes|size|inode64|xino|index|metacopy|redirect_dir|uuid)(=[^,]*)?|discard|errors=[^,]*|resv_strict|res[ug]id=\d+|data=\w+|relatime")


def comparable(found: dict[str, str]) -> dict[str, str]:
    """Without what differs from one container to the next."""
    out = {}
    for fact, value in found.items():
        if fact.startswith("namespace "):
            continue  # compared with the host's below
        if fact.startswith("mount "):
            kind, _, options = value.partition(" ")
            kept = sorted(filter(None, (option for option in options.split(",") if not _MOUNT_NOISE.fullmatch(option))))
            out[fact] = f"{kind} {','.join(kept)}"
        else:
            out[fact] = value
    return out


@pytest.mark.parametrize("flags", [(), ("-u", "1000"), ("-u", "1000:50"), ("-u", "daemon"), ("--read-only", "--tmpfs", "/tmp")], ids=" ".join)
def test_every_fact(shop: stores.Store, docker: dockerd.Docker, programs: str, flags: tuple[str, ...]) -> None:
    line = words(programs, "sh", "/probe/isolation.sh", flags=flags)
    theirs = comparable(facts(docker.run(*line).stdout))
    ours = comparable(facts(shop.run(*line).stdout))
    assert len(theirs) > 100
    differing = {fact: (theirs.get(fact), ours.get(fact)) for fact in theirs.keys() | ours.keys() if theirs.get(fact) != ours.get(fact)}
    assert {fact: pair for fact, pair in differing.items() if not purposely(fact, *pair)} == {}


def test_namespaces_are_new(shop: stores.Store, programs: str) -> None:
    found = facts(shop.run(*words(programs, "sh", "/probe/isolation.sh")).stdout)
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert found[f"namespace {name}"] != os.readlink(f"/proc/self/ns/{name}"), name
    assert found["namespace user"] == os.readlink("/proc/self/ns/user"), "no user namespace without being asked, as with Docker"


# -- system calls ------------------------------------------------------------------------------------------------------------------
# numbers on x86_64 -> (dockerd 20.10, ours, why). Our profile is that of Docker 28: tests/conformance/test_seccomp.py compares it with moby's.
_NEW = "newer than the profile of 20.10: runc answers ENOSYS for it"
CALLS_ON_PURPOSE = {
    (303,): ({"EPERM"}, {"other"}, "name_to_handle_at: harmless without open_by_handle_at, allowed since Docker 24"),
    (310, 311): ({"EPERM"}, {"other"}, "process_vm_readv and -writev: as ptrace, allowed from Linux 4.8 on"),
    (329, 330, 331): ({"EPERM"}, {"other"}, "pkey_mprotect, -alloc, -free: allowed since Docker 23"),
    (425, 426, 427): ({"other"}, {"EPERM"}, "io_uring: no more since Docker 25"),
    (450,): ({"ENOSYS"}, {"EPERM"}, f"set_mempolicy_home_node, wants CAP_SYS_NICE: {_NEW}"),
    (451, 452, 454, 455, 456, 457, 458, 462, 463, 464, 465, 466): ({"ENOSYS"}, {"other"}, _NEW),
    (459, 460, 461): ({"ENOSYS"}, {"EPERM", "other"}, f"lsm_*, want CAP_SYS_ADMIN: {_NEW}"),
}


def explained(nr: int, theirs: str, ours: str) -> bool:
    return any(nr in numbers and theirs in before and ours in now for numbers, (before, now, _) in CALLS_ON_PURPOSE.items())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this machine cannot compare: the numbers in the table are those of x86_64")
@pytest.mark.parametrize("flags", [(), ("--cap-add", "SYS_ADMIN")], ids=["default", "SYS_ADMIN"])
def test_seccomp_verdicts(shop: stores.Store, docker: dockerd.Docker, programs: str, flags: tuple[str, ...]) -> None:
    line = words(programs, "/probe/syscalls", str(LAST_CALL), flags=flags)
    theirs, ours = (dict(row.split() for row in run(*line).stdout.splitlines()) for run in (docker.run, shop.run))
    assert len(ours) == len(theirs) > 450
    differing = {int(nr): (theirs[nr], ours[nr]) for nr in ours if theirs[nr] != ours[nr]}
    assert {nr: pair for nr, pair in differing.items() if not explained(nr, *pair)} == {}


# -- descriptors -------------------------------------------------------------------------------------------------------------------
def test_only_the_standard_streams_are_inherited(shop: stores.Store) -> None:
    """Of PID 1 and of exec, also in the moment before it becomes the program (CVE-2016-9962, CVE-2024-21626)."""
    watch = "while :; do for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null | sed -n 's/.* -> //p'; readlink $p/cwd $p/root; done; done"
    name = shop.run("run", "-d", "busybox", "sh", "-c", f"({watch}) > /seen 2>/dev/null").stdout.strip()
    for flags in ((), ("-u", "1000"), ("--privileged",), ("-w", "/tmp")):
        for _ in range(3):
            assert shop.run("exec", *flags, name, "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]
    seen = set(shop.run("exec", name, "sort", "-u", "/seen").stdout.split("\n"))
    shop.run("rm", "-f", name)
    allowed = re.compile(r"/|/tmp|/seen|/dev/null|/proc/\d+(/\w+)*|pipe:\[\d+\]|/dev/pts/\d+|socket:\[\d+\]|/bin(/\w+)?|")
    assert {target for target in seen if not allowed.fullmatch(target)} == set()
    assert len(seen) > 3


def test_the_interpreter_is_out_of_reach(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    """/proc/self/exe of what joins or becomes a container leads to a sealed copy in memory (CVE-2019-5736)."""
    import hashlib
    import sys

    before = hashlib.sha256(pathlib.Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest()
    script = tmp_path / "evil"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    attack = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || (echo broken > $p/exe) 2>/dev/null; done; done"
    name = shop.run("run", "-d", "-v", f"{script}:/evil", "busybox", "sh", "-c", attack).stdout.strip()
    for _ in range(5):
        shop.run("exec", name, "/evil", check=False)
        shop.run("exec", name, "true")
    shop.run("rm", "-f", name)
    shop.run("run", "--rm", "-v", f"{script}:/evil", "busybox", "/evil", check=False)
    assert hashlib.sha256(pathlib.Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest() == before
    assert shop.run("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n"


# -- limits ------------------------------------------------------------------------------------------------------------------------
def test_out_of_memory(shop: stores.Store) -> None:
    done = shop.run("run", "--name", "oom", "-m", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero", check=False)
    shown = shop.run("inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom").stdout
    shop.run("rm", "oom")
    assert (done.returncode, shown) == (137, "true 137\n")


def test_too_many_processes(shop: stores.Store) -> None:
    done = shop.run("run", "--rm", "--pids-limit", "10", "busybox", "sh", "-c", "for i in $(seq 20); do sleep 3 & done; wait", check=False)
    assert "Resource temporarily unavailable" in done.stderr


def test_limits_hold_for_exec_too(shop: stores.Store) -> None:
    name = shop.run("run", "-d", "--pids-limit", "10", "-m", "16m", "--memory-swap", "16m", "busybox", "sleep", "100").stdout.strip()
    forks = shop.run("exec", name, "sh", "-c", "for i in $(seq 20); do sleep 3 & done; wait", check=False)
    grown = shop.run("exec", name, "tail", "/dev/zero", check=False)
    shop.run("rm", "-f", name)
    assert "Resource temporarily unavailable" in forks.stderr
    assert grown.returncode == 137
