"""Namespaces: unshare(2), setns(2), clone flags."""

import ctypes

from boxship.linux.libc import check, libc, number

CLONE_PARENT = 0x00008000
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# OCI's names of the namespaces (runtime-spec, config-linux.md#namespaces) and what /proc/PID/ns calls them
BY_OCI_NAME = {
    "mount": (CLONE_NEWNS, "mnt"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "uts": (CLONE_NEWUTS, "uts"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "user": (CLONE_NEWUSER, "user"),
    "pid": (CLONE_NEWPID, "pid"),
    "network": (CLONE_NEWNET, "net"),
    "time": (CLONE_NEWTIME, "time"),
}


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare")


def setns(fd: int, nstype: int = 0) -> None:
    """Join the namespace of `fd` (an nsfs file, or a pidfd with several types since Linux 5.8)."""
    check(libc.setns(fd, nstype), "setns")


def sethostname(name: bytes) -> None:
    check(libc.sethostname(name, len(name)), "sethostname")


def setdomainname(name: bytes) -> None:
    check(libc.setdomainname(name, len(name)), "setdomainname")


_CLONE = number(56, 220)
_SIGCHLD = 17
# keeps the interpreter's lock: the child must not have to take it back from a thread that does not exist there
_held = ctypes.PyDLL(None, use_errno=True)
_held.syscall.restype = ctypes.c_long


def clone(flags: int) -> int:
    """fork() with namespaces, or for the caller's parent (CLONE_PARENT): clone(2), 0 in the child.

    The C library's and the interpreter's own fork handlers do not run. For a process with one thread, whose child only makes
    system calls and execs.
    """
    zero = ctypes.c_long(0)
    return check(int(_held.syscall(ctypes.c_long(_CLONE), ctypes.c_long(flags | _SIGCHLD), zero, zero, zero, zero)), "clone")
