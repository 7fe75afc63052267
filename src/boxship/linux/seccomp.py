"""An OCI linux.seccomp object compiled to a classic BPF program, and seccomp(2) to install it.

    load arch -> per architecture: load nr -> binary search over ranges of numbers with one verdict -> [arguments] -> return

Meaning as runc gives it by way of libseccomp: unknown names are skipped; a rule without conditions beats those with; conditions of
one rule must all hold; another architecture than those named kills; numbers above the newest one that the profile names get ENOSYS
and not the default action, so that programs fall back when a system call is newer than the profile (runc
libcontainer/seccomp/patchbpf). `compile` is pure and its result may be kept; the tables are loaded only for it.
"""

import struct

from boxship.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # index of the argument, operator, value, mask or second value
    Condition = tuple[int, str, int, int]
    Rule = tuple[tuple[Condition, ...], int]
    # what happens with one number: a return value, or rules in order before the default action
    Verdict = int | tuple[Rule, ...]

# include/uapi/linux/seccomp.h
RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4}

_ACTIONS = {
    "SCMP_ACT_KILL": RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": RET_TRAP,
    "SCMP_ACT_ERRNO": RET_ERRNO,
    "SCMP_ACT_TRACE": RET_TRACE,
    "SCMP_ACT_LOG": RET_LOG,
    "SCMP_ACT_ALLOW": RET_ALLOW,
}
_WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
# a log or a tracer wants to see new system calls too: no ENOSYS then
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_OPERATORS = ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")

_EPERM = 1
_ENOSYS = 38
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_X32_BIT = 0x40000000
_MAX_NR = 0xFFFFFFFF

# OCI's word -> (AUDIT_ARCH_*, 64-bit arguments); x32 shares the audit architecture of x86_64
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": (0xC000003E, True),
    "SCMP_ARCH_X86": (0x40000003, False),
    "SCMP_ARCH_X32": (0xC000003E, False),
    "SCMP_ARCH_AARCH64": (0xC00000B7, True),
    "SCMP_ARCH_ARM": (0x40000028, False),
}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
# these never run on a machine of ours, so nothing is lost when they are named (old profiles name them all)
_FOREIGN = """
NATIVE MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64
M68K SH SHEB
"""

# 32-bit x86 also makes these through socketcall(2) and ipc(2), by the number in the first argument (net.h, ipc.h)
_SOCKETCALL = """
socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt
getsockopt sendmsg recvmsg accept4
"""
_IPC = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip

# what programs do most: kept near the root of the search
_HOT = """
read write close futex mmap munmap mprotect brk openat newfstatat fstat lseek ioctl poll epoll_wait epoll_pwait
epoll_ctl sendto recvfrom sendmsg recvmsg clock_gettime clock_nanosleep rt_sigaction rt_sigprocmask getpid gettid
sched_yield readv writev pread64 pwrite64 madvise stat fcntl getdents64
"""
_HOT_WEIGHT = 24


def compile(oci: "dict[str, Any]", machine: str) -> bytes:  # noqa: A001
    """`struct sock_filter` after `struct sock_filter` for `machine` (os.uname().machine).

    Raises InvalidArgument for words and shapes that are none of OCI's, Unsupported for SCMP_ACT_NOTIFY.
    """
    default = _action(oci.get("defaultAction"), oci.get("defaultErrnoRet"))
    enosys = oci["defaultAction"] not in _PERMISSIVE
    rules = _rules(oci.get("syscalls") or (), default)
    program = _Program()
    sections: dict[int, int] = {}
    for audit, members in _grouped(_architectures(oci, machine)):
        sections[audit] = _section(program, members, rules, default, enosys)
    _dispatch(program, sections, _ARCHITECTURES[NATIVE[machine]][0])
    if len(program.code) > _MAX_INSTRUCTIONS:
        raise InvalidArgument(
            f"seccomp profile is too long: {len(program.code)} instructions, {_MAX_INSTRUCTIONS} at most",
            hint="use fewer rules with conditions",
        )
    return b"".join(reversed(program.code))


def flags(oci: "dict[str, Any]") -> int:
    """The flags word of seccomp(2) for an OCI linux.seccomp object. TSYNC changes nothing: the caller has one thread."""
    bits = 0
    for name in oci.get("flags") or ():
        if name not in FLAGS:
            raise InvalidArgument(f"seccomp flag is not known: {name}", hint="known are " + ", ".join(FLAGS))
        bits |= FLAGS[name]
    return bits


