"""The texts by which steps are known: on progress lines and in an image's history. Pure."""

from __future__ import annotations

from boxship.build.dockerfile import commands, words
from boxship.errors import BoxshipError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def shown(command: commands.Command, env: Mapping[str, str], escape: str) -> str:
    """The line as it stands in the Dockerfile, variables put in, the keyword in capitals."""
    text = command.source
    try:
        text = words.expand(text, env, escape=escape)
    except BoxshipError:
        pass  # only a label: quotes that do not close inside a shell word are no error here
    return _capital(text)


def run(command: commands.Run, env: Mapping[str, str], escape: str, summary: str) -> str:
    """As shown(), but quotes stay and unknown variables too: they are the shell's."""
    text = command.source + (f" ({summary})" if summary else "")
    try:
        text = words.process(text, env, words.Rules(escape, raw_quotes=True, keep_unset=True)).text
    except BoxshipError:
        pass
    return _capital(text)


def _capital(text: str) -> str:
    keyword, blank, rest = text.partition(" ")
    return keyword.upper() + blank + rest


def quoted(items: Sequence[str]) -> str:
    """A list as Go's %q prints it: ["a" "b"]."""
    return "[" + " ".join(_quote(item) for item in items) + "]"


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def _quote(text: str) -> str:
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


def healthcheck(command: commands.Healthcheck) -> str:
    """A Healthcheck as Go's %q prints it: a number is shown as the character it would be."""
    times = (command.interval, command.timeout, command.start_period, command.start_interval)
    number = _quote(chr(command.retries) if command.retries < 0x110000 else "\ufffd")[1:-1].replace('\\"', '"').replace("'", "\\'")
    return "&{" + " ".join([quoted(command.test), *(f'"{duration(time)}"' for time in times), f"'{number}'"]) + "}"


def duration(nanoseconds: int) -> str:
    """A Go duration: 1m30s, 1.5s, 250ms, 0s."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 1_000_000_000:
        for size, unit in ((1_000_000, "ms"), (1_000, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return f"{_decimal(nanoseconds, size)}{unit}"
    seconds = nanoseconds % 60_000_000_000
    minutes = nanoseconds // 60_000_000_000
    text = f"{_decimal(seconds, 1_000_000_000)}s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    fraction = f"{part:0{len(str(unit)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
