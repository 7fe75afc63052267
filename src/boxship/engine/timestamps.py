"""Times as Docker reads and writes them. The upper half is on the hot path (`ps`); the lower half reads --since and --until.

Facts: moby daemon/internal/timestamp, docker/go-units (HumanDuration).
"""

import time

from boxship.errors import InvalidArgument

_SECOND = 1_000_000_000
_DAY, _YEAR = 24, 24 * 365
# below so many hours: in which unit
_HOURS = ((48, 1, "hours"), (14 * _DAY, _DAY, "days"), (60 * _DAY, 7 * _DAY, "weeks"), (2 * _YEAR, 30 * _DAY, "months"))
NEVER = "0001-01-01T00:00:00Z"


def rfc3339(nanoseconds: int, *, fixed: bool = False) -> str:
    """RFC 3339 in UTC; the fraction without trailing zeros, unless `fixed`. 0 is Go's zero time."""
    if not nanoseconds and not fixed:
        return NEVER
    seconds, fraction = divmod(nanoseconds, _SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}"
    return f"{text if fixed else text.rstrip('0').rstrip('.')}Z"


def span(nanoseconds: int) -> str:
    """A length of time in Docker's rough words: "About a minute", "3 weeks"."""
    seconds = nanoseconds // _SECOND
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    if seconds < 3600:
        return "About a minute" if seconds < 120 else f"{seconds // 60} minutes"
    hours = (seconds + 1800) // 3600
    if hours == 1:
        return "About an hour"
    for limit, unit, name in _HOURS:
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{seconds // 3600 // _YEAR} years"


# -- reading -------------------------------------------------------------------------------------------------------------------
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_TIME = r"(\d{4})-(\d\d)-(\d\d)(?:T(\d{1,2})(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?(Z|[+-]\d\d:\d\d)?"
_MOST_DIGITS = 20


def moment(value: "str | float | None", now: "int | None" = None) -> "int | None":
    """Nanoseconds since 1970 of a time (RFC 3339, also cut short, UTC), Unix seconds or a span back from `now`; None for none.

    Raises InvalidArgument in Docker's words.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return round(value * _SECOND)
    back = duration(value) if value != "0" else None
    if back is not None:
        return (time.time_ns() if now is None else now) - back
    found = _calendar(value) if "-" in value else _unix(value)
    if found is None:
        raise InvalidArgument(
            f'failed to parse value as time or duration: "{value}"', hint="such as 2026-01-02T15:04:05Z, 1767366245 or 10m"
        )
    return found


def unix(text: str) -> int:
    """seconds[.nanoseconds] of a query parameter, in nanoseconds; digits after the ninth are cut off. Raises InvalidArgument."""
    found = _unix(text)
    if found is None:
        raise InvalidArgument(f"invalid timestamp: {text}", hint="write it as seconds since 1970")
    return found


def _unix(text: str) -> "int | None":
    seconds, _, fraction = text.partition(".")
    if not _digits(seconds) or (fraction and not _digits(fraction)) or len(fraction) > _MOST_DIGITS:
        return None
    return int(seconds) * _SECOND + int(fraction[:9].ljust(9, "0"))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _calendar(text: str) -> "int | None":
    import re
    from calendar import timegm
    from datetime import datetime

    found = re.fullmatch(_TIME, text, re.ASCII)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        parts = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    offset = 0
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        offset = -offset if zone[0] == "-" else offset
    return (timegm(parts.timetuple()) - offset) * _SECOND + int((fraction or "")[:9].ljust(9, "0"))


def duration(text: str) -> "int | None":
    """Nanoseconds of a Go duration ("1h30m", "-1.5s"); None for anything else."""
    import re

    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0
    if not re.fullmatch(r"(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", body, re.ASCII):
        return None
    total = 0
    for whole, fraction, unit in re.findall(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", body):
        total += int(whole or 0) * _UNITS[unit] + int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
    return -total if text[0] == "-" else total
