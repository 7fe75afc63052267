"""What belongs to this store and to nothing that lives: the remains of kills, counted for `info`.

Nothing of ours but a directory survives its process: mounts, network namespaces and veths are held by processes and descriptors.
A count other than 0 is therefore a fault of ours, or of the moment: what is just being made or removed is looked at twice.
"""

import fcntl
import os
import time

from boxship.engine import recovery
from boxship.engine.store import Store
from boxship.errors import BoxshipError
from boxship.runtime import active, cgroups
from boxship.snapshots import overlay
from boxship.state import containers, layers, volumes

KINDS = ("Mounts", "Namespaces", "Veths", "Cgroups", "Directories", "Processes")
_AGAIN_AFTER = 0.5
_OURS = (b"boxship-shim", b"boxship-exec", b"boxship-step")
_BUILD = "build-"


def count(store: Store) -> dict[str, int]:
    """How many of each of KINDS."""
    found = _Look(store).counts()
    if any(found.values()):
        time.sleep(_AGAIN_AFTER)
        again = _Look(store).counts()
        found = {kind: min(found[kind], again[kind]) for kind in KINDS}
    return found


class _Look:
    """One look at everything."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.running = recovery.sweep(store)
        self.shims = {active.holder(store.paths, name) for name in self.running} - {0}
        self.builds = [name for name in _names(store.paths.tmp) if name.startswith(_BUILD) and _locked(f"{store.paths.tmp}/{name}")]
        self.processes = _processes(store.paths.root)

    def counts(self) -> dict[str, int]:
        groups = self.cgroups()
        lost = [pid for pid in self.processes if not self.belongs(pid)]
        return {
            "Mounts": len(self.mounts()),
            "Namespaces": len(_network_namespaces([*lost, *(pid for name in groups for pid in cgroups.find(name).procs())])),
            "Veths": self.veths(),
            "Cgroups": len(groups),
            "Directories": len(self.directories()),
            "Processes": len(lost),
        }

    def mounts(self) -> list[str]:
        """Mount points below the store's directories. What we mount for containers is seen in their own namespaces only."""
        paths = self.store.paths
        tops = tuple(f"{top}/" for top in (paths.containers, paths.layers, paths.volumes, paths.tmp))
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return [point for point in (line.split(" ")[4] for line in file) if point.startswith(tops)]

    def cgroups(self) -> list[str]:
        try:
            names = cgroups.names(self.store.tag)
        except BoxshipError:
            return []  # no hierarchy is mounted
        steps = sum(name == b"boxship-step" for name in self.processes.values())
        of_builds = [name for name in names if name.rpartition("/")[2].startswith(_BUILD)]
        return [name for name in names if name.rpartition("/")[2] not in self.running and name not in of_builds] + of_builds[steps:]

    def directories(self) -> list[str]:
        store, paths = self.store, self.store.paths
        volume_names = {row.name for row in volumes.all_volumes(store.db)}
        # the directories first: what is removed loses its row before its directory
        found = {
            "containers": (_names(paths.containers), containers.ids(store.db) | set(self.running)),
            "volumes": (_names(paths.volumes), volume_names),
            "layers": (_names(paths.layers), layers.directories(store.db) | {overlay.EMPTY}),
        }
        lost = [f"{top}/{name}" for top, (names, known) in found.items() for name in names if name not in known]
        return lost + [f"tmp/{name}" for name in _names(paths.tmp) if not _locked(f"{paths.tmp}/{name}")]

    def belongs(self, pid: int) -> bool:
        """Is it a shim with its lock, or below one, or at work for a container or a build that lives?"""
        name = self.processes[pid]
        if name == b"boxship-step":
            return bool(self.builds)
        if name == b"boxship-exec":
            return any(self._in_container(child) for child in _children(pid)) or not _children(pid)
        while pid > 1:
            if pid in self.shims:
                return True
            pid = _parent(pid)
        return False

    def _in_container(self, pid: int) -> bool:
        text = _read(f"/proc/{pid}/cgroup").decode("utf-8", "replace")
        return any(f"/{cgroups.parent(self.store.tag)}/{name}" in text for name in self.running)

    def veths(self) -> int:
        """Ports of our bridge beyond those of running containers and of builds, which keep one between their steps."""
        from boxship.linux import rtnetlink
        from boxship.network import bridge
        from boxship.state import networks

        with rtnetlink.Route() as route:
            link = route.find(bridge.names(self.store.tag)[0])
            ports = len(route.links(link.index)) if link is not None else 0
        connected = sum(name in self.running for name in networks.all_addresses(self.store.db))
        return max(0, ports - connected - len(self.builds))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _locked(path: str) -> bool:
    """Does a living process hold a flock(2) on it?"""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _processes(root: str) -> dict[int, bytes]:
    """Our own, by pid: their names. All are forks of the store's fork server, so its arguments are theirs."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            name = _read(f"/proc/{entry}/comm").strip()
            if name in _OURS and os.fsencode(root) in _read(f"/proc/{entry}/cmdline").split(b"\0"):
                found[int(entry)] = name
    return found


def _parent(pid: int) -> int:
    text = _read(f"/proc/{pid}/stat")
    return int(text[text.rindex(b")") + 2 :].split()[1]) if text else 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _network_namespaces(pids: list[int]) -> set[str]:
    """Those of the processes, without our own."""
    found = set()
    for pid in pids:
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            continue  # ended meanwhile
    return found - {os.readlink("/proc/self/ns/net")}
