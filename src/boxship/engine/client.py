"""Talking to the fork server and to shims: JSON documents with descriptors on SOCK_SEQPACKET. Hot path, no ctypes.

The fork server's socket is made by whoever starts it and handed over, listening already: the first request waits in the backlog and
there is nothing to poll for.
"""

import _socket
import fcntl
import os
import struct
import sys

from boxship import errors, fastjson
from boxship.errors import BoxshipError, NotFound, Unavailable
from boxship.runtime import active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.config import Paths

_ATTEMPTS = 5
_LARGEST = 100_000


class Connection:
    __slots__ = ("socket",)

    def __init__(self, socket: "_socket.socket") -> None:
        self.socket = socket

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(
        self, document: "dict[str, Any]", fds: "list[int] | tuple[int, ...]" = (), body: "dict[str, Any] | None" = None
    ) -> None:
        data = fastjson.dumps(document).encode()
        if body is not None:
            data += b"\n" + fastjson.dumps(body).encode()
        spilled = -1
        if len(data) > _LARGEST:
            # more than one packet takes: by way of a memfd, the last descriptor
            spilled = os.memfd_create("boxship-request")
            _write_all(spilled, data)
            data, fds = b'{"op":"spilled"}', [*fds, spilled]
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        self.socket.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)
        if spilled >= 0:
            os.close(spilled)

    def receive(self) -> "tuple[dict[str, Any] | None, list[int]]":
        """The next document and its descriptors; (None, []) when the other side is gone."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 18, _socket.CMSG_SPACE(16), _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return None, []
        fds: list[int] = []
        for _, kind, payload in ancillary:
            if kind == _socket.SCM_RIGHTS:
                fds.extend(struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4]))
        return (fastjson.loads(data), fds) if data else (None, fds)

    def expect(self, *keys: str) -> "dict[str, Any]":
        """Documents until one has one of the keys. Raises what an error document says, Unavailable when the other side ends."""
        while True:
            document, _ = self.receive()
            if document is None:
                raise Unavailable("the container's shim ended unexpectedly", hint="see fork.log in the run directory")
            if "error" in document:
                raise rebuilt(document)
            if any(key in document for key in keys):
                return document

    def close(self) -> None:
        self.socket.close()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def rebuilt(document: "dict[str, Any]") -> BoxshipError:
    """The error that an error document describes."""
    kind = getattr(errors, document.get("kind") or "BoxshipError", BoxshipError)
    if kind is errors.ExecFailed or kind is errors.BuildFailed:
        return kind(document["error"], exit_code=document.get("code", 126), hint=document.get("hint"))
    if kind is errors.KernelError:
        kind = BoxshipError
    return kind(document["error"], hint=document.get("hint"))


def _open(path: str) -> "_socket.socket":
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        socket.connect(path)
    except OSError:
        socket.close()
        raise
    return socket


def shim(paths: "Paths", container_id: str) -> "Connection | None":
    """A connection to the shim of a container; None when it has none."""
    try:
        return Connection(_open(f"{paths.active}/{container_id}/sock"))
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def connect(paths: "Paths") -> Connection:
    """A connection to the fork server for a later `request`: it has something to do for us from now on."""
    return _fork_server(paths)


def request(
    paths: "Paths",
    document: "dict[str, Any]",
    fds: "list[int] | tuple[int, ...]" = (),
    early: "Connection | None" = None,
    body: "dict[str, Any] | None" = None,
) -> Connection:
    """Hand a request to the fork server, starting one where none runs; returns once a forked child has taken it.

    `document` is read by that child, `body` by the helpers that it forks.
    """
    for _ in range(_ATTEMPTS):
        connection = early or _fork_server(paths)
        early = None
        try:
            connection.send(document, fds, body)
            reply, _ = connection.receive()
        except (BrokenPipeError, ConnectionResetError):
            reply = None
        if reply is not None and "accepted" in reply:
            return connection
        connection.close()
        if reply is not None and "error" in reply:
            raise rebuilt(reply)
    raise Unavailable("the fork server does not answer", hint=f"see {paths.run}/fork.log")


def _fork_server(paths: "Paths") -> Connection:
    for _ in range(_ATTEMPTS):
        try:
            return Connection(_open(paths.fork_socket))
        except FileNotFoundError:
            active.make_run_directory(paths)
        except ConnectionRefusedError:
            pass  # its last process was killed: the socket is a leftover
        _start(paths)
    raise NotFound(f"can't start the fork server: {paths.fork_socket}", hint=f"see {paths.run}/fork.log")


def _start(paths: "Paths") -> None:
    """Start a fork server unless somebody else has just done so."""
    guard = os.open(f"{paths.run}/fork.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            _open(paths.fork_socket).close()
            return
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        try:
            os.unlink(paths.fork_socket)
        except FileNotFoundError:
            pass
        _spawn(paths)
    finally:
        os.close(guard)


def _spawn(paths: "Paths") -> None:
    from boxship.linux.memfd import sealed_copy

    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    listener.bind(paths.fork_socket)
    os.chmod(paths.fork_socket, 0o600)
    listener.listen(128)
    # /proc/self/exe of everything forked from there leads to this copy: no container can write to the interpreter (CVE-2019-5736)
    interpreter = sealed_copy(os.path.realpath(sys.executable), "boxship")
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = f"import sys; sys.path.insert(0, {source!r}); from boxship.engine.forkserver import main; main()"
    # argv[0] tells the interpreter where its library is; the memfd's path could not
    argv = [sys.executable, "-I", "-S", "-c", program, paths.root, paths.run, str(interpreter)]
    log = os.open(f"{paths.run}/fork.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions = [
        (os.POSIX_SPAWN_DUP2, null, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
        (os.POSIX_SPAWN_DUP2, listener.fileno(), 3),
    ]
    if interpreter == 3:
        interpreter = fcntl.fcntl(interpreter, fcntl.F_DUPFD, 10)
        argv[-1] = str(interpreter)
    try:
        os.posix_spawn(f"/proc/self/fd/{interpreter}", argv, _environment(), file_actions=actions, setsigmask=())
    finally:
        for fd in (interpreter, log, null):
            os.close(fd)
        listener.close()


def _environment() -> "dict[str, str]":
    kept = {name: os.environ[name] for name in ("BOXSHIP_CONFIG", "TZ") if name in os.environ}
    library = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(sys.executable))), "lib")
    # an interpreter that finds libpython by $ORIGIN can't do so from a memfd
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "LD_LIBRARY_PATH": library, **kept}
