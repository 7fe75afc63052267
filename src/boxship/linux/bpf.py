"""eBPF as far as a device filter of cgroup v2 needs it: instructions, and bpf(2) to load, attach, detach and query."""

import ctypes
import struct

from boxship.linux.libc import check, number, syscall

_BPF = number(321, 280)
# include/uapi/linux/bpf.h
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6
_F_ALLOW_MULTI = 2

R0, R1, R2, R3, R4, R5 = range(6)


def load_word(dst: int, src: int, offset: int) -> bytes:
    """dst = *(u32 *)(src + offset)"""
    return _instruction(0x61, dst, src, offset, 0)


def move(dst: int, src: int) -> bytes:
    return _instruction(0xBF, dst, src, 0, 0)


def move_imm(dst: int, value: int) -> bytes:
    return _instruction(0xB7, dst, 0, 0, value)


def and_imm(dst: int, value: int) -> bytes:
    return _instruction(0x57, dst, 0, 0, value)


def shift_right(dst: int, bits: int) -> bytes:
    return _instruction(0x77, dst, 0, 0, bits)


def jump_equal(dst: int, value: int, skip: int) -> bytes:
    """Skip `skip` instructions when dst == value."""
    return _instruction(0x15, dst, 0, skip, value)


def jump_unequal(dst: int, value: int, skip: int) -> bytes:
    return _instruction(0x55, dst, 0, skip, value)


def jump_unequal_register(dst: int, src: int, skip: int) -> bytes:
    return _instruction(0x5D, dst, src, skip, 0)


def leave() -> bytes:
    """Return r0."""
    return _instruction(0x95, 0, 0, 0, 0)


def _instruction(code: int, dst: int, src: int, offset: int, value: int) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, offset, value)


def load_device_program(program: bytes) -> int:
    """BPF_PROG_LOAD (cgroup device programs: Linux 4.15); a descriptor. Needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN."""
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attr = struct.pack("=IIQQ", _PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence))
    attr += struct.pack("=IIQII16s", 0, 0, 0, 0, 0, b"boxship_devices")  # no verifier's log, no flags
    return _bpf(_PROG_LOAD, attr, "bpf(BPF_PROG_LOAD)")


def attach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """From now on the program decides for the cgroup and all below it; it lives as long as the cgroup does."""
    _bpf(_PROG_ATTACH, struct.pack("=IIIII", cgroup_fd, program_fd, _CGROUP_DEVICE, _F_ALLOW_MULTI, 0), "bpf(BPF_PROG_ATTACH)")


def detach_device_program(cgroup_fd: int, program_fd: int) -> None:
    _bpf(_PROG_DETACH, struct.pack("=IIIII", cgroup_fd, program_fd, _CGROUP_DEVICE, 0, 0), "bpf(BPF_PROG_DETACH)")


def device_programs(cgroup_fd: int) -> "list[int]":
    """The ids of the programs that are attached to this cgroup itself."""
    room = 64
    ids = (ctypes.c_uint32 * room)()
    attr = struct.pack("=IIIIQI4x", cgroup_fd, _CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), room)
    buffer = ctypes.create_string_buffer(attr, len(attr))
    check(syscall(_BPF, _PROG_QUERY, buffer, len(attr)), "bpf(BPF_PROG_QUERY)")
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return list(ids[:count])


def program_by_id(program_id: int) -> int:
    """A descriptor of a loaded program."""
    return _bpf(_PROG_GET_FD_BY_ID, struct.pack("=II", program_id, 0), "bpf(BPF_PROG_GET_FD_BY_ID)")


def _bpf(command: int, attr: bytes, name: str) -> int:
    return check(syscall(_BPF, command, ctypes.create_string_buffer(attr, len(attr)), len(attr)), name)
