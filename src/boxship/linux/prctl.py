"""prctl(2) and the process attributes that Python's os module lacks."""

import ctypes

from boxship.linux.libc import check, libc, number, syscall

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_CLOSE_RANGE = 436
_RT_SIGACTION = number(13, 134)
_KEYCTL = number(250, 219)
_PERSONALITY = number(135, 92)
CLOSE_RANGE_CLOEXEC = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    long = ctypes.c_ulong
    return check(libc.prctl(option, long(arg2), long(arg3), long(arg4), long(arg5)), "prctl")


def set_name(name: str) -> None:
    """The process's comm, 15 bytes at most."""
    libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def set_title(title: str) -> None:
    """What /proc/PID/cmdline shows: written over the arguments that the process was started with, cut to their length."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end: proc_pid_stat(5), since Linux 3.5
    if start:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title.encode()[: end - start - 1], min(len(title.encode()), end - start - 1))


def default_reserved_signals() -> None:
    """SIG_DFL for the two signals that glibc keeps for itself and sigaction(3) refuses: its posix_spawn(3) leaves them ignored."""
    action = ctypes.create_string_buffer(64)  # struct sigaction of the kernel, all zeros
    for reserved in (32, 33):
        check(syscall(_RT_SIGACTION, reserved, action, None, 8), "rt_sigaction")


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close all descriptors from `first` to `last`, or mark them close-on-exec (Linux 5.9, 5.11)."""
    check(syscall(_CLOSE_RANGE, first, last, flags), "close_range")


def join_session_keyring() -> bool:
    """A fresh session keyring, so that a container can't reach the caller's keys; False where keys are disabled.

    Without a name: one that has a name can be joined by another who knows it (keyctl_join_session_keyring(3)).
    """
    return syscall(_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) >= 0


def personality(persona: int) -> None:
    check(syscall(_PERSONALITY, persona), "personality")


def setgroups(groups: "list[int]") -> None:
    """setgroups(2) by way of libc."""
    array = (ctypes.c_uint32 * len(groups))(*groups)
    check(libc.setgroups(ctypes.c_size_t(len(groups)), array), "setgroups")
