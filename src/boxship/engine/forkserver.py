"""One small warm process per store that forks: shims, exec helpers and build steps start in a millisecond, and share their memory.

Single-threaded on purpose: setns(2) and unshare(2) of a user or mount namespace want that. It holds no truth and no connection to
the database; when it is killed nothing is lost and the next command starts another. It ends by itself after a while without
work, or when the code it was loaded from has changed (an upgrade).
"""

import _signal  # type: ignore[import-not-found]  # signal without its enums
import _socket
import fcntl
import gc
import os
import select
import struct
import sys

from boxship import fastjson
from boxship.config import Paths
from boxship.engine import rehearsal, supervise
from boxship.linux import prctl
from boxship.runtime import cgroups
from boxship.runtime.launch import receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

IDLE_SECONDS = 120
_LISTENER = 3


def main() -> "NoReturn":
    root, run, interpreter = sys.argv[1:4]
    os.close(int(interpreter))
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    # nobody else looks into this process or its forks: not at their memory, not at their descriptors
    prctl.prctl(prctl.PR_SET_DUMPABLE, 0)
    prctl.set_name("boxship-fork")
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
    listener = _socket.socket(fileno=_LISTENER)
    os.set_inheritable(_LISTENER, False)
    supervise.warm_up()
    cgroups.driver()
    rehearsal.rehearse(Paths(root, run))
    stamps = _stamps()
    gc.collect()
    gc.freeze()
    gc.disable()
    _Server(listener, Paths(root, run), stamps).serve()
    os._exit(0)


class _Server:
    """Clients connect early, while they still prepare their request: `waiting` are those that have not sent it yet."""

    def __init__(self, listener: "_socket.socket", paths: Paths, stamps: "dict[str, int]") -> None:
        self.listener = listener
        self.paths = paths
        self.stamps = stamps
        self.waiting: dict[int, _socket.socket] = {}
        self.poll = select.poll()
        self.poll.register(listener.fileno(), select.POLLIN)

    def serve(self) -> None:
        while True:
            ready = self.poll.poll(IDLE_SECONDS * 1000)
            if not ready and not self.waiting and _retire(self.listener, self.paths):
                return
            for fd, _ in ready:
                if fd == self.listener.fileno():
                    self._accept()
                elif not self._serve_one(self._taken(fd)):
                    return

    def _accept(self) -> None:
        fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        os.set_inheritable(fd, False)
        connection = _socket.socket(fileno=fd)
        if _peer_uid(connection) != os.geteuid():
            connection.close()
            return
        self.waiting[fd] = connection
        self.poll.register(fd, select.POLLIN)
        # the next container's init will join its cgroups: let the grace period for that begin now
        cgroups.prewarm()

    def _taken(self, fd: int) -> "_socket.socket":
        self.poll.unregister(fd)
        return self.waiting.pop(fd)

    def _serve_one(self, connection: "_socket.socket") -> bool:
        """Fork for one request. False: this server is out of date and has retired."""
        fds: list[int] = []
        try:
            data, fds = receive(connection)
            if not data:
                return True
            if _changed(self.stamps):
                _retire(self.listener, self.paths, force=True)
                connection.send(b'{"retry":1}')
                return False
            if os.fork() == 0:
                self.listener.close()
                for other in self.waiting.values():
                    other.close()
                _child(connection, self.paths, data, fds)
        except OSError as error:
            _complain(connection, error)
        finally:
            connection.close()
            for fd in fds:
                os.close(fd)
        return True


def _complain(connection: "_socket.socket", error: OSError) -> None:
    try:
        connection.send(fastjson.dumps({"error": f"can't fork: {error.strerror}", "kind": "Unavailable"}).encode())
    except OSError:
        return  # the client is gone


def _child(connection: "_socket.socket", paths: Paths, data: bytes, fds: "list[int]") -> "NoReturn":
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    status = 1
    try:
        connection.send(b'{"accepted":1}')
        if data.startswith(b'{"op":"spilled"'):
            spilled = fds.pop()
            data = os.pread(spilled, os.fstat(spilled).st_size, 0)
            os.close(spilled)
        # two documents: the head is for the shim, the body for the helpers that it forks
        first, _, body = data.partition(b"\n")
        head: dict[str, Any] = fastjson.loads(first)
        supervise.OPERATIONS[head["op"]](paths, connection, head, body, fds)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _peer_uid(connection: "_socket.socket") -> int:
    _, uid, _ = struct.unpack("3i", connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
    return int(uid)


def _stamps() -> "dict[str, int]":
    """When each loaded file of ours was last written."""
    stamps = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name.startswith("boxship") and path:
            stamps[path] = os.stat(path).st_mtime_ns
    return stamps


def _changed(stamps: "dict[str, int]") -> bool:
    try:
        return any(os.stat(path).st_mtime_ns != stamp for path, stamp in stamps.items())
    except OSError:
        return True


def _retire(listener: "_socket.socket", paths: Paths, force: bool = False) -> bool:
    """Take the socket's name away, so that the next client starts a new server. False when a client came in meanwhile."""
    guard = os.open(f"{paths.run}/fork.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not force and select.select([listener.fileno()], [], [], 0)[0]:
            return False
        try:
            os.unlink(paths.fork_socket)
        except FileNotFoundError:
            pass
        return True
    finally:
        os.close(guard)
