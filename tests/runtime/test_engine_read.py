"""What ps, inspect, logs and info say of containers that really run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import stores

pytestmark = pytest.mark.root

Boxship = Callable[..., "subprocess.CompletedProcess[str]"]
NOTHING = {"Mounts": 0, "Namespaces": 0, "Veths": 0, "Cgroups": 0, "Directories": 0, "Processes": 0}


def inspect(boxship: Boxship, name: str) -> Any:
    return json.loads(boxship("inspect", name).stdout)[0]


def orphans(boxship: Boxship) -> Any:
    return json.loads(boxship("info", "--format", "{{json .Orphans}}").stdout)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_running_container(boxship: Boxship, busybox: str) -> None:
    boxship("volume", "create", "data")
    boxship("run", "-d", "--name", "web", "-p", "127.0.0.1::8080", "--expose", "99", "-l", "tier=web", "-v", "data:/data", "-v", "/anon",
            busybox, "sleep", "60", check=True)  # fmt: skip
    row = json.loads(boxship("ps", "--no-trunc", "--format", "json").stdout)
    assert (row["Names"], row["State"], row["Image"], row["LocalVolumes"]) == ("web", "running", busybox, "2")
    assert row["Status"].startswith("Up ")
    found = inspect(boxship, "web")
    pid = found["State"]["Pid"]
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    network = found["NetworkSettings"]
    (binding,) = network["Ports"]["8080/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert network["Ports"]["99/tcp"] is None
    assert f"{binding['HostIp']}:{binding['HostPort']}->8080/tcp" in row["Ports"]
    assert "99/tcp" in row["Ports"]
    inside = boxship("exec", "web", "ip", "-4", "addr", "show", "eth0").stdout
    assert f"{network['IPAddress']}/{network['IPPrefixLen']}" in inside
    assert network["MacAddress"] in boxship("exec", "web", "ip", "link", "show", "eth0").stdout
    assert f"via {network['Gateway']}" in boxship("exec", "web", "ip", "route").stdout
    assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink(network["SandboxKey"])
    for field in ("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath"):
        assert os.path.isfile(found[field])
    assert {mount["Destination"] for mount in found["Mounts"]} == {"/data", "/anon"}
    for name, value in (("publish", binding["HostPort"]), ("expose", "99"), ("volume", "data"), ("network", "bridge"), ("label", "tier=web")):
        assert boxship("ps", "-q", "-f", f"{name}={value}").stdout.strip() == found["Id"][:12]
    assert boxship("ps", "-q", "-f", "publish=1").stdout == ""
    assert orphans(boxship) == NOTHING
    boxship("stop", "-t", "0", "web")
    stopped = inspect(boxship, "web")
    assert (stopped["State"]["Status"], stopped["State"]["ExitCode"], stopped["State"]["Pid"]) == ("exited", 137, 0)
    assert stopped["NetworkSettings"]["IPAddress"] == ""
    assert stopped["State"]["StartedAt"] == found["State"]["StartedAt"] < stopped["State"]["FinishedAt"]
    assert orphans(boxship) == NOTHING


def test_a_container_that_restarts(boxship: Boxship, busybox: str) -> None:
    boxship("run", "-d", "--name", "again", "--restart", "always", busybox, "sh", "-c", "echo life; exit 7")
    until(lambda: boxship("logs", "again").stdout.count("life") >= 3)
    until(lambda: inspect(boxship, "again")["State"]["Status"] == "restarting")
    found = inspect(boxship, "again")
    assert found["State"]["Restarting"]
    assert found["State"]["ExitCode"] == 7
    assert found["RestartCount"] >= 2
    assert "Restarting (7)" in boxship("ps", "--format", "{{.Status}}", "-f", "status=restarting").stdout
    boxship("rm", "-f", "again")
    assert orphans(boxship) == NOTHING


def test_sizes(boxship: Boxship, busybox: str) -> None:
    boxship("run", "--name", "sized", busybox, "sh", "-c", "dd if=/dev/zero of=/file bs=1000 count=5")
    found = json.loads(boxship("inspect", "-s", "sized").stdout)[0]
    assert found["SizeRw"] == 5000
    assert found["SizeRootFs"] > 500_000
    assert "5kB (virtual" in boxship("ps", "-as").stdout


def test_logs_of_two_streams_and_of_a_terminal(boxship: Boxship, busybox: str) -> None:
    boxship("run", "--name", "two", busybox, "sh", "-c", "echo out; echo err >&2; printf tail")
    done = boxship("logs", "two")
    assert (done.stdout, done.stderr) == ("out\ntail", "err\n")
    stamped = boxship("logs", "-t", "two").stdout.splitlines()[0]
    started, finished = (inspect(boxship, "two")["State"][name][:19] for name in ("StartedAt", "FinishedAt"))
    assert started <= stamped[:19] <= finished
    assert stamped[30:] == " out"
    boxship("run", "-d", "-t", "--name", "term", busybox, "sh", "-c", "echo out; echo err >&2")
    boxship("wait", "term")
    done = boxship("logs", "term")
    assert (done.stdout.replace("\r\n", "\n"), done.stderr) == ("out\nerr\n", "")


def test_follow_to_the_last_byte(boxship: Boxship, store: stores.Store, busybox: str) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; seq 1 200000; printf end"
    boxship("run", "-d", "--name", "follow", busybox, "sh", "-c", script)
    with store.popen("logs", "-f", "follow") as follower:
        out, err = follower.communicate(timeout=60)
    wanted = "".join(f"line {number}\n" for number in range(300)) + "".join(f"{number}\n" for number in range(1, 200001)) + "end"
    assert (out, err, follower.returncode) == (wanted, "", 0)
    assert boxship("logs", "-n", "2", "follow").stdout == "200000\nend"


def test_a_killed_shim_leaves_nothing(boxship: Boxship, busybox: str) -> None:
    boxship("run", "-d", "--name", "killed", busybox, "sleep", "60")
    found = inspect(boxship, "killed")
    with open(f"/proc/{found['State']['Pid']}/stat", encoding="utf-8") as file:
        shim = int(file.read().rpartition(")")[2].split()[1])
    with open(f"/proc/{shim}/comm", encoding="utf-8") as file:
        assert file.read() == "boxship-shim\n"
    os.kill(shim, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{shim}/ns/net"))
    state = inspect(boxship, "killed")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert orphans(boxship) == NOTHING
