"""One small warm process per store that forks: shims, exec helpers and build steps start in a millisecond, and share their memory.

Single-threaded on purpose: setns(2) and unshare(2) of a user or mount namespace want that. It holds no truth and no connection to
the database; when it is killed nothing is lost and the next command starts another. It ends by itself after a while without
work, or when the code it was loaded from has changed (an upgrade).
"""

import _signal  # type: ignore[import-not-found]  # signal without its enums
import _socket
import errno
import fcntl
import gc
import os
import select
import struct
import sys

from boxship import fastjson
from boxship.config import Paths
from boxship.engine import keeper, rehearsal
from boxship.runtime.channel import channel_pair, receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

IDLE_SECONDS = 120
_LISTENER = 3
_ROOM = 8  # descriptors: more than a request brings


def main() -> "NoReturn":
    root, run, interpreter = sys.argv[1:4]
    os.close(int(interpreter))
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    keeper.set_name("boxship-fork")
    # what a shim needs is loaded and rehearsed before all else, so that it lies close together in memory
    rehearsal.rehearse(Paths(root, run))
    _load_the_rest()
    rehearsal.rehearse(Paths(root, run))
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
    listener = _socket.socket(fileno=_LISTENER)
    os.set_inheritable(_LISTENER, False)
    stamps = _stamps()
    gc.collect()
    gc.freeze()
    gc.disable()
    ours, theirs = channel_pair()
    if os.fork() == 0:
        ours.close()
        listener.close()
        _breed(theirs, Paths(root, run))
    theirs.close()
    _Server(listener, Paths(root, run), stamps, ours).serve()
    os._exit(0)


def _breed(channel: "_socket.socket", paths: Paths) -> "NoReturn":
    """The life of the process that forks, and does nothing else.

    A page that it writes to after a fork is split from the shim's, and the old half is then the shim's own: 250 KiB for each
    shim, when the server itself did the forking.
    """
    while True:
        data, fds = receive(channel)
        if not data:
            os._exit(0)
        try:
            if os.fork() == 0:
                channel.close()
                _child(_socket.socket(fileno=fds.pop(0)), paths, data, fds)
        except OSError as error:
            _complain(_socket.socket(fileno=os.dup(fds[0])), error)
        for fd in fds:
            os.close(fd)


def _load_the_rest() -> None:
    from boxship.engine import supervise
    from boxship.linux import prctl
    from boxship.runtime import cgroups

    # nobody else looks into this process or its forks: not at their memory, not at their descriptors
    prctl.prctl(prctl.PR_SET_DUMPABLE, 0)
    supervise.warm_up()
    cgroups.driver()


class _Server:
    """Clients connect early, while they still prepare their request: `waiting` are those that have not sent it yet."""

    def __init__(self, listener: "_socket.socket", paths: Paths, stamps: "dict[str, int]", breeder: "_socket.socket") -> None:
        self.listener = listener
        self.breeder = breeder
        self.warmer = _start_warmer(listener, breeder)
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
                elif fd in self.waiting and not self._serve_one(self._taken(fd)):
                    return

    def _accept(self) -> None:
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            self._make_room()
            return
        os.set_inheritable(fd, False)
        connection = _socket.socket(fileno=fd)
        if _peer_uid(connection) != os.geteuid():
            connection.close()
            return
        self.waiting[fd] = connection
        self.poll.register(fd, select.POLLIN)
        try:
            os.write(self.warmer, b".")
        except OSError:
            pass  # it is only quicker with it

    def _make_room(self) -> None:
        """Too many open files: those who have been silent for longest go. They connect again if they live."""
        for oldest in list(self.waiting)[:_ROOM]:
            self._taken(oldest).close()

    def _taken(self, fd: int) -> "_socket.socket":
        self.poll.unregister(fd)
        return self.waiting.pop(fd)

    def _serve_one(self, connection: "_socket.socket") -> bool:
        """Have one request forked for. False: this server has retired, for it is out of date or crippled."""
        fds: list[int] = []
        try:
            data, fds = receive(connection)
            if not data:
                return True
            if _changed(self.stamps):
                _retire(self.listener, self.paths, force=True)
                _tell(connection, b'{"retry":1}')
                return False
            handed = [connection.fileno(), *fds]
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(handed)}i", *handed))]
            self.breeder.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            # the process that forks was killed: this one is of no use without it
            _retire(self.listener, self.paths, force=True)
            _tell(connection, b'{"retry":1}')
            return False
        except OSError as error:
            if error.errno == errno.EMFILE and self.waiting:
                self._make_room()
                _tell(connection, b'{"retry":1}')
            else:
                _complain(connection, error)
        finally:
            connection.close()
            for fd in fds:
                os.close(fd)
        return True


def _start_warmer(*others: "_socket.socket") -> int:
    """A process that begins the grace period which the next init will wait for when it joins its cgroups, at each byte on the pipe.

    It takes 8 to 16 ms on cgroup v1, so nobody else can do it.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        from boxship.runtime import cgroups

        for other in others:
            other.close()
        os.close(write)
        while os.read(read, 4096):
            cgroups.prewarm()
        os._exit(0)
    os.close(read)
    os.set_blocking(write, False)
    return write


def _complain(connection: "_socket.socket", error: OSError) -> None:
    _tell(connection, fastjson.dumps({"error": f"can't fork: {error.strerror}", "kind": "Unavailable"}).encode())


def _tell(connection: "_socket.socket", data: bytes) -> None:
    try:
        connection.send(data)
    except OSError:
        return  # the client is gone


def _child(connection: "_socket.socket", paths: Paths, data: bytes, fds: "list[int]") -> "NoReturn":
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    status = 1
    try:
        try:
            connection.send(b'{"accepted":1}')
        except OSError:
            os._exit(0)  # the client is gone: nothing has been done for it yet
        if data.startswith(b'{"op":"spilled"'):
            spilled = fds.pop()
            data = os.pread(spilled, os.fstat(spilled).st_size, 0)
            os.close(spilled)
        # two documents: the head is for the shim, the body for the helpers that it forks
        first, _, body = data.partition(b"\n")
        head: dict[str, Any] = fastjson.loads(first)
        from boxship.engine import supervise

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
