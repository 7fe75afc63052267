"""One process per container: waits for init, keeps its streams, answers clients on active/ID/sock.

Messages are JSON documents on a SOCK_SEQPACKET socket, one per packet. From a client:

    {"op": "attach", "streams": ["stdin", "stdout", "stderr"]}   with one descriptor for each name, in this order
    {"op": "resize", "rows": R, "cols": C}
    {"op": "signal", "signal": N}
    {"op": "stop", "signal": N, "timeout": SECONDS or -1, "remove": true|false}
    {"op": "sync"}                                               answered {"synced": 1} once all before it is done

To every connected client: {"started": PID}, {"error": TEXT, ...}, {"exit": CODE}; then the shim closes.
The shim knows nothing of images or the database: `Hooks` is what its owner does at each turn.
"""

import _signal  # type: ignore[import-not-found]  # signal without its enums
import _socket
import os
import time

from boxship import fastjson
from boxship.errors import BoxshipError, KernelError
from boxship.runtime import active
from boxship.runtime.channel import receive
from boxship.runtime.loop import HANGUP, READ, Loop
from boxship.runtime.stdio import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from boxship.runtime.channel import Child
    from boxship.runtime.stdio import Attachment, Log

    class Hooks(Protocol):
        """What the engine does for a shim. `unrecorded`: the end could not be written down, active/ID stays for recovery."""

        unrecorded: bool

        def start(self, streams: Streams) -> Child:
            """Build everything and let the program run. Raises BoxshipError, with nothing left behind."""

        def stopped(self, status: "Exit") -> None:
            """The container ended: write the record. Called before any client is told."""

        def restart_after(self, status: "Exit") -> "float | None":
            """Seconds until it starts again, None for never."""

        def teardown(self, final: bool) -> None:
            """Undo what start did; `final`: and everything else, the container will not start again from here."""


_SIGKILL = 9


class Exit:
    """How a container ended: `code` as the shell says it (128 + signal), `when` in ns, `seconds` it ran, `manual` stop."""

    __slots__ = ("code", "manual", "remove", "seconds", "when")

    def __init__(self, code: int, seconds: float, manual: bool, remove: bool) -> None:
        self.code = code
        self.when = time.time_ns()
        self.seconds = seconds
        self.manual = manual
        self.remove = remove


