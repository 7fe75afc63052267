"""poll(2) with a handler for each descriptor: all the concurrency a shim needs."""

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]

READ = select.POLLIN
WRITE = select.POLLOUT
HANGUP = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Loop:
    __slots__ = ("_handlers", "_poll", "_timers")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, events: int, handler: "Handler") -> None:
        """Call `handler(events)` whenever `fd` is ready; again for the same fd replaces the watch."""
        self._poll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def after(self, seconds: float, action: "Callable[[], None]") -> None:
        self._timers.append((time.monotonic() + seconds, action))
        self._timers.sort(key=_when)

    def cancel(self, action: "Callable[[], None]") -> None:
        self._timers = [timer for timer in self._timers if timer[1] != action]

    def step(self, timeout: "float | None" = None) -> None:
        """Wait for the next events or timer (seconds; None: however long), and handle them."""
        if self._timers:
            until = max(0.0, self._timers[0][0] - time.monotonic())
            timeout = until if timeout is None else min(timeout, until)
        for fd, events in self._poll.poll(None if timeout is None else timeout * 1000 + 1):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)
        while self._timers and self._timers[0][0] <= time.monotonic():
            self._timers.pop(0)[1]()


def _when(timer: "tuple[float, Callable[[], None]]") -> float:
    return timer[0]