def install(program: bytes, flags: int = 0) -> None:
    """Put the calling thread under `program` for good (seccomp(2), Linux 3.17). Needs CAP_SYS_ADMIN or no_new_privs."""
    import ctypes

    from boxship.linux.libc import check, number, syscall

    class Fprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    fprog = Fprog(len(program) // 8, program)
    check(syscall(number(317, 277), 1, flags, ctypes.byref(fprog)), "seccomp")


def _action(name: "str | None", errno: "int | None") -> int:
    if name == "SCMP_ACT_NOTIFY":
        raise Unsupported("seccomp action is not supported yet: SCMP_ACT_NOTIFY", hint="use SCMP_ACT_ERRNO or SCMP_ACT_TRACE")
    if name not in _ACTIONS:
        raise InvalidArgument(f"seccomp action is not known: {name}", hint="known are " + ", ".join(_ACTIONS))
    if name not in _WITH_VALUE:
        return _ACTIONS[name]
    value = _EPERM if errno is None else errno
    if not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"seccomp errnoRet is not a number: {value}", hint="errno values are in errno(3)")
    return _ACTIONS[name] | value & 0xFFFF


def _rules(calls: "Any", default: int) -> "list[tuple[str, list[tuple[Condition, ...]], int]]":
    """(name, alternatives, return value) in the profile's order; the default's own value only marks a name as known."""
    rules = []
    for call in calls:
        action = _action(call.get("action"), call.get("errnoRet"))
        alternatives = _alternatives(call.get("args") or ())
        for name in call.get("names") or ():
            rules.append((name, alternatives if action != default else [], action))
    return rules


def _alternatives(args: "Any") -> "list[tuple[Condition, ...]]":
    conditions = tuple(_condition(arg) for arg in args)
    if len({condition[0] for condition in conditions}) < len(conditions):
        # libseccomp refuses two conditions on one argument, and runc then makes each its own rule: OR, not AND
        return [(condition,) for condition in conditions]
    return [conditions]


def _condition(arg: "dict[str, Any]") -> "Condition":
    index, op = arg.get("index"), str(arg.get("op", "")).removeprefix("SCMP_CMP_")
    value, second = arg.get("value", 0), arg.get("valueTwo", 0)
    if not isinstance(index, int) or not 0 <= index <= 5:
        raise InvalidArgument(f"seccomp argument index is out of range: {index}", hint="a system call has arguments 0 to 5")
    if op not in _OPERATORS:
        raise InvalidArgument(f"seccomp operator is not known: {arg.get('op')}", hint="known are SCMP_CMP_" + ", ".join(_OPERATORS))
    if not all(isinstance(number, int) and 0 <= number < 1 << 64 for number in (value, second)):
        raise InvalidArgument(f"seccomp argument value is out of range: {value}", hint="values have 64 bits without a sign")
    return index, op, value, second


def _architectures(oci: "dict[str, Any]", machine: str) -> "list[str]":
    """Those to make a section for: the machine's own one always, as libseccomp does."""
    found = [NATIVE[machine]]
    for name in oci.get("architectures") or ():
        if name in _ARCHITECTURES:
            found.append(name)
        elif name.removeprefix("SCMP_ARCH_") not in _FOREIGN.split():
            raise InvalidArgument(f"seccomp architecture is not known: {name}", hint="such as SCMP_ARCH_X86_64")
    return list(dict.fromkeys(found))


def _grouped(names: "list[str]") -> "list[tuple[int, list[str]]]":
    """By audit architecture; the machine's own last, because the program is made from its end."""
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(_ARCHITECTURES[name][0], []).append(name)
    return list(reversed(groups.items()))


def numbers(architecture: str) -> "dict[str, int]":
    """System call numbers by name; x32's carry its bit."""
    if architecture == "SCMP_ARCH_X32":
        from boxship.linux import syscalls_x86_64 as x32

        table = _parse(x32.NUMBERS)
        for name in x32.NOT_X32.split():
            del table[name]
        return {name: nr | _X32_BIT for name, nr in {**table, **_parse(x32.X32_NUMBERS)}.items()}
    if architecture == "SCMP_ARCH_X86_64":
        from boxship.linux.syscalls_x86_64 import NUMBERS
    elif architecture == "SCMP_ARCH_X86":
        from boxship.linux.syscalls_i386 import NUMBERS
    elif architecture == "SCMP_ARCH_AARCH64":
        from boxship.linux.syscalls_aarch64 import NUMBERS
    else:
        from boxship.linux.syscalls_arm import NUMBERS
    return _parse(NUMBERS)


