"""Control groups: a directory per container, its limits, who is in it. One interface over cgroup v1 and v2.

    group = cgroups.create(tag, id, spec["linux"]["resources"])     directories and limits, before the child is forked
    fds = group.join_fds()                                          opened by the parent
    ... the child writes b"0" to each fd, one after the other ...   it is in; see `prewarm` for what that costs
    group.kill_all(); group.destroy()

A group's name is `boxship/ID`, or `boxship-TAG/ID` for a store with a tag. Machines that have controllers on v1 (also the hybrid
ones) use v1. `runtime` may import this package; it knows OCI's resources and no Docker words (those are in `checks`, pure).
"""

import os

from boxship.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Cgroup(Protocol):
        """What both drivers give. `name` is the path below the hierarchy's root; `paths` the directories, by their controllers."""

        name: str
        paths: dict[str, str]

        def join_fds(self) -> list[int]:
            """Open cgroup.procs files (close-on-exec); a process joins by writing b"0" to each, the caller closes them."""

        def update(self, resources: dict[str, Any]) -> None:
            """Write limits to the living group; what is absent stays. Raises InvalidArgument for what the kernel refuses."""

        def procs(self) -> list[int]:
            """The processes in it and below it."""

        def kill_all(self) -> None:
            """SIGKILL everybody, also those that are being forked, and wait until it is empty (5 s at most, then Unavailable)."""

        def freeze(self) -> None: ...

        def thaw(self) -> None: ...

        def oom_killed(self) -> bool:
            """Whether the kernel killed somebody here for want of memory."""

        def stats(self) -> dict[str, str]:
            """The kernel's accounting files, unparsed: file name -> text. Those that are absent are left out."""

        def destroy(self) -> None:
            """Remove the directories, those below them first; gone already is fine. KernelError when somebody is still inside."""

    class Driver(Protocol):
        version: int

        def create(self, name: str, resources: dict[str, Any]) -> Cgroup: ...

        def find(self, name: str) -> Cgroup: ...

        def mounts(self) -> list[tuple[str, str, str]]: ...

        def names(self, parent: str) -> list[str]: ...

        def features(self) -> frozenset[str]: ...


_MOUNTINFO = "/proc/self/mountinfo"
_driver: "Driver | None" = None


def driver() -> "Driver":
    """The machine's driver, found once. Unavailable when no cgroup is mounted."""
    global _driver
    if _driver is None:
        with open(_MOUNTINFO, "rb") as file:
            _driver = detect(file.read())
    return _driver


def detect(mountinfo: bytes) -> "Driver":
    """The driver for a mount table (proc_pid_mountinfo(5)): v1 as soon as one controller is mounted that way."""
    unified = ""
    hierarchies: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(b" - cgroup")
        if not separator:
            continue
        point = _unescape(before.split(b" ")[4])
        kind, _, options = after.partition(b" ")
        if kind == b"2":
            unified = unified or point
        elif not kind:
            controllers = _controllers(options.split(b" ")[-1])
            if controllers:
                hierarchies.setdefault(controllers, point)
    if hierarchies:
        from boxship.runtime.cgroups.v1 import V1

        return V1(hierarchies)
    if unified:
        from boxship.runtime.cgroups.v2 import V2

        return V2(unified)
    raise Unavailable("no cgroup hierarchy is mounted", hint="mount -t cgroup2 none /sys/fs/cgroup")


# every other option of a v1 hierarchy: mount options of the super block, and what makes it none of ours
_NO_CONTROLLERS = (b"rw", b"ro", b"xattr", b"clone_children", b"noprefix", b"favordynmods", b"cpuset_v2_mode", b"none")


def _controllers(options: bytes) -> str:
    words = [word for word in options.split(b",") if word not in _NO_CONTROLLERS and b"=" not in word]
    return b",".join(words).decode()


def _unescape(path: bytes) -> str:
    for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(code, byte)
    return os.fsdecode(path)


def parent(tag: str) -> str:
    """The directory of a store's groups."""
    return f"boxship-{tag}" if tag else "boxship"


def create(tag: str, container: str, resources: "dict[str, Any]") -> "Cgroup":
    """Directories and limits for a new group. Remains of a dead one of the same name are removed first.

    Conflict when it is in use, InvalidArgument for a limit that the kernel refuses, KernelError otherwise; nothing is left behind.
    """
    return driver().create(f"{parent(tag)}/{container}", resources)


def find(name: str) -> "Cgroup":
    """The group of that name, whether it exists or not: all its methods then find it empty."""
    return driver().find(name)


def names(tag: str) -> "list[str]":
    """The names of all groups of a store, for the clean-up."""
    return driver().names(parent(tag))


def mounts() -> "list[tuple[str, str, str]]":
    """What a container's /sys/fs/cgroup consists of: (directory, type, options), [("", "cgroup2", "")] for v2."""
    return driver().mounts()


def features() -> "frozenset[str]":
    """Of "swap", "kernel-memory-tcp", "oom-disable", "rt", "blkio-weight", "pids": the limits that this machine can set."""
    return driver().features()


def prewarm() -> None:
    """Begin the grace period that joining a group waits for, in a process that has nothing better to do. v1 only.

    A move takes the kernel's thread group lock; when nobody held it lately, that waits for RCU, 8 to 16 ms, and the moves of
    the next 20 ms are quick (a burst over eight hierarchies costs 0.1 ms more than one). So a forked process that calls this
    when a run begins takes the wait out of init's way. It moves itself to where it is already; failures change nothing.
    """
    if driver().version != 1:
        return
    root = driver().find("").paths
    for line in _own_groups().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in root:
            try:
                fd = os.open(f"{root[controllers]}{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                os.write(fd, b"0")
                os.close(fd)
            except OSError:
                pass
            return


def _own_groups() -> str:
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
