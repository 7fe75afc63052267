"""A classic BPF interpreter as far as seccomp uses it, and libseccomp by way of ctypes: the oracle of the seccomp tests."""

import ctypes
import ctypes.util
import os
import struct
from typing import Any

Program = list[tuple[int, int, int, int]]


def load(code: bytes) -> Program:
    return list(struct.iter_unpack("=HBBI", code))  # type: ignore[arg-type]


def run(program: Program, arch: int, nr: int, args: tuple[int, ...] = (), trace: list[int] | None = None) -> int:
    """The return value for one call; `trace` collects the positions of the instructions that were executed."""
    data = struct.pack("<II Q 6Q", nr & 0xFFFFFFFF, arch, 0, *(tuple(args) + (0,) * 6)[:6])
    a, pc = 0, 0
    while True:
        op, jt, jf, k = program[pc]
        if trace is not None:
            trace.append(pc)
        pc += 1
        if op == 0x20:
            a = int.from_bytes(data[k : k + 4], "little")
        elif op == 0x54:
            a &= k
        elif op == 0x05:
            pc += k
        elif op == 0x06:
            return k
        elif op in (0x15, 0x25, 0x35, 0x45):
            holds = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[op]
            pc += jt if holds else jf
        else:
            raise AssertionError(f"unexpected instruction {op:#x}")


class Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


OPS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
ARCHES = {"X86_64": 0xC000003E, "X86": 0x40000003, "X32": 0x4000003E, "AARCH64": 0xC00000B7, "ARM": 0x40000028}
ACTIONS = {
    "KILL": 0, "KILL_THREAD": 0, "KILL_PROCESS": 0x80000000, "TRAP": 0x00030000, "ERRNO": 0x00050000,
    "TRACE": 0x7FF00000, "LOG": 0x7FFC0000, "ALLOW": 0x7FFF0000,
}


def library() -> Any:
    """libseccomp, or None."""
    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    lib.seccomp_init.restype = ctypes.c_void_p
    return lib


def action(rule: dict[str, Any], key: str = "action", errno: str = "errnoRet") -> int:
    name = rule[key].removeprefix("SCMP_ACT_")
    return ACTIONS[name] | (rule.get(errno, 1) & 0xFFFF if name in ("ERRNO", "TRACE") else 0)


def libseccomp(oci: dict[str, Any], native: str = "X86_64") -> Program:
    """`oci` compiled by libseccomp, the way runc drives it (without runc's ENOSYS stub)."""
    lib = library()
    default = action(oci, "defaultAction", "defaultErrnoRet")
    context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(default)))
    if native != "X86_64":
        assert lib.seccomp_arch_add(context, ctypes.c_uint32(ARCHES[native])) == 0
        assert lib.seccomp_arch_remove(context, ctypes.c_uint32(ARCHES["X86_64"])) == 0
    for arch in oci.get("architectures", ()):
        assert lib.seccomp_arch_add(context, ctypes.c_uint32(ARCHES[arch.removeprefix("SCMP_ARCH_")])) in (0, -17)
    for rule in oci.get("syscalls", ()):
        if action(rule) == default:
            continue
        for name in rule["names"]:
            _add(lib, context, rule, name)
    fd = os.memfd_create("bpf")
    assert lib.seccomp_export_bpf(context, fd) == 0
    code = os.pread(fd, 1 << 20, 0)
    os.close(fd)
    lib.seccomp_release(context)
    return load(code)


def _add(lib: Any, context: Any, rule: dict[str, Any], name: str) -> None:
    nr = lib.seccomp_syscall_resolve_name(name.encode())
    if nr == -1:
        return
    args = rule.get("args") or []
    wanted = [Arg(a["index"], OPS[a["op"].removeprefix("SCMP_CMP_")], a.get("value", 0), a.get("valueTwo", 0)) for a in args]
    groups = [[a] for a in wanted] if len({a.arg for a in wanted}) < len(wanted) else [wanted]
    for group in groups:
        array = (Arg * len(group))(*group)
        result = lib.seccomp_rule_add_array(context, ctypes.c_uint32(action(rule)), nr, len(group), array)
        assert result in (0, -17), (name, result)