def _parse(text: str) -> "dict[str, int]":
    table: dict[str, int] = {}
    nr = 0
    for word in text.split():
        if word[0] == "@":
            nr = int(word[1:])
        else:
            table[word] = nr
            nr += 1
    return table


class _Program:
    """Instructions from the last to the first: every jump goes forward, so its target is there when it is made.

    A label is the number of instructions from its target to the end, itself counted.
    """

    __slots__ = ("code", "returns")

    def __init__(self) -> None:
        self.code: list[bytes] = []
        self.returns: dict[int, int] = {}

    def emit(self, op: int, k: int, jt: int = 0, jf: int = 0) -> int:
        self.code.append(struct.pack("=HBBI", op, jt, jf, k))
        return len(self.code)

    def ret(self, value: int) -> int:
        label = self.returns.get(value)
        if label is None or len(self.code) - label > 200:  # a conditional jump reaches 255 instructions
            label = self.returns[value] = self.emit(0x06, value)
        return label

    def load(self, offset: int) -> int:
        return self.emit(0x20, offset)

    def mask(self, value: int) -> int:
        return self.emit(0x54, value)

    def jump(self, op: int, k: int, yes: int, no: int) -> int:
        """Conditional jump; a target out of its reach is reached by way of an unconditional one."""
        if len(self.code) + 1 - no > 255:
            no = self.emit(0x05, len(self.code) - no)
        if len(self.code) - yes > 255:
            yes = self.emit(0x05, len(self.code) - yes)
        return self.emit(op, k, len(self.code) - yes, len(self.code) - no)


_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data


def _dispatch(program: _Program, sections: "dict[int, int]", native: int) -> None:
    label = program.ret(RET_KILL_THREAD) if len(sections) == 1 else 0
    others = [audit for audit in sections if audit != native]
    if others:
        label = program.ret(RET_KILL_THREAD)
        for audit in others:
            label = program.jump(_JEQ, audit, sections[audit], label)
    program.jump(_JEQ, native, sections[native], label)
    program.load(_ARCH)


def _section(program: _Program, members: "list[str]", rules: "Any", default: int, enosys: bool) -> int:
    """The search of one audit architecture; its label."""
    starts: list[tuple[int, Verdict, bool]] = []
    hot: set[int] = set()
    for name in sorted(members, reverse=True):  # x86_64 before x32, as their numbers are
        starts += _ranges(name, rules, default, enosys, hot)
    if "SCMP_ARCH_X86_64" in members and "SCMP_ARCH_X32" not in members:
        # as libseccomp: an x32 number is the wrong architecture, but for -1, which a tracer writes to skip a call
        starts += [(_X32_BIT, RET_KILL_THREAD, True), (_MAX_NR, default, True)]
    merged = [starts[0]]
    for start in starts[1:]:
        if start[1:] != merged[-1][1:]:
            merged.append(start)
    merged.append((_MAX_NR + 1, 0, True))
    weights = [_weight(merged[index][0], merged[index + 1][0], hot) for index in range(len(merged) - 1)]
    _search(program, merged[:-1], weights, default, {})
    return program.load(_NR)


def _weight(first: int, end: int, hot: "set[int]") -> int:
    return min(end - first, 8) + sum(_HOT_WEIGHT for nr in hot if first <= nr < end)


def _ranges(name: str, rules: "Any", default: int, enosys: bool, hot: "set[int]") -> "list[tuple[int, Verdict, bool]]":
    """(first number, verdict, 64-bit arguments) for all numbers of one architecture, ascending."""
    table = numbers(name)
    wide = _ARCHITECTURES[name][1]
    verdicts, last = _verdicts(table, rules, name == "SCMP_ARCH_X86")
    hot.update(table[word] for word in _HOT.split() if word in table)
    base = _X32_BIT if name == "SCMP_ARCH_X32" else 0
    result: list[tuple[int, Verdict, bool]] = [(base, default, True)]
    for nr in sorted(verdicts):
        if result[-1][0] == nr:
            result.pop()
        verdict = verdicts[nr]
        result += [(nr, verdict, wide or isinstance(verdict, int)), (nr + 1, default, True)]
    if enosys and last:
        result = [entry for entry in result if entry[0] <= last] + [(last + 1, RET_ERRNO | _ENOSYS, True)]
    return result


