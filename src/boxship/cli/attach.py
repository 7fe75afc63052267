"""The user's terminal on a container's streams: raw mode, resize, detach keys, signals; or plain pipes. On the hot path.

The CLI copies, it does not hand out its own descriptors: a container never holds the user's terminal (TIOCSTI), and
^Z, ^S and a closed pipe act on this process as on any other.
"""

import _signal  # type: ignore[import-not-found]  # signal without its enums
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxship.engine.session import Session

_CHUNK = 1 << 16
DEFAULT_DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q
_FORWARDED = (1, 2, 3, 10, 12, 15, 28)
_SIGWINCH = 28

DETACHED = -1


def terminal_size(fd: int = 1) -> "tuple[int, int] | None":
    """(rows, columns) of the user's terminal; None when there is none."""
    for candidate in (fd, 0, 2):
        try:
            size = os.get_terminal_size(candidate)
        except OSError:
            continue
        return size.lines, size.columns
    return None


class Raw:
    """The terminal on fd 0 in raw mode while the block runs."""

    def __init__(self, wanted: bool) -> None:
        self.saved: Any = None
        self.wanted = wanted and os.isatty(0)

    def __enter__(self) -> "Raw":
        if self.wanted:
            import termios

            self.saved = termios.tcgetattr(0)
            termios.tcsetattr(0, termios.TCSANOW, _raw(self.saved))
        return self

    def __exit__(self, *_: object) -> None:
        if self.saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSANOW, self.saved)


