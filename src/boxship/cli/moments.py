"""--since and --until: a time (RFC 3339, also cut short), Unix seconds, or a span back from now. Pure but for the clock."""

import time

from boxship.cli.units import parse_duration

_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d")
_WIDTHS = (19, 16, 0, 10)


def parse_moment(text: str) -> float:
    """Seconds since 1970. Raises ValueError."""
    return parse_nanoseconds(text) / 1_000_000_000


def parse_nanoseconds(text: str) -> int:
    """Nanoseconds since 1970. Times without a zone are in the local one."""
    seconds, _, fraction = text.partition(".")
    if seconds.isascii() and seconds.isdigit() and (not fraction or fraction.isdigit()):
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
    if text[:4].isdigit() and text[4:5] == "-":
        return _calendar(text)
    return (int(time.time()) - parse_duration(text) // 1_000_000_000) * 1_000_000_000


def _calendar(text: str) -> int:
    body, zone = _split_zone(text)
    body, dot, fraction = body.partition(".")
    if dot and not fraction.isdigit():
        raise ValueError(f"parsing time {text!r}: no fraction of a second after the point")
    for form, width in zip(_FORMS, _WIDTHS, strict=True):
        if width and len(body) != width:
            continue
        try:
            parts = time.strptime(body, form)
        except ValueError:
            continue
        seconds = int(time.mktime(parts)) if zone is None else _utc(parts) - zone
        return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
    raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z": no such form')


def _utc(parts: time.struct_time) -> int:
    from calendar import timegm

    return timegm(parts)


def _split_zone(text: str) -> "tuple[str, int | None]":
    """(the time, seconds east of Greenwich; None when no zone is given)."""
    if text.endswith("Z"):
        return text[:-1], 0
    sign = text[-6:-5]
    if len(text) > 10 and sign in ("+", "-") and text[-3] == ":" and (text[-5:-3] + text[-2:]).isdigit():
        offset = int(text[-5:-3]) * 3600 + int(text[-2:]) * 60
        return text[:-6], offset if sign == "+" else -offset
    return text, None
