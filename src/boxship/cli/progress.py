"""Progress documents of pull, push and load ({"id", "status", "progressDetail"}) on the screen, as Docker shows them.

On a terminal each id has a line of its own that is written over; elsewhere each change of status is a line, and how far
a layer has come is not said.
"""

import sys

from boxship.cli.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    Progress = Callable[[dict[str, Any]], None]

_BAR = 50


def reporter(stream: "TextIO | int" = 1) -> "Progress":
    """A callable that shows progress documents on `stream` (1 and 2 are standard output and error).

    One thread at a time.
    """
    if isinstance(stream, int):
        stream = sys.stderr if stream == 2 else sys.stdout
    return _Lines(stream).show if stream.isatty() else _Plain(stream).show


class _Plain:
    __slots__ = ("shown", "stream")

    def __init__(self, stream: "TextIO") -> None:
        self.stream = stream
        self.shown: dict[str, str] = {}

    def show(self, document: "dict[str, Any]") -> None:
        if document.get("progressDetail"):
            return
        ident, status = document.get("id") or "", document.get("status") or ""
        if ident and self.shown.get(ident) == status:
            return
        self.shown[ident] = status
        if status:
            self.stream.write(f"{ident}: {status}\n" if ident else f"{status}\n")
            self.stream.flush()


class _Lines:
    """`order` has the line of each id, counted from the first one."""

    __slots__ = ("order", "stream", "width")

    def __init__(self, stream: "TextIO") -> None:
        import os

        self.stream = stream
        self.order: dict[str, int] = {}
        try:
            self.width = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            self.width = 80

    def show(self, document: "dict[str, Any]") -> None:
        ident, status = document.get("id") or "", document.get("status") or ""
        if not status:
            return
        detail = bar(document.get("progressDetail") or {}, self.width)
        text = " ".join(part for part in (f"{ident}: {status}" if ident else status, detail) if part)
        if not ident:
            # lines of before stay where they are: what comes now is below them
            self.order.clear()
            self.stream.write(f"{text}\n")
        elif ident in self.order:
            up = len(self.order) - self.order[ident]
            # cursor up, clear the line, write, and back below the last one
            self.stream.write(f"\x1b[{up}A\x1b[2K\r{text[: self.width]}\r\x1b[{up}B")
        else:
            self.order[ident] = len(self.order)
            self.stream.write(f"{text[: self.width]}\n")
        self.stream.flush()


def bar(detail: "dict[str, Any]", width: int) -> str:
    """ "[====>   ]  1.2MB/3.4MB", without the bar on narrow terminals; "" when nothing is known."""
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if not current and not total:
        return ""
    if not total or current > total:
        return f"{format_size(current):>8}"
    numbers = f"{format_size(current):>8}/{format_size(total)}"
    if width <= 110:
        return numbers
    done = current * _BAR // total
    head = "=" * done + (">" if done < _BAR else "")
    return f"[{head:<{_BAR}}] {numbers}"
