"""A program on a terminal of its own: type to it, wait for words, see how it ends."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Sequence


class Session:
    """`output` is everything that came out so far. Times are seconds."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self.output = ""
        self._code: int | None = None

    def type(self, text: str) -> None:
        """What a person types; "\\x03" is Ctrl-C."""
        os.write(self.fd, text.encode())

    def read(self, wait: float = 0.1) -> bool:
        """Take what is there; False at the end of the output."""
        if not select.select([self.fd], [], [], wait)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed: pty(7) on Linux says EIO
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, words: str, timeout: float = 30) -> None:
        """Read until the words came out."""
        deadline = time.monotonic() + timeout
        while words not in self.output:
            alive = self.read()
            if words in self.output:
                return
            if not alive or time.monotonic() > deadline:
                raise AssertionError(f"{words!r} did not come, but: {self.output[-2000:]!r}")

    def end(self, timeout: float = 30) -> int:
        """Read to the end; the exit code (negative: the signal)."""
        deadline = time.monotonic() + timeout
        while self._code is None:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError(f"it did not end within {timeout} s: {self.output[-2000:]!r}")
        while select.select([self.fd], [], [], 0.05)[0] and self.read(0):
            pass
        return self._code

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextlib.contextmanager
def session(argv: Sequence[str], cwd: str | None = None, env: dict[str, str] | None = None, rows: int = 24, columns: int = 100) -> Iterator[Session]:
    """Start it on a new terminal; when the block ends before the program does, it is killed."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            if cwd:
                os.chdir(cwd)
            os.execvpe(argv[0], list(argv), env if env is not None else dict(os.environ))
        finally:
            os._exit(127)
    running = Session(pid, fd)
    running.resize(rows, columns)
    try:
        yield running
    finally:
        if running._code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        os.close(fd)
