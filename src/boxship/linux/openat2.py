"""openat2(2): opening below a directory that somebody hostile may have filled (Linux 5.6)."""

import ctypes
import os

from boxship.linux.libc import check, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_OPENAT2 = 437


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(dirfd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """A descriptor, close-on-exec. RESOLVE_IN_ROOT makes `dirfd` the root that `..` and links can't leave."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return check(syscall(_OPENAT2, dirfd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)), "openat2", path)
