"""cgroup v1: one directory per hierarchy (Documentation/admin-guide/cgroup-v1). Also for hybrid machines.

Only hierarchies with controllers are used. systemd's named one and the empty v2 one of a hybrid machine account for nothing
that a container is limited by, so they are left alone.
"""

import os
import time

from boxship.errors import BoxshipError, InvalidArgument
from boxship.runtime.cgroups import devices, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Setting = tuple[str, str, str]  # controller, file, value

_STATS = {
    "memory": ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.limit_in_bytes", "memory.stat"),
    "cpuacct": ("cpuacct.usage", "cpuacct.usage_percpu", "cpuacct.stat"),
    "cpu": ("cpu.stat",),
    "blkio": ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"),
    "pids": ("pids.current", "pids.max"),
}
_THROTTLE = (
    ("throttleReadBpsDevice", "read_bps_device"),
    ("throttleWriteBpsDevice", "write_bps_device"),
    ("throttleReadIOPSDevice", "read_iops_device"),
    ("throttleWriteIOPSDevice", "write_iops_device"),
)
# who is in the group is asked where a look is cheapest and the controller is nearly always there
_MEMBERS = ("freezer", "pids", "memory", "devices", "cpu")


def settings(resources: "dict[str, Any]") -> "Iterator[Setting]":
    """The files to write, but for memory and devices, which depend on what is there. Pure."""
    if resources.get("unified"):
        raise InvalidArgument("unified resources need cgroup v2", hint="use the single options instead")
    yield from _cpu(resources.get("cpu") or {})
    limit = (resources.get("pids") or {}).get("limit")
    if limit:
        yield "pids", "pids.max", str(limit) if limit > 0 else "max"
    yield from _blkio(resources.get("blockIO") or {})
    for page in resources.get("hugepageLimits") or ():
        yield "hugetlb", f"hugetlb.{page['pageSize']}.limit_in_bytes", str(page["limit"])
    network = resources.get("network") or {}
    if network.get("classID"):
        yield "net_cls", "net_cls.classid", str(network["classID"])
    for one in network.get("priorities") or ():
        yield "net_prio", "net_prio.ifpriomap", f"{one['name']} {one['priority']}"


def _cpu(cpu: "dict[str, Any]") -> "Iterator[Setting]":
    if cpu.get("shares"):
        yield "cpu", "cpu.shares", str(cpu["shares"])
    if cpu.get("period"):
        yield "cpu", "cpu.cfs_period_us", str(cpu["period"])
    if cpu.get("quota"):
        yield "cpu", "cpu.cfs_quota_us", str(cpu["quota"])
    if cpu.get("burst"):
        yield "cpu", "cpu.cfs_burst_us", str(cpu["burst"])
    if cpu.get("realtimePeriod"):
        yield "cpu", "cpu.rt_period_us", str(cpu["realtimePeriod"])
    if cpu.get("realtimeRuntime"):
        yield "cpu", "cpu.rt_runtime_us", str(cpu["realtimeRuntime"])
    if cpu.get("idle") is not None:
        yield "cpu", "cpu.idle", str(cpu["idle"])
    if cpu.get("cpus"):
        yield "cpuset", "cpuset.cpus", cpu["cpus"]
    if cpu.get("mems"):
        yield "cpuset", "cpuset.mems", cpu["mems"]


def _blkio(blkio: "dict[str, Any]") -> "Iterator[Setting]":
    if blkio.get("weight"):
        yield "blkio", "blkio.weight", str(blkio["weight"])
    if blkio.get("leafWeight"):
        yield "blkio", "blkio.leaf_weight", str(blkio["leafWeight"])
    for device in blkio.get("weightDevice") or ():
        yield "blkio", "blkio.weight_device", f"{device['major']}:{device['minor']} {device['weight']}"
    for key, file in _THROTTLE:
        for device in blkio.get(key) or ():
            yield "blkio", f"blkio.throttle.{file}", f"{device['major']}:{device['minor']} {device['rate']}"


