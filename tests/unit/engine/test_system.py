"""info and version; what is left behind is counted, each kind by making one."""

import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import pytest

from boxship.engine import orphans, system
from boxship.engine.store import Store
from boxship.network import bridge
from boxship.runtime import cgroups
from tests.tables import DATA, rows
from tests.unit.engine.conftest import add_container

NOTHING = dict.fromkeys(orphans.KINDS, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_AGAIN_AFTER", 0.01)


def test_info(opened: Store) -> None:
    add_container(opened, 1)
    add_container(opened, 2, started=1, finished=2)
    found = system.info(opened)
    json.dumps(found)
    counted = {name: found[name] for name in ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images")}
    assert counted == {"Containers": 2, "ContainersRunning": 0, "ContainersPaused": 0, "ContainersStopped": 2, "Images": 1}
    assert found["DockerRootDir"] == opened.paths.root
    assert found["KernelVersion"] == os.uname().release
    assert found["NCPU"] == len(os.sched_getaffinity(0))
    meminfo = pathlib.Path("/proc/meminfo").read_text().split()
    assert abs(found["MemTotal"] - int(meminfo[1]) * 1024) < 1 << 20
    assert found["Orphans"] == NOTHING
    assert found["ID"] == system.info(opened)["ID"]


def test_info_has_the_fields_of_the_api(opened: Store) -> None:
    path = DATA / "files" / "moby-api" / "v1.50.yaml"
    if not path.exists():
        pytest.skip("the conformance tables are absent: files/moby-api")
    yaml = pytest.importorskip("yaml")
    definitions = yaml.safe_load(path.read_text(encoding="utf-8"))["definitions"]
    of_daemons = {
        "KernelMemoryTCP", "NFd", "NGoroutines", "NEventsListener", "GenericResources", "InitBinary", "ContainerdCommit", "RuncCommit",
        "InitCommit", "ProductLicense", "DefaultAddressPools", "FirewallBackend", "DiscoveredDevices", "CDISpecDirs", "Containerd",
    }  # fmt: skip
    assert set(definitions["SystemInfo"]["properties"]) - set(system.info(opened)) <= of_daemons
    assert set(definitions["SystemVersion"]["properties"]) - set(system.version()) <= {"Experimental", "BuildTime"}


def test_version() -> None:
    found = system.version()
    json.dumps(found)
    assert found["Os"] == "linux"
    assert found["Arch"] in ("amd64", "arm64")
    assert found["Components"][0]["Name"] == "Engine"
    assert found["Version"] == found["Components"][0]["Version"]


@pytest.mark.parametrize("case", rows("engine/mask_url"))
def test_masked_proxies(case: dict[str, Any]) -> None:
    assert system.masked(case["url"]) == case["expect"]["masked"]


def test_proxies_and_registries(opened: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("http_proxy", "http://u:p@proxy:80")
    (tmp_path / "boxship.toml").write_text('[registry."docker.io"]\nmirrors = ["http://127.0.0.1:5000"]\n[registry.lan]\ninsecure = true\n')
    found = system.info(opened)
    assert found["HttpProxy"] == "http://xxxxx:xxxxx@proxy:80"
    assert found["RegistryConfig"]["Mirrors"] == ["http://127.0.0.1:5000"]
    assert found["RegistryConfig"]["IndexConfigs"]["lan"] == {"Name": "lan", "Mirrors": [], "Secure": False, "Official": False}


@pytest.mark.parametrize(
    "path", ["containers/" + "f" * 64, "layers/abcdefghijkl", "volumes/gone", "tmp/build-x", "tmp/pull-x", "tmp/rm-x"]
)
def test_directories_without_a_row(opened: Store, path: str) -> None:
    os.mkdir(f"{opened.paths.root}/{path}")
    found = system.info(opened)
    assert found["Orphans"] == {**NOTHING, "Directories": 1}
    assert "WARNING: left behind by killed processes: 1 directories" in found["Warnings"]


def test_what_has_a_row_or_a_lock_is_none(opened: Store) -> None:
    row = add_container(opened, 1)
    os.mkdir(f"{opened.paths.containers}/{row.id}")
    os.mkdir(f"{opened.paths.layers}/empty")
    os.mkdir(f"{opened.paths.tmp}/build-x")
    program = "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], 0), 2); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, f"{opened.paths.tmp}/build-x"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            assert orphans.count(opened) == NOTHING
        finally:
            holder.kill()
    assert orphans.count(opened)["Directories"] == 1


def test_what_goes_away_meanwhile_is_none(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{opened.paths.tmp}/rm-x"
    os.mkdir(path)
    monkeypatch.setattr(time, "sleep", lambda _: os.rmdir(path))
    assert orphans.count(opened) == NOTHING


def test_mounts(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"1 2 0:1 / {opened.paths.containers}/x/merged rw - overlay overlay rw\n"
    fake = f"{opened.paths.root}/mountinfo"
    pathlib.Path(fake).write_text(f"1 2 0:1 / {opened.paths.root} rw - ext4 x rw\n{line}{line.replace('/containers/', '/else/')}")
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *a, **k: real(fake if path == "/proc/self/mountinfo" else path, *a, **k))
    assert orphans._Look(opened).mounts() == [f"{opened.paths.containers}/x/merged"]


def test_cgroups_without_a_container(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "names", lambda tag: [f"boxship-{tag}/{'a' * 64}", f"boxship-{tag}/build-1", f"boxship-{tag}/build-2"])
    look = orphans._Look(opened)
    assert len(look.cgroups()) == 3
    look.running = {"a" * 64: {}}
    look.processes = {1: b"boxship-step"}
    assert look.cgroups() == [f"boxship-{opened.tag}/build-2"]


def test_a_shim_without_a_lock(opened: Store) -> None:
    """A process of that name whose arguments name the store; its namespace is our own and none to count."""
    program = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b'boxship-shim', 0, 0, 0); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, opened.paths.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as shim:
        assert shim.stdout is not None
        shim.stdout.readline()
        try:
            assert orphans.count(opened) == {**NOTHING, "Processes": 1}
            look = orphans._Look(opened)
            look.shims = {shim.pid}
            assert look.counts() == NOTHING
        finally:
            shim.kill()


def test_veths_need_no_bridge(opened: Store) -> None:
    assert bridge.names(opened.tag)[0] not in os.listdir("/sys/class/net")
    assert orphans._Look(opened).veths() == 0