def _raw(attributes: "list[Any]") -> "list[Any]":
    """cfmakeraw(3)."""
    import termios as t

    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    iflag &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    oflag &= ~t.OPOST
    lflag &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    cflag = cflag & ~(t.CSIZE | t.PARENB) | t.CS8
    cc = list(cc)
    cc[t.VMIN], cc[t.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


class Detach:
    """Finds the detach sequence in what is typed, and holds back what may become it."""

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self.matched = 0

    def filter(self, data: bytes) -> "tuple[bytes, bool]":
        """(bytes to send on, was the whole sequence typed?)"""
        if not self.keys:
            return data, False
        out = bytearray()
        for byte in data:
            if byte == self.keys[self.matched]:
                self.matched += 1
                if self.matched == len(self.keys):
                    return bytes(out), True
                continue
            out += self.keys[: self.matched]
            self.matched = 0
            if byte == self.keys[0]:
                self.matched = 1
                if len(self.keys) == 1:
                    return bytes(out), True
            else:
                out.append(byte)
        return bytes(out), False


def parse_detach_keys(text: str) -> bytes:
    """ "ctrl-p,ctrl-q" or "a,b" as the bytes typed. Raises ValueError."""
    keys = bytearray()
    for word in text.split(","):
        if len(word) == 1:
            keys += word.encode()
        elif word.startswith("ctrl-") and len(word) == 6:
            code = ord(word[5].upper()) - 64
            if not 0 <= code < 32:
                raise ValueError(f"invalid detach keys ({text}): unknown character: '{word}'")
            keys.append(code)
        else:
            raise ValueError(f"invalid detach keys ({text}): unknown character: '{word}'")
    return bytes(keys)


class Relay:
    """Copies between fds 0, 1, 2 and a session until the program has ended and its last byte is out."""

    def __init__(self, session: "Session", tty: bool, keys: bytes = DEFAULT_DETACH_KEYS, *, of_exec: bool = False) -> None:
        """`of_exec`: signals act on this process, as with Docker, and the program itself holds our pipes."""
        self.session = session
        self.of_exec = of_exec
        self.tty = tty
        self.detach = Detach(keys if tty else b"")
        self.poll = select.poll()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.exit_code: int | None = None
        self.gone = False
        self.detached = False
        self.pending = b""
        self.takes_input = True

    # -- set-up --------------------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """The program's exit code, or DETACHED."""
        session = self.session
        assert session.connection is not None
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(write)
        for number in (_SIGWINCH,) if self.of_exec else _FORWARDED:
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, _noted)
        self._watch(read, lambda: self._signalled(read))
        self._watch(session.connection.fileno(), self._told)
        if session.master >= 0:
            session.stdout = session.master
            session.stdin = session.master if self.takes_input else -1
        for ours, target in ((session.stdout, 1), (session.stderr, 2)):
            if ours >= 0:
                self._watch(ours, lambda fd=ours, to=target: self._output(fd, to))  # type: ignore[misc]
        if session.stdin >= 0:
            os.set_blocking(session.stdin, False)
            self._watch(0, self._input)
        if self.tty:
            self._resize()
        while not self._finished():
            for fd, _ in self.poll.poll():
                handler = self.handlers.get(fd)
                if handler is not None:
                    handler()
        return DETACHED if self.detached else 125 if self.exit_code is None else self.exit_code

    def _finished(self) -> bool:
        if self.detached:
            return True
        open_outputs = any(fd in self.handlers for fd in (self.session.stdout, self.session.stderr) if fd >= 0)
        return (self.exit_code is not None or self.gone) and not open_outputs

    def _watch(self, fd: int, handler: "Callable[[], None]") -> None:
        try:
            self.poll.register(fd, select.POLLIN)
        except OSError:
            return  # a regular file can't be polled on some kernels; it is read at once
        self.handlers[fd] = handler

    def _forget(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            self.poll.unregister(fd)

    # -- events --------------------------------------------------------------------------------------------------------------
    def _told(self) -> None:
        assert self.session.connection is not None
        document, _ = self.session.connection.receive()
        if document is None:
            self.gone = True
            self._forget(self.session.connection.fileno())
        elif "exit" in document:
            self.exit_code = int(document["exit"])
            if self.of_exec:
                # what it started in the background may hold them open for long
                self._drain(self.session.stdout, 1)
                self._drain(self.session.stderr, 2)

    def _output(self, fd: int, target: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return  # a terminal of exec is one descriptor for both directions
        except OSError:
            data = b""  # EIO: the terminal's other side is closed
        if not data:
            self._forget(fd)
            return
        write_all(target, data)

    def _drain(self, fd: int, target: int) -> None:
        """What is there now, and no more."""
        if fd not in self.handlers:
            return
        os.set_blocking(fd, False)
        while fd in self.handlers:
            try:
                data = os.read(fd, _CHUNK)
            except OSError:
                data = b""
            if not data:
                self._forget(fd)
                return
            write_all(target, data)

    def _input(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._forget(0)
            self._close_stdin()
            return
        data, detach = self.detach.filter(data)
        if data:
            self._send(data)
        if detach:
            self.detached = True

    def _send(self, data: bytes) -> None:
        """To the container; while it does not read, neither do we."""
        try:
            written = os.write(self.session.stdin, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._forget(0)
            self._close_stdin()
            return
        self.pending = data[written:]
        if self.pending:
            self._forget(0)
            self.poll.register(
                self.session.stdin, select.POLLOUT | (select.POLLIN if self.session.stdin == self.session.stdout else 0)
            )
            self.handlers[self.session.stdin] = self._resend

    def _resend(self) -> None:
        self._forget(self.session.stdin)
        if self.session.stdin == self.session.stdout:
            self._watch(self.session.stdout, lambda: self._output(self.session.stdout, 1))
        self._watch(0, self._input)
        self._send(self.pending)

    def _close_stdin(self) -> None:
        if self.session.stdin >= 0 and self.session.stdin != self.session.master:
            self._forget(self.session.stdin)
            os.close(self.session.stdin)
        self.session.stdin = -1

    # -- signals -------------------------------------------------------------------------------------------------------------
    def _signalled(self, fd: int) -> None:
        for number in os.read(fd, 64):
            if number == _SIGWINCH:
                if self.tty:
                    self._resize()
            else:
                self._forward(number)

    def _forward(self, number: int) -> None:
        try:
            self.session.signal(number)
        except OSError:
            self.gone = True

    def _resize(self) -> None:
        size = terminal_size()
        if size and size[0]:
            try:
                self.session.resize(*size)
            except OSError:
                self.gone = True


def _noted(number: int, frame: object) -> None:
    """The wake-up pipe has it."""


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
