"""What a build tells while it works: numbered steps that start, write, and end. Rendering is the command's business."""

from __future__ import annotations

import time
from _thread import allocate_lock

from boxship.build.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[["Event"], None]


@record
class Event:
    """`kind`: start, log, status, done, cached, error, cancel of a step; source (an excerpt), warning of the build.

    `at`: monotonic seconds. `text`: name, status, error, excerpt or warning.
    """

    kind: str
    step: int
    at: float
    text: str = ""
    data: bytes = b""
    stream: int = 1
    total: int = 0
    """With start: how many steps this build is known to have."""


class Step:
    """One line of progress. Ends exactly once: done, cached, error or cancel."""

    def __init__(self, progress: Progress, number: int) -> None:
        self._progress = progress
        self.number = number
        self.ended = False

    def log(self, stream: int, data: bytes) -> None:
        self._progress.emit("log", self.number, data=data, stream=stream)

    def status(self, text: str) -> None:
        self._progress.emit("status", self.number, text)

    def done(self) -> None:
        self._end("done")

    def cached(self) -> None:
        self._end("cached")

    def error(self, message: str) -> None:
        self._end("error", message)

    def cancel(self) -> None:
        self._end("cancel")

    def _end(self, kind: str, text: str = "") -> None:
        if not self.ended:
            self.ended = True
            self._progress.emit(kind, self.number, text)

    def __enter__(self) -> Step:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.done()
        elif isinstance(error, Exception):
            self.error(str(error))
        else:
            self.cancel()


class Progress:
    """Numbers the steps and hands events to the sink, one at a time whatever thread they come from."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = allocate_lock()
        self._count = 0
        self.total = 0

    def start(self, name: str) -> Step:
        with self._lock:
            self._count += 1
            step = Step(self, self._count)
            self._sink(Event("start", step.number, time.monotonic(), name, total=max(self.total, self._count)))
        return step

    @property
    def count(self) -> int:
        """How many steps have begun."""
        return self._count

    def emit(self, kind: str, number: int, text: str = "", data: bytes = b"", stream: int = 1) -> None:
        with self._lock:
            self._sink(Event(kind, number, time.monotonic(), text, data, stream))