class V1:
    """`hierarchies`: "cpu,cpuacct" -> mount point."""

    __slots__ = ("hierarchies",)

    version = 1

    def __init__(self, hierarchies: "dict[str, str]") -> None:
        self.hierarchies = hierarchies

    def create(self, name: str, resources: "dict[str, Any]") -> "Group":
        group = self.find(name)
        made = []
        try:
            for controllers, point in self.hierarchies.items():
                self._make(controllers, point, name)
                made.append(group.paths[controllers])
            group.update(resources)
            if "devices" in group.where:
                for file, line in devices.lines(resources.get("devices") or []):
                    files.write(f"{group.where['devices']}/{file}", line)
        except BaseException:
            for directory in made:
                files.remove(directory)
            raise
        return group

    def _make(self, controllers: str, point: str, name: str) -> None:
        above, _, _ = name.rpartition("/")
        directory = f"{point}/{name}"
        if above:
            try:
                os.mkdir(directory, 0o755)
            except OSError:
                files.make(f"{point}/{above}", fresh=False)
                files.make(directory, fresh=True)
        else:
            files.make(directory, fresh=True)
        if "cpuset" in controllers.split(","):
            _inherit_cpuset(point, name)

    def find(self, name: str) -> "Group":
        return Group(name, {controllers: f"{point}/{name}" if name else point for controllers, point in self.hierarchies.items()})

    def mounts(self) -> "list[tuple[str, str, str]]":
        return [(point.rpartition("/")[2], "cgroup", controllers) for controllers, point in self.hierarchies.items()]

    def names(self, parent: str) -> "list[str]":
        found: dict[str, None] = {}
        for point in self.hierarchies.values():
            found.update((f"{parent}/{path.rpartition('/')[2]}", None) for path in files.children(f"{point}/{parent}"))
        return list(found)

    def features(self) -> "frozenset[str]":
        where = self.find("").where
        tests = {
            "swap": ("memory", "memory.memsw.limit_in_bytes"),
            "kernel-memory-tcp": ("memory", "memory.kmem.tcp.limit_in_bytes"),
            "oom-disable": ("memory", "memory.oom_control"),
            "rt": ("cpu", "cpu.rt_runtime_us"),
            "pids": ("pids", "cgroup.procs"),
        }
        found = {name for name, (controller, file) in tests.items() if os.path.exists(f"{where.get(controller, '/-')}/{file}")}
        # CFQ's and BFQ's files are not in the root group, but BFQ's statistics are
        if any(os.path.exists(f"{where.get('blkio', '/-')}/blkio.{file}") for file in ("weight", "bfq.io_serviced")):
            found.add("blkio-weight")
        return frozenset(found)


