"""Docker's json-file format, rotated by default: {"log":"line\\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}.

A million lines must not cost a million steps of the interpreter: the lines of one read share a time, their text is escaped by one
call, and one str.replace puts the frame between them. Lines longer than 16 KiB are kept in parts, as Docker does.
"""

import os
import time

try:
    from _json import encode_basestring as _quote
except ImportError:  # pragma: no cover
    from json.encoder import py_encode_basestring as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STREAMS = {1: "stdout", 2: "stderr"}
_PART = 16 << 10
MAX_SIZE = 10 << 20
MAX_FILES = 5


class Writer:
    """Appends to `path`; renames it to path.1, .2 ... once it has grown past `max_size` bytes, and keeps `max_files` in all."""

    __slots__ = ("fd", "max_files", "max_size", "partial", "path", "size")

    def __init__(self, path: str, max_size: int = MAX_SIZE, max_files: int = MAX_FILES) -> None:
        self.path = path
        self.max_size = max_size
        self.max_files = max_files
        self.partial = {1: b"", 2: b""}
        self.fd = -1
        self._open()

    def _open(self) -> None:
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self.size = os.fstat(self.fd).st_size

    def write(self, stream: int, data: bytes) -> None:
        data = self.partial[stream] + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        text = frame(data[:end], _STREAMS[stream], _now()) if end else ""
        while len(rest) >= _PART:
            text += frame(rest[:_PART], _STREAMS[stream], _now())
            rest = rest[_PART:]
        self.partial[stream] = rest
        if text:
            self._append(text)

    def _append(self, text: str) -> None:
        data = text.encode()
        try:
            os.write(self.fd, data)
        except OSError:
            return  # a full disk must not stop the container; its clients still get the bytes
        self.size += len(data)
        if 0 < self.max_size <= self.size:
            self._rotate()

    def _rotate(self) -> None:
        os.close(self.fd)
        if self.max_files <= 1:
            os.truncate(self.path, 0)
        else:
            for number in range(self.max_files - 1, 1, -1):
                _rename(f"{self.path}.{number - 1}", f"{self.path}.{number}")
            _rename(self.path, f"{self.path}.1")
        self._open()

    def close(self) -> None:
        """What was printed without a last line end is kept too."""
        for stream, rest in self.partial.items():
            if rest:
                self._append(frame(rest, _STREAMS[stream], _now()))
                self.partial[stream] = b""
        os.close(self.fd)


def _rename(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except FileNotFoundError:
        pass


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


def frame(data: bytes, stream: str, when: str) -> str:
    """The records of whole lines (or of one part of a line), as text that ends with a line end.

    Escaped as Go's encoder does: < > & and U+2028, U+2029 as \\u00xx, invalid UTF-8 as U+FFFD.
    """
    tail = f'","stream":"{stream}","time":"{when}"}}\n'
    quoted = _escape(data)
    if "\\\\" in quoted:
        # an escaped backslash before an n looks like a line end: the slow and exact way
        return "".join('{"log":' + _escape(line)[:-1] + tail for line in _lines(data))
    body = quoted[:-1].replace("\\n", "\\n" + tail + '{"log":"')
    if data.endswith(b"\n"):
        return '{"log":' + body[: -len('{"log":"')]
    return '{"log":' + body + tail


def _lines(data: bytes) -> "list[bytes]":
    return [line + b"\n" for line in data.split(b"\n")[:-1]] if data.endswith(b"\n") else data.split(b"\n")


def _escape(line: bytes) -> str:
    quoted = _quote(line.decode("utf-8", "replace"))
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        quoted = quoted.replace(character, escape)
    return quoted


def make(path: str, options: "dict[str, Any]") -> Writer:
    """`options`: max-size in bytes, max-file."""
    return Writer(path, int(options.get("max-size", MAX_SIZE)), int(options.get("max-file", MAX_FILES)))
