"""Pseudo-terminals: pty(7), ioctl_tty(2)."""

import fcntl
import os
import struct
import termios

TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
TIOCGPTPEER = 0x5441


def open_master(ptmx: str) -> int:
    """A new master from this ptmx (a container's own devpts has its own), unlocked, close-on-exec."""
    fd = os.open(ptmx, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TIOCSPTLCK, struct.pack("i", 0))
    except OSError:
        os.close(fd)
        raise
    return fd


def slave_number(master: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, b"\0\0\0\0"))[0])


def open_slave(master: int) -> int:
    """The slave of this very master, with no path look-up (TIOCGPTPEER, Linux 4.13)."""
    return int(fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))


def set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def size(fd: int) -> "tuple[int, int]":
    """(rows, columns); (0, 0) when the terminal does not know."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
    return rows, columns


def take_controlling(fd: int) -> None:
    """Make the terminal the controlling one of this session (after setsid)."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