class Group:
    """See boxship.runtime.cgroups.Cgroup. `where` has the directory of each single controller."""

    __slots__ = ("name", "paths", "where")

    def __init__(self, name: str, paths: "dict[str, str]") -> None:
        self.name = name
        self.paths = paths
        self.where = {controller: path for controllers, path in paths.items() for controller in controllers.split(",")}

    def join_fds(self) -> "list[int]":
        fds: list[int] = []
        try:
            for path in self.paths.values():
                fds.append(os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return fds

    def update(self, resources: "dict[str, Any]") -> None:
        self._memory(resources.get("memory") or {})
        pending = list(settings(resources))
        for index, (controller, file, value) in enumerate(pending):
            try:
                self._set(controller, file, value)
            except InvalidArgument:
                # a shorter period with the old quota may be more than the parent has: then the quota first (as runc)
                following = pending[index + 1 : index + 2]
                if file != "cpu.cfs_period_us" or not following or following[0][1] != "cpu.cfs_quota_us":
                    raise
                self._set(*following[0])
                self._set(controller, file, value)

    def _set(self, controller: str, file: str, value: str) -> None:
        directory = self.where.get(controller)
        if directory is None:
            raise InvalidArgument(f"this machine has no cgroup controller: {controller}", hint=f"leave {file} as it is")
        if file in ("blkio.weight", "blkio.weight_device") and not os.path.exists(f"{directory}/{file}"):
            file = file.replace("blkio.", "blkio.bfq.")  # CFQ's name until Linux 5.0, BFQ's since 4.12
        files.write(f"{directory}/{file}", value)

    def _memory(self, memory: "dict[str, Any]") -> None:
        for file, value in self._limits(memory.get("limit") or 0, memory.get("swap") or 0):
            self._set("memory", file, str(value))
        for key, file in (("reservation", "memory.soft_limit_in_bytes"), ("kernelTCP", "memory.kmem.tcp.limit_in_bytes")):
            if memory.get(key):
                self._set("memory", file, str(memory[key]))
        if memory.get("swappiness") is not None and memory["swappiness"] >= 0:
            self._set("memory", "memory.swappiness", str(memory["swappiness"]))
        if memory.get("disableOOMKiller"):
            self._set("memory", "memory.oom_control", "1")

    def _limits(self, limit: int, swap: int) -> "list[tuple[str, int]]":
        """memory and memory+swap in an order that the kernel accepts: the second may never be the smaller one."""
        both = "memory.memsw.limit_in_bytes"
        if not os.path.exists(f"{self.where.get('memory', '/-')}/{both}"):
            swap = 0  # no swap accounting: Docker limits the memory alone then; see `features`
        elif limit == -1 and swap == 0:
            swap = -1
        wanted = [("memory.limit_in_bytes", limit)] if limit else []
        if not swap:
            return wanted
        if limit and (swap == -1 or int(files.read(f"{self.where['memory']}/memory.limit_in_bytes") or 0) < swap):
            return [(both, swap), *wanted]
        return [*wanted, (both, swap)]

    def procs(self) -> "list[int]":
        return files.processes(self._members())

    def _members(self) -> str:
        for controller in _MEMBERS:
            if controller in self.where:
                return self.where[controller]
        return next(iter(self.where.values()))

    def kill_all(self) -> None:
        if not self.procs():
            return
        frozen = "freezer" in self.where
        if frozen:
            files.write(f"{self.where['freezer']}/freezer.state", "FROZEN")  # nobody forks while we count
        files.kill(self.procs())
        if frozen:
            self.thaw()  # only a thawed process can die
        files.wait_until_empty(self._members())

    def freeze(self) -> None:
        """Waits until all are frozen, 2 s at most; on failure they go on."""
        state = f"{self._freezer()}/freezer.state"
        end = time.monotonic() + 2
        while True:
            files.write(state, "FROZEN")
            if files.read(state).strip() == "FROZEN":
                return
            if time.monotonic() > end:
                self.thaw()
                raise BoxshipError("can't freeze the processes: they wait for the kernel", hint="try again")
            time.sleep(0.002)

    def thaw(self) -> None:
        files.write(f"{self._freezer()}/freezer.state", "THAWED")

    def _freezer(self) -> str:
        if "freezer" not in self.where:
            raise InvalidArgument("this machine has no cgroup controller: freezer", hint="mount it to pause containers")
        return self.where["freezer"]

    def oom_killed(self) -> bool:
        # the counter stands in oom_control since Linux 4.13
        return files.counter(files.read(f"{self.where.get('memory', '/-')}/memory.oom_control"), "oom_kill") > 0

    def stats(self) -> "dict[str, str]":
        found = {}
        for controller, names in _STATS.items():
            for name in names if controller in self.where else ():
                text = files.read(f"{self.where[controller]}/{name}")
                if text:
                    found[name] = text
        return found

    def destroy(self) -> None:
        for path in self.paths.values():
            files.remove(path)


def _inherit_cpuset(point: str, name: str) -> None:
    """A new cpuset is empty, and nobody can join an empty one: fill every level from the one above."""
    above = point
    for part in name.split("/"):
        below = f"{above}/{part}"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not files.read(f"{below}/{file}").strip():
                files.write(f"{below}/{file}", files.read(f"{above}/{file}").strip())
        above = below
