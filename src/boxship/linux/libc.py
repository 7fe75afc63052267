"""The C library and the raw system call. See the package's docstring: nothing is decided here."""

import ctypes
import os

from boxship.errors import KernelError, Unsupported

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

MACHINE = os.uname().machine
if MACHINE not in ("x86_64", "aarch64"):
    raise Unsupported(f"not supported on this architecture: {MACHINE}", hint="Boxship runs on x86_64 and aarch64")


def number(x86_64: int, aarch64: int) -> int:
    """A system call's number on this machine. Calls added since Linux 5.0 have one number everywhere."""
    return x86_64 if MACHINE == "x86_64" else aarch64


def check(result: int, syscall: str, path: "str | None" = None) -> int:
    """`result` unless it is negative: then KernelError with errno."""
    if result < 0:
        raise KernelError(syscall, ctypes.get_errno(), path)
    return result


def syscall(nr: int, *args: object) -> int:
    """The raw call; -1 and errno on failure (give the result to `check`). Integers are passed as longs."""
    return int(libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]))


def last_errno() -> int:
    return ctypes.get_errno()

