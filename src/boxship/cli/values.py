"""Readers of flag values, by the names that the kinds of `boxship.cli.flags` give them.

Each takes the text and returns the value, or raises ValueError in Docker's words.
"""

import os

from boxship.cli import units

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

# setrlimit(2) has these; Docker's names are the same in small letters
ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def integer(text: str) -> int:
    """Go's ParseInt with base 0: 10, -1, 0x1f, 0o17, 017, 0b1, 1_000; 64 bits."""
    wrong = f'strconv.ParseInt: parsing "{text}": invalid'
    body = text[1:] if text[:1] in ("-", "+") else text
    if not (body.isascii() and body.replace("_", "").isalnum() and body[0].isdigit()):
        raise ValueError(f"{wrong} syntax")
    if len(body) > 1 and body[0] == "0" and body[1] in "01234567_":
        body = "0o" + body[1:]
    try:
        number = int(body, 0)
    except ValueError:
        raise ValueError(f"{wrong} syntax") from None
    if text[0] == "-":
        number = -number
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def size(text: str) -> int:
    return units.parse_size(text)


def swap_size(text: str) -> int:
    """As size; -1 means unlimited."""
    return -1 if text == "-1" else units.parse_size(text)


def duration(text: str) -> int:
    """Nanoseconds."""
    return units.parse_duration(text)


def filter_term(text: str) -> "tuple[str, str]":
    """--filter name=value; the name is not case-sensitive."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def cpus(text: str) -> int:
    """CPUs in billionths. Fractions of a billionth are refused."""
    try:
        top, slash, bottom = text.partition("/")
        upper, lower = _rational(top), _rational(bottom) if slash else (1, 1)
        numerator, denominator = upper[0] * lower[1] * 1_000_000_000, upper[1] * lower[0]
        nano, rest = divmod(numerator, denominator)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if rest:
        raise ValueError("value is too precise")
    return nano


def _rational(text: str) -> "tuple[int, int]":
    mantissa, mark, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    # more than 400 would take long and mean nothing
    shift = _decimal(exponent) if mark else 0
    digits = whole + fraction
    if not (digits.lstrip("+-").isdigit() and digits.isascii()) or abs(shift) > 400:
        raise ValueError(text)
    power = shift - len(fraction)
    return (int(digits) * 10**power, 1) if power >= 0 else (int(digits), 10**-power)


def environment(text: str) -> str:
    """NAME=value as it stands; a bare NAME takes our own value, and stays bare where we have none."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if not equals and name in os.environ:
        return f"{name}={os.environ[name]}"
    return text


def label(text: str) -> str:
    name = text.partition("=")[0].lstrip()
    if not name.strip():
        raise ValueError(f"invalid label '{text}': empty name")
    if any(char.isspace() for char in name):
        raise ValueError(f"label '{name}' contains whitespaces")
    return text


def stream(text: str) -> str:
    name = text.lower()
    if name not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return name


def add_host(text: str) -> str:
    """name:address, from either name:address or name=address; IPv6 with or without brackets."""
    name, found, address = text.partition("=")
    if not found:
        name, found, address = text.partition(":")
    if not found or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address == "host-gateway":
        return f"{name}:{address}"
    bare = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    if not is_ip(bare):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{bare}"


def ip_address(text: str) -> str:
    """The address in its shortest form."""
    shortest = _canonical(text.strip())
    if not shortest:
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return shortest


def is_ip(text: str) -> bool:
    return bool(_canonical(text))


def _canonical(text: str) -> str:
    # _socket is the C half: the socket module imports selectors and enum
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_ntop(family, _socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    return ""


def ulimit(text: str) -> "dict[str, str | int]":
    """name=soft[:hard] as Docker's document; -1 is unlimited."""
    name, equals, limits = text.partition("=")
    if not equals or "=" in limits:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = _decimal(parts[0])
    hard = _decimal(parts[1]) if len(parts) == 2 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        shown = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {shown}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def _decimal(text: str) -> int:
    body = text[1:] if text[:1] in ("-", "+") else text
    if not (body.isascii() and body.isdigit()):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)
