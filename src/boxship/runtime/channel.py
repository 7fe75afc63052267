"""The channel between a parent and the init it launched, as the parent sees it; see `launch` for the protocol.

Light on purpose: all that a shim needs to know of launching. Each module that it runs costs it memory of its own.
"""

import _socket
import errno
import os
import struct

from boxship import fastjson
from boxship.errors import BoxshipError, ExecFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_LARGEST = 1 << 18  # more than a socket's send buffer takes
_MOST_FDS = 253  # SCM_MAX_FD


class Child:
    """A forked init: its pid, a pidfd, and the channel."""

    __slots__ = ("channel", "master", "pid", "pidfd")

    def __init__(self, pid: int, channel: "_socket.socket", master: int = -1) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.channel = channel
        self.master = master

    def await_ready(self) -> None:
        """Until everything is mounted; raises what init reports."""
        data, fds = receive(self.channel)
        if data != b"R":
            self._fail(data)
        if fds:
            self.master = fds[0]

    def go(self) -> None:
        """Let it exec, and wait until it has; raises what init reports (ExecFailed: the program can't be started)."""
        self.channel.send(b"G")
        data, _ = receive(self.channel)
        self.channel.close()
        if data:
            self._fail(data)

    def _fail(self, data: bytes) -> "NoReturn":
        self.channel.close()
        os.close(self.pidfd)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            status = 0  # cloned for our parent, who reaps it
        if not data:
            code = os.waitstatus_to_exitcode(status)
            cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            raise BoxshipError(f"the container's init ended before the program started: {cause}")
        document = fastjson.loads(data)
        if document.get("exec"):
            raise ExecFailed(document["message"], exit_code=document["code"], hint=document.get("hint"))
        raise BoxshipError(document["message"], hint=document.get("hint"))


def receive(channel: "_socket.socket") -> "tuple[bytes, list[int]]":
    """One message and the descriptors that came with it. Raises OSError (EMFILE) when they can't all be taken."""
    data, ancillary, flags, _ = channel.recvmsg(_LARGEST, _socket.CMSG_SPACE(4 * _MOST_FDS), _socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.extend(struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4]))
    if flags & _socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return data, fds


def channel_pair() -> "tuple[_socket.socket, _socket.socket]":
    left, right = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    return left, right
