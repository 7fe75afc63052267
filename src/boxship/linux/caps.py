"""Capabilities: names and bits, Docker's rule for --cap-add and --cap-drop, and the calls that set them.

The names and the rule are pure and load without ctypes: `run` needs them before anything is forked.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# include/uapi/linux/capability.h: the position is the bit; the newest came with Linux 5.9
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(f"CAP_{name}" for name in _NAMES.split())

# moby daemon/pkg/oci/caps/defaults.go: what a container's root keeps
_DEFAULT = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""
DEFAULT = tuple(f"CAP_{name}" for name in _DEFAULT.split())

ALL = "ALL"

_VERSION_3 = 0x20080522  # capabilities(7): 64-bit sets, since Linux 2.6.26
_LAST_CAP = "/proc/sys/kernel/cap_last_cap"
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def last_cap() -> int:
    """The kernel's highest capability (since Linux 3.2); the last one known here where /proc can't be read."""
    try:
        with open(_LAST_CAP, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return len(NAMES) - 1


def known() -> "tuple[str, ...]":
    """The names that this kernel and this program know, without those that nobody here can have (an engine in a container)."""
    held = _bounding_of_proc()
    return tuple(name for bit, name in enumerate(NAMES[: last_cap() + 1]) if held >> bit & 1)


def _bounding_of_proc() -> int:
    """CapBnd, without ctypes; everything where /proc can't be read."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"CapBnd:"):
                    return int(line[7:], 16)
    except OSError:
        pass
    return (1 << len(NAMES)) - 1


def normalize(name: str) -> str:
    """`name` as Docker's CLI writes it: trimmed, upper case, with CAP_ in front unless it is ALL."""
    name = name.strip().upper()
    return name if name == ALL or name.startswith("CAP_") else f"CAP_{name}"


def effective(add: "Iterable[str]", drop: "Iterable[str]") -> "tuple[list[str], list[str]]":
    """--cap-add and --cap-drop as Docker's CLI sends them: sorted, without doubles; ALL absorbs its list, add beats drop."""
    adds = {normalize(name) for name in add}
    drops = {normalize(name) for name in drop}
    if ALL in adds:
        adds = {ALL}
    drops = {ALL} if ALL in drops else drops - adds
    return sorted(adds), sorted(drops)


def tweak(adds: "Sequence[str]", drops: "Sequence[str]", privileged: bool) -> "list[str]":
    """The capabilities of a container's root process, by the engine's rule (moby daemon/pkg/oci/caps/utils.go).

    Raises InvalidArgument for a name that nobody knows and for one that this kernel lacks.
    """
    available = known()
    if privileged:
        return list(available)
    adds = [_checked(name, available) for name in adds]
    drops = [_checked(name, available) for name in drops]
    if ALL in adds:
        return [name for name in available if name not in drops]
    kept = [] if ALL in drops else [name for name in DEFAULT if name not in drops and name not in adds]
    return list(dict.fromkeys([*kept, *adds]))


def _checked(name: str, available: "tuple[str, ...]") -> str:
    name = normalize(name)
    if name == ALL or name in available:
        return name
    if name in NAMES:
        raise InvalidArgument(
            f'capability not supported by your kernel or not available in the current environment: "{name}"',
            hint="leave it out of --cap-add and --cap-drop",
        )
    raise InvalidArgument(f'unknown capability: "{name}"', hint="see capabilities(7) for the names")


def mask(names: "Iterable[str]") -> int:
    """The bits of `names`; a name that is not in NAMES raises InvalidArgument."""
    bits = 0
    for name in names:
        try:
            bits |= 1 << NAMES.index(name)
        except ValueError:
            raise InvalidArgument(f'unknown capability: "{name}"', hint="see capabilities(7) for the names") from None
    return bits


def names(bits: int) -> "list[str]":
    """The capabilities of a bit set such as CapEff in /proc/PID/status; bits newer than NAMES are left out."""
    return [name for bit, name in enumerate(NAMES) if bits >> bit & 1]


def capget(pid: int = 0) -> "tuple[int, int, int]":
    """(effective, permitted, inheritable) of a thread, as bit sets."""
    import struct
    from ctypes import create_string_buffer

    from boxship.linux.libc import check, libc

    header = create_string_buffer(struct.pack("=Ii", _VERSION_3, pid), 8)
    data = create_string_buffer(24)
    check(libc.capget(header, data), "capget")
    low_e, low_p, low_i, high_e, high_p, high_i = struct.unpack("=6I", data.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's three sets."""
    import struct
    from ctypes import create_string_buffer

    from boxship.linux.libc import check, libc

    low = (effective & 0xFFFFFFFF, permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF)
    high = (effective >> 32, permitted >> 32, inheritable >> 32)
    header = create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
    check(libc.capset(header, create_string_buffer(struct.pack("=6I", *low, *high), 24)), "capset")


def bounding() -> int:
    """The calling thread's bounding set."""
    from boxship.linux.prctl import prctl

    return sum(1 << bit for bit in range(last_cap() + 1) if prctl(_PR_CAPBSET_READ, bit))


def drop_bounding(keep: int) -> None:
    """Drop from the bounding set what is not in `keep`, also the capabilities that are newer than NAMES. Needs CAP_SETPCAP."""
    from boxship.linux.prctl import prctl

    for bit in range(last_cap() + 1):
        if not keep >> bit & 1 and prctl(_PR_CAPBSET_READ, bit):
            prctl(_PR_CAPBSET_DROP, bit)


def set_ambient(bits: int) -> None:
    """Make `bits` the ambient set (Linux 4.3); each must be permitted and inheritable already."""
    from boxship.linux.prctl import prctl

    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for bit in range(bits.bit_length()):
        if bits >> bit & 1:
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, bit)


def apply(sets: "dict[str, list[str]]") -> None:
    """The last step before exec: OCI's process.capabilities, after setuid with PR_SET_KEEPCAPS on and the bounding set dropped.

    For a process that may still set them: dropping the bounding set needs CAP_SETPCAP and comes before the change of user.
    """
    permitted = mask(sets.get("permitted", ()))
    inheritable = mask(sets.get("inheritable", ()))
    capset(mask(sets.get("effective", ())), permitted, inheritable)
    set_ambient(mask(sets.get("ambient", ())))
