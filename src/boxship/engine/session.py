"""The client's half of a container's streams: pipes, and what the shim is told. Hot path; the terminal is the CLI's."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.engine.client import Connection


class Session:
    """`connection` to the shim (or exec helper); `stdin` to write to, `stdout` and `stderr` to read from, -1 for none.

    `master`: an exec's terminal, then all three go through it.
    """

    __slots__ = ("connection", "master", "stderr", "stdin", "stdout")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.stdin = -1
        self.stdout = -1
        self.stderr = -1
        self.master = -1

    def resize(self, rows: int, columns: int) -> None:
        if self.master >= 0:
            import fcntl
            import struct
            import termios

            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        elif self.connection is not None:
            self.connection.send({"op": "resize", "rows": rows, "cols": columns})

    def signal(self, number: int) -> None:
        if self.connection is not None:
            self.connection.send({"op": "signal", "signal": number})


class Pipes:
    """Pipes for a request: `names` and `theirs` go to the shim, ours stay in the session."""

    __slots__ = ("names", "session", "theirs")

    def __init__(self, stdin: bool, stdout: bool, stderr: bool) -> None:
        self.session = Session()
        self.names: list[str] = []
        self.theirs: list[int] = []
        if stdin:
            self._give("stdin", *reversed(os.pipe2(os.O_CLOEXEC)))
        if stdout:
            self._give("stdout", *os.pipe2(os.O_CLOEXEC))
        if stderr:
            self._give("stderr", *os.pipe2(os.O_CLOEXEC))

    def _give(self, name: str, ours: int, theirs: int) -> None:
        setattr(self.session, name, ours)
        self.names.append(name)
        self.theirs.append(theirs)

    def sent(self) -> None:
        """The other side has its ends; ours would keep the pipes from ending."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs = []
