"""Progress documents as Docker's API sends them: {"status", "id", "progressDetail": {"current", "total"}}."""

import threading
import time
from collections.abc import Callable
from typing import Any

Sink = Callable[[dict[str, Any]], None]
_EVERY = 0.1  # seconds between two documents of one layer


class Reporter:
    """Hands documents to `sink`, one at a time, whichever thread they come from; None: nobody listens."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def say(self, status: str, id: str = "") -> None:  # noqa: A002 - the document's word
        document: dict[str, Any] = {"status": status}
        if id:
            document |= {"id": id, "progressDetail": {}}
        self._send(document)

    def at(self, status: str, id: str, current: int, total: int) -> None:  # noqa: A002
        """Bytes done; dropped when the last document of the same layer is younger than a tenth of a second."""
        now = time.monotonic()
        if self._sink is None or now - self._last.get(id, 0.0) < _EVERY:
            return
        self._last[id] = now
        self._send({"status": status, "progressDetail": {"current": current, "total": total}, "id": id})

    def aux(self, value: dict[str, Any]) -> None:
        self._send({"progressDetail": {}, "aux": value})

    def _send(self, document: dict[str, Any]) -> None:
        if self._sink is not None:
            with self._lock:
                self._sink(document)
