"""cgroup v2: one directory (Documentation/admin-guide/cgroup-v2.rst). OCI's numbers are v1's and are converted as runc does."""

import os
import time

from boxship.errors import BoxshipError, InvalidArgument, KernelError
from boxship.runtime.cgroups import devices, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Setting = tuple[str, str]  # file, value

_STATS = (
    "memory.current", "memory.peak", "memory.max", "memory.stat", "memory.events", "memory.swap.current",
    "cpu.stat", "io.stat", "pids.current", "pids.max",
)  # fmt: skip
_THROTTLE = (
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
)
_USUAL_PERIOD = 100_000


def settings(resources: "dict[str, Any]") -> "Iterator[Setting]":
    """The files to write, in order. Pure; raises InvalidArgument for what v2 can't mean."""
    yield from _memory(resources.get("memory") or {})
    yield from _cpu(resources.get("cpu") or {})
    limit = (resources.get("pids") or {}).get("limit")
    if limit:
        yield "pids.max", _number(limit)
    yield from _io(resources.get("blockIO") or {})
    for page in resources.get("hugepageLimits") or ():
        yield f"hugetlb.{page['pageSize']}.max", str(page["limit"])
    for key, value in (resources.get("unified") or {}).items():
        if "/" in key or "." not in key or key.startswith("cgroup."):
            raise InvalidArgument(f"unified resource must be a file of a controller: {key}", hint="such as memory.high")
        yield key, str(value)