def _verdicts(table: "dict[str, int]", rules: "Any", muxed: bool) -> "tuple[dict[int, Verdict], int]":
    """What each number gets, and the highest number that the profile names."""
    verdicts: dict[int, Verdict] = {}
    last = 0
    for name, alternatives, action in rules:
        nr = table.get(name)
        if nr is not None:
            last = max(last, nr)
        for conditions in alternatives:
            if nr is not None:
                _add(verdicts, nr, conditions, action)
            if muxed:
                _add_muxed(verdicts, table, name, conditions, action)
    return verdicts, last


def _add(verdicts: "dict[int, Verdict]", nr: int, conditions: "tuple[Condition, ...]", action: int) -> None:
    known = verdicts.get(nr, ())
    if isinstance(known, int):
        return
    verdicts[nr] = (*known, (conditions, action)) if conditions else action


def _add_muxed(
    verdicts: "dict[int, Verdict]", table: "dict[str, int]", name: str, conditions: "tuple[Condition, ...]", action: int
) -> None:
    calls = _SOCKETCALL.split()
    if name in calls:
        nr, call = table["socketcall"], calls.index(name) + 1
    elif name in _IPC:
        nr, call = table["ipc"], _IPC[name]
    else:
        return
    # the call's own first argument stands behind a pointer, out of a filter's reach
    others = tuple(condition for condition in conditions if condition[0] != 0)
    _add(verdicts, nr, ((0, "EQ", call, 0), *others), action)


def _search(program: _Program, ranges: "Any", weights: "list[int]", default: int, leaves: "dict[Any, int]") -> int:
    if len(ranges) == 1:
        return _leaf(program, ranges[0], default, leaves)
    half, left, middle = sum(weights) / 2, 0, 0
    while middle < len(ranges) - 1 and (middle == 0 or left + weights[middle] / 2 <= half):
        left += weights[middle]
        middle += 1
    right_label = _search(program, ranges[middle:], weights[middle:], default, leaves)
    left_label = _search(program, ranges[:middle], weights[:middle], default, leaves)
    return program.jump(_JGE, ranges[middle][0], right_label, left_label)


def _leaf(program: _Program, entry: "tuple[int, Verdict, bool]", default: int, leaves: "dict[Any, int]") -> int:
    _, verdict, wide = entry
    if isinstance(verdict, int):
        return program.ret(verdict)
    label = leaves.get((verdict, wide))
    if label is None:
        label = program.ret(default)
        for conditions, action in reversed(verdict):
            no, yes = label, program.ret(action)
            for condition in reversed(conditions):
                yes = _compare(program, condition, wide, yes, no)
            label = yes
        leaves[verdict, wide] = label
    return label


def _compare(program: _Program, condition: "Condition", wide: bool, yes: int, no: int) -> int:
    """Code that goes to `yes` when the condition holds. Classic BPF has 32 bits: the upper half decides first."""
    index, op, value, second = condition
    low, high = _ARGS + 8 * index, _ARGS + 8 * index + 4
    if op in ("NE", "LT", "LE"):
        yes, no, op = no, yes, {"NE": "EQ", "LT": "GE", "LE": "GT"}[op]
    mask = (1 << 64) - 1
    if op == "MASKED_EQ":
        mask, value, op = value, second & value, "EQ"
    program.jump({"EQ": _JEQ, "GT": _JGT, "GE": _JGE}[op], value & _MAX_NR, yes, no)
    if mask & _MAX_NR != _MAX_NR:
        program.mask(mask & _MAX_NR)
    label = program.load(low)
    if not wide or not mask >> 32:
        return label
    label = program.jump(_JEQ, value >> 32, label, no)
    if op != "EQ":
        label = program.jump(_JGT, value >> 32, yes, label)
    if mask >> 32 != _MAX_NR:
        program.mask(mask >> 32)
    return program.load(high)
