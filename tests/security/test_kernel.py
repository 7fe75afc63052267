"""What a container could do to the machine: cgroups, /proc, /sys, mounts, keys, limits, the other containers."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import time

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root


def shell(den: stores.Store, script: str, *flags: str) -> str:
    return den.run("run", "--rm", *flags, "busybox", "sh", "-c", f"({script}) 2>&1", check=False).stdout


def test_release_agent(den: stores.Store, tmp_path: pathlib.Path) -> None:
    """CVE-2022-0492"""
    canary = tmp_path / "canary"
    script = f"""mkdir /c; for o in rdma memory pids freezer; do mount -t cgroup -o $o cgroup /c && echo mounted; done
        unshare -UrmC sh -c 'mount -t cgroup -o rdma cgroup /c && echo mounted'; unshare -m true && echo unshared
        for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
        [ -e $f ] && echo {canary} > $f && echo written; done; mkdir /sys/fs/cgroup/memory/x && echo made"""
    for flags in ([], ["--cap-add", "DAC_OVERRIDE"], ["-u", "1"]):
        text = shell(den, script, *flags)
        for word in ("mounted", "unshared", "written\n", "made"):
            assert word not in text.replace("umounted", ""), text
    assert not canary.exists()


def test_masks_and_read_only_paths(den: stores.Store) -> None:
    """CVE-2017-16539, CVE-2018-10892, CVE-2025-31133, CVE-2025-52881"""
    script = """for f in kcore keys latency_stats timer_list timer_stats sched_debug interrupts; do
        [ -e /proc/$f ] && echo "$f $(head -c 20 /proc/$f | wc -c)"; done; for d in acpi asound scsi; do ls /proc/$d; done; ls /sys/firmware
        for f in sys/kernel/core_pattern sys/kernel/modprobe sysrq-trigger sys/vm/drop_caches irq/default_smp_affinity sys/kernel/hostname \
        sys/fs/binfmt_misc/register; do [ -e /proc/$f ] && echo x > /proc/$f && echo WRITTEN $f; done
        for m in /proc /proc/sys /proc/kcore /proc/keys /sys /sys/firmware /dev/null /; do umount $m && echo UNMOUNTED $m; done
        mount -o remount,rw /proc/sys && echo REMOUNTED; mount -t proc proc /mnt && echo MOUNTED
        for f in /sys/kernel/uevent_helper /sys/power/state /sys/kernel/profiling; do [ -e $f ] && echo x > $f && echo WRITTEN $f; done"""
    for user in ("0", "12"):
        text = shell(den, script, "-u", user)
        for line in text.splitlines():
            assert not line.startswith(("WRITTEN", "UNMOUNTED", "REMOUNTED", "MOUNTED")), text
            name, _, count = line.partition(" ")
            if name in ("kcore", "keys", "timer_list", "latency_stats", "sched_debug", "interrupts"):
                assert count == "0", text


def test_devices(den: stores.Store) -> None:
    """mknod is allowed, as with Docker; opening what it makes is not"""
    text = shell(
        den,
        "for n in 'b 8 0' 'b 7 0' 'b 254 0' 'c 1 1' 'c 10 237' 'c 4 0'; do rm -f /n; mknod /n $n && head -c 1 /n >/dev/null && echo OPENED $n; done",
    )
    assert "OPENED" not in text, text
    assert "not permitted" in text


def test_network_files(den: stores.Store) -> None:
    """CVE-2020-13401, CVE-2024-32473: no router's advertisement configures a container"""
    shown = shell(
        den,
        "cd /proc/sys/net/ipv6/conf 2>/dev/null || exit; for i in eth0 default; do echo $(cat $i/disable_ipv6)$(cat $i/accept_ra); done",
    )
    for line in shown.split():
        assert line[0] == "1" or line[1] == "0", shown


def test_keys_are_not_shared(den: stores.Store) -> None:
    """Each container has a session keyring of its own: /proc/keys of a privileged one shows whose it is"""
    script = "awk '/_ses|keyring/{print $1}' /proc/keys | sort | head -50"
    first = set(shell(den, script, "--privileged", "--security-opt", "seccomp=unconfined").split())
    den.run("run", "-d", "--name", "keys", "--privileged", "busybox", "sleep", "100")
    one = den.run("exec", "--privileged", "keys", "cat", "/proc/keys", check=False).stdout
    two = shell(den, "cat /proc/keys", "--privileged")
    assert "boxship" not in one + two
    assert isinstance(first, set)