class Client:
    __slots__ = ("attachment", "connection")

    def __init__(self, connection: "_socket.socket") -> None:
        self.connection = connection
        self.attachment: Attachment | None = None

    def tell(self, document: "dict[str, Any]") -> None:
        try:
            self.connection.send(fastjson.dumps(document).encode(), _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:
            return  # gone, or not reading: its end of file says the rest


class Shim:
    def __init__(self, where: str, hooks: "Hooks", log: "Log | None") -> None:
        self.where = where
        self.hooks = hooks
        self.loop = Loop()
        self.streams = Streams(self.loop, log)
        self.log = log
        self.clients: dict[int, Client] = {}
        self.child: Child | None = None
        self.started = 0.0
        self.manual = False
        self.remove = False
        self.ended = False
        self.wake = False
        self.listener: _socket.socket | None = None

    # -- life ----------------------------------------------------------------------------------------------------------------
    def run(self, first: "_socket.socket", fds: "dict[str, int]") -> None:
        """Until the container has ended for good. `first` is the connection of whoever asked for the start."""
        client = self._admit(first)
        if fds:
            self._attach(client, fds)
        self._listen()
        error = self._start()
        if error is not None:
            self._tell_all(error)
            self._finish()
            return
        while True:
            status = self._wait_for_end()
            self.hooks.stopped(status)
            pause = None if status.manual else self.hooks.restart_after(status)
            if pause is None:
                break
            self.hooks.teardown(final=False)
            self.streams.close()
            if not self._pause(pause):
                break
            error = self._start()
            if error is not None:
                break
        self._tell_exit(status)
        self._finish()

    def _start(self) -> "dict[str, Any] | None":
        try:
            self.child = self.hooks.start(self.streams)
        except BoxshipError as error:
            return error_document(error)
        except OSError as error:
            return {"error": f"{os.strerror(error.errno or 0).lower()}: {error.filename}", "code": 125}
        self.started = time.monotonic()
        self.ended = False
        self.loop.watch(self.child.pidfd, READ, self._end)
        self._tell_all({"started": self.child.pid})
        return None

    def _end(self, events: int) -> None:
        self.ended = True

    def _wait_for_end(self) -> Exit:
        child = self.child
        assert child is not None
        while not self.ended:
            self.loop.step()
        self.loop.forget(child.pidfd)
        os.close(child.pidfd)
        _, wait_status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(wait_status)
        self.loop.cancel(self._kill)
        self.child = None
        self.streams.drain()
        return Exit(code if code >= 0 else 128 - code, time.monotonic() - self.started, self.manual, self.remove)

    def _pause(self, seconds: float) -> bool:
        """Wait to restart, answering clients; False when somebody says stop meanwhile."""
        self.wake = False
        self.loop.after(seconds, self._wake)
        while not self.wake and not self.manual:
            self.loop.step()
        self.loop.cancel(self._wake)
        return not self.manual

    def _wake(self) -> None:
        self.wake = True

    def _finish(self) -> None:
        self.hooks.teardown(final=True)
        if self.log is not None:
            self.log.close()
        deadline = time.monotonic() + 30
        while self.streams.waiting() and time.monotonic() < deadline:
            self.loop.step(1.0)
        self.streams.close()
        if not self.hooks.unrecorded:
            active.remove(self.where)

    # -- clients -------------------------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        listener.bind(f"{self.where}/sock")
        os.chmod(f"{self.where}/sock", 0o600)
        listener.listen(16)
        self.listener = listener
        self.loop.watch(listener.fileno(), READ, self._accept)

    def _accept(self, events: int) -> None:
        assert self.listener is not None
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        self._admit(_socket.socket(fileno=fd))

    def _admit(self, connection: "_socket.socket") -> Client:
        client = Client(connection)
        fd = connection.fileno()
        os.set_inheritable(fd, False)
        self.clients[fd] = client
        self.loop.watch(fd, READ, lambda events: self._message(client, events))
        return client

    def _drop(self, client: Client) -> None:
        fd = client.connection.fileno()
        self.loop.forget(fd)
        self.clients.pop(fd, None)
        if client.attachment is not None:
            self.streams.detach(client.attachment)
        client.connection.close()

    def _message(self, client: Client, events: int) -> None:
        if not events & READ and events & HANGUP:
            self._drop(client)
            return
        try:
            data, fds = receive(client.connection)
        except OSError:
            data, fds = b"", []
        if not data:
            self._drop(client)
            return
        try:
            message = fastjson.loads(data)
            self._do(client, message, fds)
        except (OSError, KernelError) as error:
            client.tell({"error": str(error), "code": 125})
        except Exception as error:
            # whatever a client may send: it must not end the shim, and the container with it
            client.tell({"error": f"not a request: {error}", "code": 125})

    def _do(self, client: Client, message: "dict[str, Any]", fds: "list[int]") -> None:
        operation = message["op"]
        if operation == "attach":
            self._attach(client, dict(zip(message["streams"], fds, strict=False)))
            client.tell({"started": self.child.pid if self.child else 0})
        elif operation == "resize":
            if self.streams.terminal >= 0:
                from boxship.linux import tty

                tty.set_size(self.streams.terminal, int(message["rows"]), int(message["cols"]))
        elif operation == "signal":
            self._signal(int(message["signal"]))
        elif operation == "stop":
            self._stop(int(message["signal"]), float(message["timeout"]), bool(message.get("remove")))
        elif operation == "sync":
            client.tell({"synced": 1})

    def _attach(self, client: Client, fds: "dict[str, int]") -> None:
        client.attachment = self.streams.attach(fds.get("stdin", -1), fds.get("stdout", -1), fds.get("stderr", -1))

    def _signal(self, number: int) -> None:
        if self.child is not None and not self.ended:
            _signal.pidfd_send_signal(self.child.pidfd, number)

    def _stop(self, signal: int, timeout: float, remove: bool) -> None:
        self.manual = True
        self.remove = self.remove or remove
        if self.child is None:
            return
        self._signal(signal)
        if timeout >= 0 and signal != _SIGKILL:
            self.loop.cancel(self._kill)
            self.loop.after(timeout, self._kill)

    def _kill(self) -> None:
        self._signal(_SIGKILL)

    def _tell_all(self, document: "dict[str, Any]") -> None:
        for client in list(self.clients.values()):
            client.tell(document)

    def _tell_exit(self, status: Exit) -> None:
        """A client hears of the end after its last byte is on its way: the pipe's end of file comes with the detach."""
        for client in list(self.clients.values()):
            if client.attachment is not None:
                for sink in client.attachment.sinks.values():
                    sink.finish()
            client.tell({"exit": status.code})


def error_document(error: BoxshipError) -> "dict[str, Any]":
    """An error for the other side of a socket: its class survives by name."""
    document: dict[str, Any] = {
        "error": error.message,
        "kind": type(error).__name__,
        "hint": error.hint,
        "code": getattr(error, "exit_code", 125),
    }
    return document
