"""Processes by descriptor: no signal ever reaches a recycled pid."""

import os

from boxship.linux.libc import check, syscall

_PIDFD_SEND_SIGNAL = 424


def pidfd_open(pid: int) -> int:
    """A descriptor that is readable once the process has ended. Raises ProcessLookupError when it is gone."""
    return os.pidfd_open(pid)


def pidfd_send_signal(fd: int, signal: int) -> None:
    check(syscall(_PIDFD_SEND_SIGNAL, fd, signal, 0, 0), "pidfd_send_signal")
