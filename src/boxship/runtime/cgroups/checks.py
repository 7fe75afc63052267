"""What the engine refuses before anything is made, in Docker's words (moby daemon/daemon_unix.go). Pure.

`host` is a HostConfig of the API; `online` the processors and memory nodes of this machine as the kernel lists them.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIB = 1 << 20
_LEAST_MEMORY = 6 * _MIB
# as the engine; it also keeps 0-2147483647 from becoming a set (CVE-2018-20699)
_MAX_CPU = 8192


def validate(host: "dict[str, Any]", *, ncpu: int, cpus: str = "", mems: str = "", realtime: bool = True) -> None:
    """Raises InvalidArgument for limits that Docker refuses. `cpus` and `mems` are lists such as 0-3; empty: not checked."""
    _memory(host)
    if not 0 <= (host.get("ShmSize") or 0) < 1 << 63:
        raise _refused("SHM size can not be less than 0", "see --shm-size")
    _cpu(host, ncpu, realtime)
    _available(host.get("CpusetCpus") or "", cpus, "cpuset cpus", "CPUs")
    _available(host.get("CpusetMems") or "", mems, "cpuset mems", "memory nodes")
    weight = host.get("BlkioWeight") or 0
    if weight and not 10 <= weight <= 1000:
        raise _refused("Range of blkio weight is from 10 to 1000", "see --blkio-weight")


def _memory(host: "dict[str, Any]") -> None:
    memory, swap = host.get("Memory") or 0, host.get("MemorySwap") or 0
    reservation, swappiness = host.get("MemoryReservation") or 0, host.get("MemorySwappiness")
    if memory and not _LEAST_MEMORY <= memory < 1 << 63:  # Docker's own number overflows there, with the same words
        raise _refused("Minimum memory limit allowed is 6MB", "give a larger value to -m")
    if memory > 0 and 0 < swap < memory:
        message = "Minimum memoryswap limit should be larger than memory limit, see usage"
        raise _refused(message, "--memory-swap is memory and swap together")
    if memory == 0 and swap > 0:
        raise _refused("You should always set the Memory limit when using Memoryswap limit, see usage", "add -m")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise _refused(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100", "-1 leaves it as it is")
    if reservation and reservation < _LEAST_MEMORY:
        raise _refused("Minimum memory reservation allowed is 6MB", "give a larger value to --memory-reservation")
    if 0 < memory < reservation:
        raise _refused("Minimum memory limit can not be less than memory reservation limit, see usage", "make -m the larger one")


def _cpu(host: "dict[str, Any]", ncpu: int, realtime: bool) -> None:
    nano, period, quota = host.get("NanoCpus") or 0, host.get("CpuPeriod") or 0, host.get("CpuQuota") or 0
    rt_period, rt_runtime = host.get("CpuRealtimePeriod") or 0, host.get("CpuRealtimeRuntime") or 0
    if nano and period:
        raise _refused("Conflicting options: Nano CPUs and CPU Period cannot both be set.", "use --cpus alone")
    if nano and quota:
        raise _refused("Conflicting options: Nano CPUs and CPU Quota cannot both be set.", "use --cpus alone")
    if nano < 0 or nano > ncpu * 1_000_000_000:
        message = f"range of CPUs is from 0.01 to {ncpu}.00, as there are only {ncpu} CPUs available"
        raise _refused(message, "give a smaller value to --cpus")
    if (host.get("CpuShares") or 0) < 0:
        raise _refused(f"invalid CPU shares ({host['CpuShares']}): value must be a positive integer", "1024 is one usual share")
    if (rt_period or rt_runtime) and not realtime:
        raise _refused("kernel does not support CPU real-time scheduler", "leave out --cpu-rt-period and --cpu-rt-runtime")
    if rt_period and rt_runtime > rt_period:
        raise _refused("cpu real-time runtime cannot be higher than cpu real-time period", "make --cpu-rt-period the larger one")
    if period and not 1000 <= period <= 1_000_000:
        message = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        raise _refused(message, "the usual one is 100000")
    if 0 < quota < 1000:
        raise _refused("CPU cfs quota can not be less than 1ms (i.e. 1000)", "-1 means no limit")


def _available(wanted: str, there: str, option: str, noun: str) -> None:
    try:
        numbers = parse_list(wanted)
    except InvalidArgument as error:
        raise _refused(f"Invalid value {wanted} for {option}", error.message) from error
    if there and not numbers <= parse_list(there):
        raise _refused(f"Requested {noun} are not available - requested {wanted}, available: {there}", "see /sys/devices/system")


def is_available(wanted: str, there: str) -> bool:
    """Whether every number of the list `wanted` is in `there`; raises InvalidArgument for what is no list."""
    return parse_list(wanted) <= parse_list(there)


def parse_list(text: str) -> "frozenset[int]":
    """The kernel's list format: 0-2,7 (cpuset(7)). Ends at once on huge ranges."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        first = _number(low, text)
        last = _number(high, text) if dash else first
        if last < first:
            raise _refused(f"invalid format: {text}", "such as 0-3,5")
        found.update(range(first, last + 1))
    return frozenset(found)


def _number(part: str, text: str) -> int:
    if not (part.isascii() and part.isdigit()) or len(part) > 10:
        raise _refused(f"invalid format: {text}", "such as 0-3,5")
    if int(part) > _MAX_CPU:
        raise _refused(f"value of out range, maximum is {_MAX_CPU}: {text}", "such as 0-3,5")
    return int(part)


def _refused(message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(message, hint=hint)