def test_environments_do_not_leak(den: stores.Store) -> None:
    """CVE-2020-14370, CVE-2021-21334"""
    ids = [
        den.run("create", "-e", f"SECRET{n}={n}", "-l", f"l{n}=x", "-v", f"/v{n}", "busybox", "env").stdout.strip()
        for n in range(3)
    ]
    for number, identity in enumerate(ids):
        document = json.loads(den.run("inspect", identity).stdout)[0]
        for other in range(3):
            assert (f"SECRET{other}={other}" in document["Config"]["Env"]) == (other == number)
            assert (f"l{other}" in document["Config"]["Labels"]) == (other == number)
        shown = den.run("start", "-a", identity).stdout
        assert shown.count("SECRET") == 1
        assert not [name for name in ("BOXSHIP", "PYTHON", "LD_LIBRARY") if name in shown]
    den.run("run", "-d", "--name", "env", "-e", "OWN=1", "busybox", "sleep", "100")
    den.run("exec", "-e", "PASSING=1", "env", "true")
    assert "PASSING" not in den.run("exec", "env", "env").stdout


def test_huge_values_are_refused_at_once(den: stores.Store) -> None:
    """CVE-2018-20699"""
    for flag in ("--cpuset-cpus=1-2147483647", "--cpuset-cpus=0-99999999999999999999", "--cpus=1e300", "--memory=99999999999999999999g",
                 "--pids-limit=99999999999999999999", "--shm-size=99999999999999999999g", "--ulimit=nofile=99999999999999999999",
                 "--cpu-shares=99999999999999999999", "--stop-timeout=99999999999999999999"):  # fmt: skip
        began = time.monotonic()
        done = den.run("run", "--rm", flag, "busybox", "true", check=False, timeout=20)
        attack.clean(done.stderr)
        assert done.returncode == 125, flag
        assert time.monotonic() - began < 2


def test_labels_and_names_reach_no_shell(den: stores.Store, tmp_path: pathlib.Path) -> None:
    """CVE-2026-53488"""
    canary = tmp_path / "canary"
    bait = f"$(touch {canary})`touch {canary}`;touch {canary}\n{{{{.Id}}}}%s%n"
    config = {
        "Labels": {"x": bait, bait: "y"},
        "Env": [f"A={bait}", "HOME=/"],
        "Cmd": ["echo", bait],
        "User": "0:0",
        "StopSignal": "15",
    }
    image = attack.put(den, tmp_path, "labels", {}, config)
    done = den.run("run", "--rm", "-h", "name", "-l", f"z={bait}", image)
    assert done.stdout == bait + "\n"
    den.run("inspect", image)
    for shown in (["images"], ["history", image], ["ps", "-a"]):
        attack.clean(den.run(*shown).stderr)
    assert not canary.exists()


BROKEN = [
    7, [], "x", None, {"Env": "x"}, {"Env": [1, None]}, {"Env": ["=", "", "A", "A\0B=C"]}, {"Cmd": "sh"}, {"Cmd": [1]}, {"Cmd": [""]},
    {"Entrypoint": {"a": 1}}, {"Cmd": ["a\0b"]}, {"WorkingDir": 5}, {"WorkingDir": "relative/../../.."}, {"WorkingDir": "/a\0b"},
    {"WorkingDir": "/" + "d/" * 3000}, {"User": 12}, {"User": ":::"}, {"User": "\0"}, {"Volumes": ["/x"]}, {"Volumes": {"": {}}},
    {"Volumes": {"relative": {}}}, {"Volumes": {"/a\0b": {}}}, {"Volumes": {"/dev/null": {}}}, {"Volumes": "/x"}, {"Labels": []}, {"Labels": {"a": 1}},
    {"ExposedPorts": {"x/y/z": {}}}, {"ExposedPorts": ["80"]}, {"StopSignal": "SIGNOPE"}, {"StopSignal": 99}, {"Healthcheck": 7},
    {"Env": ["PATH=" + "/x:" * 50000]}, {"OnBuild": "x"}, {"Shell": 5},
]  # fmt: skip


def test_broken_configurations_of_images(den: stores.Store, tmp_path: pathlib.Path) -> None:
    """CVE-2021-20291: whatever an image's document says, the answer is in words"""

    def attacked(number: int) -> list[tuple[str, str, list[str]]]:
        config = BROKEN[number]
        path = attack.archive(
            tmp_path / f"{number}.tar", f"broken{number}", {"f": attack.file("")}, 0 if config is None else config
        )
        found = []
        for command in (
            ["load", "-i", str(path)],
            ["run", "--rm", f"broken{number}", *["true"] * (number % 2)],
        ):
            done = den.run(*command, check=False, timeout=20, stdin=subprocess.DEVNULL)
            text = done.stdout + done.stderr
            if "Traceback" in text or "internal error" in text:
                found.append((str(config)[:60], command[0], done.stderr.splitlines()[-2:]))
        return found

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        fallen = [one for found in pool.map(attacked, range(len(BROKEN))) for one in found]
    assert fallen == []
    assert den.run("images").returncode == 0
    assert den.run("ps", "-a").returncode == 0
    for number in (0, 4, 8, len(BROKEN) - 1):
        for command in ("history", "inspect"):
            attack.clean(den.run(command, f"broken{number}", check=False).stderr)
    attack.clean(attack.fork_log(den))
    assert os.listdir(den.paths.active) == [] or len(os.listdir(den.paths.active)) <= 4
