"""A build's progress on the screen: BuildKit's plain lines, its live tree on a terminal, or nothing.

All of it goes to standard error; what a program wrote is shown without the control characters that move a cursor.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock

from boxship.errors import BoxshipError, BuildFailed, DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from boxship.build.progress import Event

    class Display(Protocol):
        def event(self, event: Event) -> None: ...

        def __enter__(self) -> Display: ...

        def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...


_KEPT = 20
"""Last lines of a failed step that are shown again at the end."""
_SHOWN = 6
"""Last lines of a running step on a terminal."""
_TICK = 0.1


def choose(mode: str) -> Display:
    """`mode`: auto, plain or tty. Raises nothing: tty without a terminal is plain, as in Docker's client."""
    if mode != "plain" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Tty()
    return Plain()


def in_words(error: BoxshipError) -> BuildFailed:
    """What stands behind "ERROR: " at the end."""
    solving = isinstance(error, (BuildFailed, DockerfileError))
    text = f"failed to build: failed to solve: {error.message}" if solving else f"failed to build: {error.message}"
    return BuildFailed(text, hint=error.hint)


def _write(text: str) -> None:
    sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()


class _Step:
    """What is known of one step."""

    def __init__(self, number: int, name: str, at: float) -> None:
        self.number = number
        self.name = name
        self.began = at
        self.ended = 0.0
        self.kind = ""
        self.error = ""
        self.statuses: list[str] = []
        self.lines: list[str] = []
        self._partial = {1: b"", 2: b""}

    def feed(self, stream: int, data: bytes, at: float) -> list[str]:
        """Whole lines that came, with the seconds since the step began."""
        *whole, self._partial[stream] = (self._partial[stream] + data).split(b"\n")
        return self._keep(whole, at)

    def rest(self, at: float) -> list[str]:
        """What came without a line end."""
        last = [data for data in self._partial.values() if data]
        self._partial = {1: b"", 2: b""}
        return self._keep(last, at)

    def _keep(self, rows: list[bytes], at: float) -> list[str]:
        lines = [f"{max(at - self.began, 0.0):.3f} {_plain(row)}" for row in rows]
        self.lines = (self.lines + lines)[-_KEPT:]
        return lines

    def end(self, event: Event) -> None:
        self.kind, self.ended = event.kind, event.at
        if event.kind == "error":
            self.error = event.text

    def seconds(self, now: float) -> float:
        return max((self.ended or now) - self.began, 0.0)


def _plain(row: bytes) -> str:
    """The line as a terminal would have left it: behind the last carriage return, without escape sequences."""
    text = row.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
    out: list[str] = []
    escape = False
    for char in text:
        if escape:
            # ESC [ parameters final, or ESC and one character (ECMA-48, 5.4)
            escape = not ("@" <= char <= "~" and char != "[")
        elif char == "\x1b":
            escape = True
        elif char == "\t" or char.isprintable():
            out.append(char)
    return "".join(out)


class _Base:
    def __init__(self) -> None:
        self.steps: dict[int, _Step] = {}
        self.total = 0
        self.excerpt = ""
        self.warnings: list[str] = []
        self._lock = allocate_lock()

    def event(self, event: Event) -> None:
        with self._lock:
            if event.kind == "source":
                self.excerpt = event.text
            elif event.kind == "warning":
                self.warnings.append(event.text)
            elif event.kind == "start":
                self.steps[event.step] = _Step(event.step, event.text, event.at)
                self.total = max(self.total, event.total)
                self.started(self.steps[event.step])
            else:
                self._of_step(self.steps[event.step], event)

    def _of_step(self, step: _Step, event: Event) -> None:
        if event.kind == "log":
            self.wrote(step, step.feed(event.stream, event.data, event.at))
        elif event.kind == "status":
            step.statuses.append(event.text)
            self.said(step, event.text)
        else:
            self.wrote(step, step.rest(event.at))
            step.end(event)
            self.finished(step)

    def started(self, step: _Step) -> None: ...

    def wrote(self, step: _Step, lines: list[str]) -> None: ...

    def said(self, step: _Step, text: str) -> None: ...

    def finished(self, step: _Step) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> _Base:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, Exception):
            _write(self.failure())
        for warning in self.warnings:
            _write(f"{warning}\n")

    def failure(self) -> str:
        """The failed step's last output and the lines of the Dockerfile that it came from."""
        out = []
        for step in self.steps.values():
            if step.kind == "error" and not step.name.startswith("[internal]"):
                log = "".join(f"{line}\n" for line in step.lines)
                out.append(f"------\n > {step.name}:\n{log}------\n")
        return "".join(out) + self.excerpt


