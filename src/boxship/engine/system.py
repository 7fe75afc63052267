"""The use cases of `info` and `version`: Docker's GET /info and GET /version, of an engine that has no daemon."""

import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from boxship.engine import containerinspect, containerlist, orphans, recovery, timestamps
from boxship.errors import BoxshipError
from boxship.oci import platform as platforms
from boxship.state import containers, images
from boxship.version import API_VERSION, MIN_API_VERSION, __version__

if TYPE_CHECKING:
    from boxship.engine.store import Store

    Document = dict[str, Any]

_INDEX = "https://index.docker.io/v1/"
_LIMITS = (
    ("MemoryLimit", "memory", "memory limit"),
    ("CPUShares", "cpu", "cpu shares"),
    ("CpuCfsPeriod", "cpu", "cpu cfs period"),
    ("CpuCfsQuota", "cpu", "cpu cfs quota"),
    ("CPUSet", "cpuset", "cpuset"),
    ("PidsLimit", "pids", "pids limit"),
)


def info(store: "Store") -> "Document":
    """Docker's fields as far as they mean something here, and "Orphans": what kills have left, which should be all zeros."""
    found = {
        "ID": _ident(store),
        **_counts(store),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _file_system(store.paths.root)], ["Using metacopy", "false"]],
        "DockerRootDir": store.paths.root,
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None, "Log": ["json-file"]},
        **_control_groups(),
        "IPv4Forwarding": _setting("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "SystemTime": timestamps.rfc3339(time.time_ns()),
        "LoggingDriver": "json-file",
        **_host(),
        "IndexServerAddress": _INDEX,
        "RegistryConfig": _registries(store.settings.get("registry")),
        **_proxies(),
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {containerinspect.RUNTIME: {"path": sys.executable}},
        "DefaultRuntime": containerinspect.RUNTIME,
        "Swarm": {"LocalNodeState": "inactive"},
        # containers do not end with the engine: none runs
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "Orphans": orphans.count(store),
    }
    found["Warnings"] = _warnings(found) or None
    return found


def _ident(store: "Store") -> str:
    """The same for a store on a machine for as long as both last."""
    from uuid import NAMESPACE_OID, uuid5

    machine = _setting("/etc/machine-id") or os.uname().nodename
    return str(uuid5(NAMESPACE_OID, f"{machine} {store.paths.root}"))


def _counts(store: "Store") -> "Document":
    running = recovery.sweep(store)
    rows = containers.all_containers(store.db)
    alive = sum(containerlist.life(store, row, running).running for row in rows)
    return {
        "Containers": len(rows),
        "ContainersRunning": alive,
        "ContainersPaused": 0,
        "ContainersStopped": len(rows) - alive,
        "Images": len(images.all_images(store.db)),
    }


def _file_system(path: str) -> str:
    """The type of what holds `path`; ext2, 3 and 4 are extfs in Docker's words."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            point = before.split(" ")[4]
            inside = path == point or path.startswith(f"{point.rstrip('/')}/")
            # a later mount hides an earlier one at the same place
            if inside and len(point) >= len(best):
                best, kind = point, after.split(" ")[0]
    return "extfs" if kind in ("ext2", "ext3", "ext4") else kind


def _control_groups() -> "Document":
    from boxship.runtime import cgroups

    try:
        driver = cgroups.driver()
    except BoxshipError:
        return {"CgroupDriver": "none", **{name: False for name, _, _ in _LIMITS}, "SwapLimit": False, "OomKillDisable": False}
    root = driver.find("").paths
    if driver.version == 1:
        controllers = {controller for names in root for controller in names.split(",")}
    else:
        controllers = {word for path in root.values() for word in _setting(f"{path}/cgroup.controllers").split()}
    features = driver.features()
    return {
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(driver.version),
        **{name: controller in controllers for name, controller, _ in _LIMITS},
        "SwapLimit": "swap" in features,
        "OomKillDisable": "oom-disable" in features,
    }


def _host() -> "Document":
    release = _os_release()
    machine = os.uname()
    return {
        "KernelVersion": machine.release,
        "OperatingSystem": release.get("PRETTY_NAME") or release.get("NAME") or "Linux",
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": machine.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": machine.nodename,
    }


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _setting(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _registries(section: Any) -> "Document":
    """boxship.toml's [registry] in Docker's form."""
    configs: Document = {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}}
    for name, entry in section.items() if isinstance(section, dict) else ():
        if isinstance(entry, dict):
            mirrors = [str(mirror) for mirror in entry.get("mirrors") or []]
            configs[name] = {"Name": name, "Mirrors": mirrors, "Secure": not entry.get("insecure"), "Official": name == "docker.io"}
    return {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "IndexConfigs": configs,
        "Mirrors": configs["docker.io"]["Mirrors"],
    }


def _proxies() -> dict[str, str]:
    found = {}
    for field, name in (("HttpProxy", "http_proxy"), ("HttpsProxy", "https_proxy"), ("NoProxy", "no_proxy")):
        found[field] = masked(os.environ.get(name) or os.environ.get(name.upper()) or "")
    return found


def masked(url: str) -> str:
    """A proxy's address without the name and the password in it."""
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    if not separator or not at or "/" in user:
        return url
    return f"{scheme}://xxxxx:xxxxx@{place}"


def _warnings(found: "Document") -> list[str]:
    missing = [words for name, _, words in _LIMITS if not found[name]]
    if not found["SwapLimit"]:
        missing.append("swap limit")
    warnings = [f"WARNING: No {words} support" for words in missing]
    if not found["IPv4Forwarding"]:
        warnings.append("WARNING: IPv4 forwarding is disabled")
    left = ", ".join(f"{number} {kind.lower()}" for kind, number in found["Orphans"].items() if number)
    return [*warnings, f"WARNING: left behind by killed processes: {left}"] if left else warnings


def version() -> "Document":
    """Docker's GET /version; client and engine are one program."""
    machine = os.uname()
    details = {
        "ApiVersion": API_VERSION,
        "Arch": platforms.host().architecture,
        "Experimental": "false",
        "KernelVersion": machine.release,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "PythonVersion": platform.python_version(),
    }
    return {
        "Platform": {"Name": "Boxship"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": details["Arch"],
        "KernelVersion": machine.release,
    }