def _number(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory(memory: "dict[str, Any]") -> "Iterator[Setting]":
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if swap > 0 and limit <= 0:
        raise InvalidArgument("unable to set swap limit without memory limit", hint="limit the memory too")
    if 0 < swap < limit:
        raise InvalidArgument("memory+swap limit should be >= memory limit", hint="swap counts memory and swap together")
    if limit == -1 and swap == 0:
        swap = -1
    if swap:  # v1's is the sum of both, v2's the swap alone
        yield "memory.swap.max", _number(swap - limit if swap > 0 else -1)
    if limit:
        yield "memory.max", _number(limit)
    if memory.get("reservation"):
        yield "memory.low", _number(memory["reservation"])


def weight(shares: int) -> int:
    """cpu.shares 2..262144 to cpu.weight 1..10000, on a line."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def _cpu(cpu: "dict[str, Any]") -> "Iterator[Setting]":
    if cpu.get("realtimePeriod") or cpu.get("realtimeRuntime"):
        raise InvalidArgument("real-time scheduling limits need cgroup v1", hint="leave out --cpu-rt-period and --cpu-rt-runtime")
    if cpu.get("idle") is not None:
        yield "cpu.idle", str(cpu["idle"])
    if cpu.get("shares"):
        yield "cpu.weight", str(weight(cpu["shares"]))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        yield "cpu.max", f"{quota if quota > 0 else 'max'} {period or _USUAL_PERIOD}"
    if cpu.get("burst"):
        yield "cpu.max.burst", str(cpu["burst"])
    if cpu.get("cpus"):
        yield "cpuset.cpus", cpu["cpus"]
    if cpu.get("mems"):
        yield "cpuset.mems", cpu["mems"]


def _io(blkio: "dict[str, Any]") -> "Iterator[Setting]":
    if blkio.get("weight"):
        yield "io.weight", str(blkio["weight"])
    for device in blkio.get("weightDevice") or ():
        yield "io.bfq.weight", f"{device['major']}:{device['minor']} {device['weight']}"
    for key, word in _THROTTLE:
        for device in blkio.get(key) or ():
            yield "io.max", f"{device['major']}:{device['minor']} {word}={device['rate'] or 'max'}"


class V2:
    """`point`: where the hierarchy is mounted."""

    __slots__ = ("point",)

    version = 2

    def __init__(self, point: str) -> None:
        self.point = point

    def create(self, name: str, resources: "dict[str, Any]") -> "Group":
        above, _, _ = name.rpartition("/")
        directory = f"{self.point}/{name}"
        self._delegate(self.point)
        if above:
            files.make(f"{self.point}/{above}", fresh=False)
            self._delegate(f"{self.point}/{above}")
        files.make(directory, fresh=True)
        group = self.find(name)
        try:
            group.update(resources)
            group.restrict(resources.get("devices") or [])
        except BaseException:
            files.remove(directory)
            raise
        return group

    def _delegate(self, directory: str) -> None:
        """Hand all controllers to the groups below. Where the kernel refuses one, its limits fail by name later."""
        given = files.read(f"{directory}/cgroup.subtree_control").split()
        missing = [one for one in files.read(f"{directory}/cgroup.controllers").split() if one not in given]
        for words in (missing, *([one] for one in missing)) if missing else ():
            try:
                files.write(f"{directory}/cgroup.subtree_control", " ".join(f"+{one}" for one in words))
                if words is missing:
                    return
            except InvalidArgument:
                continue

    def find(self, name: str) -> "Group":
        return Group(name, f"{self.point}/{name}" if name else self.point)

    def mounts(self) -> "list[tuple[str, str, str]]":
        return [("", "cgroup2", "")]

    def names(self, parent: str) -> "list[str]":
        return [f"{parent}/{path.rpartition('/')[2]}" for path in files.children(f"{self.point}/{parent}")]

    def features(self) -> "frozenset[str]":
        there = files.read(f"{self.point}/cgroup.controllers").split()
        found = {"pids"} if "pids" in there else set()
        if "memory" in there and os.path.exists("/proc/swaps"):
            found.add("swap")
        if "io" in there:
            found.add("blkio-weight")
        return frozenset(found)


class Group:
    """See boxship.runtime.cgroups.Cgroup."""

    __slots__ = ("name", "path", "paths")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.paths = {"": path}

    def join_fds(self) -> "list[int]":
        return [os.open(f"{self.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def directory_fd(self) -> int:
        """For clone3's CLONE_INTO_CGROUP (Linux 5.7), which waits for nothing; the caller closes it."""
        return os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def update(self, resources: "dict[str, Any]") -> None:
        pending = list(settings(resources))
        swap_first = pending and pending[0][0] == "memory.swap.max"
        for file, value in pending:
            path = f"{self.path}/{file}"
            if file == "memory.swap.max" and swap_first and value in ("max", "0") and not os.path.exists(path):
                continue  # a kernel without swap gives none anyway
            if file == "io.weight":
                self._io_weight(int(value))
                continue
            files.write(path, value)

    def _io_weight(self, value: int) -> None:
        if os.path.exists(f"{self.path}/io.bfq.weight"):
            files.write(f"{self.path}/io.bfq.weight", str(value))
        else:  # 10..1000 to 1..10000
            files.write(f"{self.path}/io.weight", str(1 + (value - 10) * 9999 // 990))

    def restrict(self, rules: "list[dict[str, Any]]") -> None:
        """Attach the device program, then take away those that were there; the program lives as long as the group."""
        if not rules:
            return
        from boxship.linux import bpf

        code = devices.program(rules)
        group = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            old = bpf.device_programs(group)
            program = bpf.load_device_program(code)
            bpf.attach_device_program(group, program)
            os.close(program)
            for one in old:
                program = bpf.program_by_id(one)
                bpf.detach_device_program(group, program)
                os.close(program)
        except KernelError as error:
            raise BoxshipError(
                f"can't restrict the container's devices: {error}", hint="the kernel needs CONFIG_CGROUP_BPF, and the caller root"
            ) from error
        finally:
            os.close(group)

    def procs(self) -> "list[int]":
        return files.processes(self.path)

    def kill_all(self) -> None:
        if not self.procs():
            return
        try:
            files.write(f"{self.path}/cgroup.kill", "1")  # Linux 5.14: also those that are being forked
        except InvalidArgument:
            self._freeze("1")
            files.kill(self.procs())
            self._freeze("0")
        files.wait_until_empty(self.path)

    def freeze(self) -> None:
        """Waits until all are frozen, 2 s at most; on failure they go on (Linux 5.2)."""
        self._freeze("1")
        end = time.monotonic() + 2
        while not files.counter(files.read(f"{self.path}/cgroup.events"), "frozen"):
            if time.monotonic() > end:
                self._freeze("0")
                raise BoxshipError("can't freeze the processes: they wait for the kernel", hint="try again")
            time.sleep(0.002)

    def thaw(self) -> None:
        self._freeze("0")

    def _freeze(self, value: str) -> None:
        files.write(f"{self.path}/cgroup.freeze", value)

    def oom_killed(self) -> bool:
        return files.counter(files.read(f"{self.path}/memory.events"), "oom_kill") > 0

    def stats(self) -> "dict[str, str]":
        texts = {name: files.read(f"{self.path}/{name}") for name in _STATS}
        return {name: text for name, text in texts.items() if text}

    def destroy(self) -> None:
        files.remove(self.path)