class Quiet(_Base):
    """Nothing while it goes well."""

    def failure(self) -> str:
        return super().failure() if any(step.kind == "error" for step in self.steps.values()) else self.excerpt


class Plain(_Base):
    """One line for everything that happens, in blocks by step."""

    def __init__(self) -> None:
        super().__init__()
        self._current: _Step | None = None
        self._silent = True

    def _switch(self, step: _Step) -> str:
        if self._current is step:
            return ""
        text = "" if self._silent else "\n"
        if self._current is not None and not self._current.kind:
            text = f"#{self._current.number} ...\n\n"
        self._current, self._silent = step, False
        return f"{text}#{step.number} {step.name}\n"

    def started(self, step: _Step) -> None:
        _write(self._switch(step))

    def wrote(self, step: _Step, lines: list[str]) -> None:
        if lines:
            _write(self._switch(step) + "".join(f"#{step.number} {line}\n" for line in lines))

    def said(self, step: _Step, text: str) -> None:
        _write(f"{self._switch(step)}#{step.number} {text}\n")

    def finished(self, step: _Step) -> None:
        words = {
            "done": f"DONE {step.seconds(step.ended):.1f}s",
            "cached": "CACHED",
            "error": f"ERROR: {step.error}",
            "cancel": "CANCELED",
        }
        _write(f"{self._switch(step)}#{step.number} {words[step.kind]}\n")


class Tty(_Base):
    """The tree of steps, drawn again ten times a second while something runs."""

    def __init__(self) -> None:
        import threading

        super().__init__()
        self._began = time.monotonic()
        self._drawn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> Tty:
        self._thread.start()
        return self

    def _tick(self) -> None:
        while not self._stop.wait(_TICK):
            with self._lock:
                self._draw(final=False)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._draw(final=True)

    def _draw(self, *, final: bool) -> None:
        width, height = _size()
        lines = self._lines(width, final)
        if not final:
            lines = lines[:1] + lines[1:][-(height - 2) :] if len(lines) >= height else lines
        # up over what was drawn, then every line cleared to its end: no flicker
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"\r{line}\x1b[K\n" for line in lines)
        _write(f"\x1b[?25l{up}{body}\x1b[J\x1b[?25h")
        self._drawn = len(lines)

    def _lines(self, width: int, final: bool) -> list[str]:
        now = time.monotonic()
        ended = sum(bool(step.kind) for step in self.steps.values())
        failed = any(step.kind == "error" for step in self.steps.values())
        word = ("" if failed else " FINISHED") if final else ""
        head = f"[+] Building {now - self._began:.1f}s ({ended}/{max(self.total, len(self.steps))}){word}"
        lines = [f"\x1b[34m{head}\x1b[0m" if final and not failed else head]
        for step in self.steps.values():
            lines += self._step(step, now, width, final)
        return lines

    @staticmethod
    def _step(step: _Step, now: float, width: int, final: bool) -> list[str]:
        mark = {"cached": "CACHED ", "error": "ERROR ", "cancel": "CANCELED "}.get(step.kind, "")
        colour = {"error": "\x1b[31m", "cancel": "\x1b[33m"}.get(step.kind, "\x1b[34m" if step.kind else "")
        lines = [_row(f" => {mark}{step.name}", step.seconds(now), width, colour)]
        if step.name.startswith("exporting") or (not step.kind and step.statuses):
            lines += [_row(f" => => {text}", 0.0, width, colour) for text in step.statuses[-_SHOWN:]]
        if not step.kind and not final:
            texts = [f" => => # {line.partition(' ')[2]}"[: width - 1] for line in step.lines[-_SHOWN:]]
            lines += [f"\x1b[2m{text}\x1b[0m" for text in texts]
        return lines


def _row(text: str, seconds: float, width: int, colour: str) -> str:
    time_text = f"{seconds:.1f}s"
    room = max(width - len(time_text) - 2, 10)
    text = text.replace("\n", " ")
    shown = text if len(text) <= room else text[: room - 3] + "..."
    return f"{colour}{shown:<{room}} {time_text}{chr(27) + '[0m' if colour else ''}"


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(2)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24
