"""The bytes between a container and whoever is attached: log first, then every client.

Clients hand in the write ends of their own pipes; a container whose client does not read is slowed down, as with Docker, once
a megabyte waits for that client. A client that goes away is dropped and the container runs on.
"""

import os

from boxship.runtime.loop import HANGUP, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from boxship.runtime.loop import Loop

    class Log(Protocol):
        """Where output is kept: 1 is stdout, 2 stderr."""

        def write(self, stream: int, data: bytes) -> None: ...
        def close(self) -> None: ...


CHUNK = 1 << 16
_PAUSE_AT = 1 << 20


class Sink:
    """One descriptor to write to without ever blocking."""

    __slots__ = ("closing", "fd", "loop", "owner", "pending")

    def __init__(self, loop: "Loop", fd: int, owner: "Streams") -> None:
        os.set_blocking(fd, False)
        self.loop = loop
        self.fd = fd
        self.owner = owner
        self.pending = bytearray()
        self.closing = False

    def write(self, data: bytes) -> None:
        if self.fd < 0:
            return
        if not self.pending:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        if data:
            self.pending += data
            self.loop.watch(self.fd, WRITE, self._writable)

    def _writable(self, events: int) -> None:
        try:
            del self.pending[: os.write(self.fd, self.pending[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.pending.clear()
            self.closing = True
        if not self.pending:
            self.loop.forget(self.fd)
            if self.closing:
                self.close()
        self.owner.resume()

    def finish(self) -> None:
        """Close once everything is written."""
        self.closing = True
        if not self.pending:
            self.close()

    def close(self) -> None:
        if self.fd >= 0:
            self.loop.forget(self.fd)
            os.close(self.fd)
            self.fd = -1
            self.pending.clear()


class Attachment:
    """A client's streams: sinks for stdout and stderr (None: not wanted), and its stdin (-1: none)."""

    __slots__ = ("sinks", "stdin")

    def __init__(self, sinks: "dict[int, Sink]", stdin: int) -> None:
        self.sinks = sinks
        self.stdin = stdin

    def waiting(self) -> bool:
        return any(sink.pending for sink in self.sinks.values())


class Streams:
    """A running container's ends: `outputs` {1: fd, 2: fd} to read, `stdin` to write or -1; with a terminal, all one."""

    def __init__(self, loop: "Loop", log: "Log | None") -> None:
        self.loop = loop
        self.log = log
        self.outputs: dict[int, int] = {}
        self.paused: set[int] = set()
        self.attachments: list[Attachment] = []
        self.stdin: Sink | None = None
        self.stdin_once = False
        self.terminal = -1

    def open_pipes(self, outputs: "dict[int, int]", stdin: int, stdin_once: bool) -> None:
        self.stdin_once = stdin_once
        for stream, fd in outputs.items():
            self._add_output(stream, fd)
        if stdin >= 0:
            self.stdin = Sink(self.loop, stdin, self)
        self._watch_inputs()

    def open_terminal(self, master: int, accepts_input: bool) -> None:
        self.terminal = master
        self._add_output(1, master)
        if accepts_input:
            self.stdin = Sink(self.loop, os.dup(master), self)
        self._watch_inputs()

    def _add_output(self, stream: int, fd: int) -> None:
        os.set_blocking(fd, False)
        self.outputs[stream] = fd
        self.loop.watch(fd, READ, lambda events: self._readable(stream))

    def _readable(self, stream: int) -> None:
        if not self._pump(stream):
            self._end_output(stream)

    def _pump(self, stream: int) -> bool:
        """One read; False at the end of the stream."""
        fd = self.outputs[stream]
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False  # EIO: the last slave of the terminal is closed
        if not data:
            return False
        if self.log is not None:
            self.log.write(stream, data)
        for attachment in self.attachments:
            sink = attachment.sinks.get(stream)
            if sink is not None:
                sink.write(data)
                if len(sink.pending) > _PAUSE_AT:
                    self._pause(stream)
        return True

    def _pause(self, stream: int) -> None:
        self.paused.add(stream)
        self.loop.forget(self.outputs[stream])

    def resume(self) -> None:
        """Read on where nobody holds more than a megabyte back any more."""
        for stream in list(self.paused):
            if all(len(a.sinks[stream].pending) <= _PAUSE_AT for a in self.attachments if stream in a.sinks):
                self.paused.discard(stream)
                if stream in self.outputs:
                    self.loop.watch(self.outputs[stream], READ, lambda events, which=stream: self._readable(which))  # type: ignore[misc]
        self._watch_inputs()

    def _end_output(self, stream: int) -> None:
        fd = self.outputs.pop(stream)
        self.loop.forget(fd)
        if fd == self.terminal:
            return  # closed with the rest: it may still be resized
        os.close(fd)

    def drain(self) -> None:
        """After the container's end: everything that is still in the pipes."""
        for stream in list(self.outputs):
            fd = self.outputs[stream]
            while True:
                try:
                    data = os.read(fd, CHUNK)
                except OSError:
                    break
                if not data:
                    break
                if self.log is not None:
                    self.log.write(stream, data)
                for attachment in self.attachments:
                    if stream in attachment.sinks:
                        attachment.sinks[stream].write(data)
            self._end_output(stream)
        self.paused.clear()

    def close(self) -> None:
        """Between two lives of the container: its ends go, the clients stay."""
        for stream in list(self.outputs):
            self._end_output(stream)
        if self.stdin is not None:
            self.stdin.close()
            self.stdin = None
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        for attachment in self.attachments:
            if attachment.stdin >= 0:
                self.loop.forget(attachment.stdin)

    # -- clients -------------------------------------------------------------------------------------------------------------
    def attach(self, stdin: int, stdout: int, stderr: int) -> Attachment:
        """The descriptors are taken over; -1 for a stream that the client does not want."""
        sinks = {stream: Sink(self.loop, fd, self) for stream, fd in ((1, stdout), (2, stderr)) if fd >= 0}
        attachment = Attachment(sinks, stdin)
        self.attachments.append(attachment)
        self._watch_inputs()
        return attachment

    def detach(self, attachment: Attachment) -> None:
        if attachment not in self.attachments:
            return
        self.attachments.remove(attachment)
        self._end_input(attachment)
        for sink in attachment.sinks.values():
            sink.close()
        self.resume()

    def _watch_inputs(self) -> None:
        full = self.stdin is None or len(self.stdin.pending) > _PAUSE_AT
        for attachment in self.attachments:
            if attachment.stdin < 0:
                continue
            if full:
                self.loop.forget(attachment.stdin)
            else:
                self.loop.watch(attachment.stdin, READ, lambda events, which=attachment: self._input(which))  # type: ignore[misc]

    def _input(self, attachment: Attachment) -> None:
        try:
            data = os.read(attachment.stdin, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_input(attachment)
            return
        if self.stdin is not None:
            self.stdin.write(data)
            if len(self.stdin.pending) > _PAUSE_AT:
                self.loop.forget(attachment.stdin)

    def _end_input(self, attachment: Attachment) -> None:
        if attachment.stdin < 0:
            return
        self.loop.forget(attachment.stdin)
        os.close(attachment.stdin)
        attachment.stdin = -1
        if self.stdin_once and self.terminal < 0 and self.stdin is not None:
            self.stdin.finish()
            self.stdin = None

    def waiting(self) -> bool:
        """Does a client still have to take bytes?"""
        return any(attachment.waiting() for attachment in self.attachments)


__all__ = ["HANGUP", "Attachment", "Sink", "Streams"]
