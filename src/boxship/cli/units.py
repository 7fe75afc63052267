"""Sizes, spans of time and signals as Docker reads and writes them. Pure; refusals are ValueError in Docker's words."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_PREFIXES = "kmgtp"
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DIGITS = frozenset("0123456789")


def parse_size(text: str, base: int = 1024) -> int:
    """Bytes of "512m", "1.5 GiB", "32kB": one letter is a power of `base` (1024 for memory, 1000 for log files)."""
    split = max(text.rfind(char) for char in "0123456789. ")
    if split < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = text[:split] if text[split] == " " else text[: split + 1]
    suffix = text[split + 1 :]
    size = _float(number)
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    return int(size * _multiple(suffix, base))


def _float(text: str) -> float:
    if not text.isascii() or "_" in text or text != text.strip() or not any(char in _DIGITS for char in text):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _multiple(suffix: str, base: int) -> int:
    lower = suffix.lower()
    if lower in ("", "b"):
        return 1
    power = _PREFIXES.find(lower[0]) + 1
    if power == 0 or lower[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{lower if len(suffix) < 4 else suffix}'")
    return int(base**power)


def format_size(size: float, digits: int = 4, *, binary: bool = False) -> str:
    """1200000 -> "1.2MB". `images` and `ps` show three digits, the rest four; `binary` steps by 1024 (KiB)."""
    base, names = (1024.0, _BINARY) if binary else (1000.0, _DECIMAL)
    power = 0
    while size >= base and power < len(names) - 1:
        size /= base
        power += 1
    return f"{size:.{digits}g}{names[power]}"


def human_duration(seconds: float) -> str:
    """A length of time in Docker's rough words: "About a minute", "3 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    return _days(hours, int(seconds / 3600))


def _days(hours: int, whole_hours: int) -> str:
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{whole_hours // 24 // 365} years"


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration: "1h30m", "-1.5s", "300ms", "0"."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        number, rest = _take(rest, lambda char: char in _DIGITS or char == ".")
        unit, rest = _take(rest, lambda char: char not in _DIGITS and char != ".")
        if number in ("", ".") or number.count(".") > 1:
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _NANOSECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        whole, _, fraction = number.partition(".")
        scale = _NANOSECONDS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    if total > 0x7FFFFFFFFFFFFFFF:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text[0] == "-" else total


def _take(text: str, wanted: "Callable[[str], bool]") -> "tuple[str, str]":
    end = 0
    while end < len(text) and wanted(text[end]):
        end += 1
    return text[:end], text[end:]


# asm-generic/signal.h, the same on x86-64 and aarch64, and libc's other names for them
SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
    "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17,
    "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26,
    "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "UNUSED": 31,
}  # fmt: skip
_RTMIN, _RTMAX = 34, 64


def parse_signal(text: str) -> int:
    """The number of "TERM", "sigkill", "9", "RTMIN+3"."""
    if text.isascii() and text.isdigit():
        number = int(text)
        if number == 0:
            raise ValueError(f"invalid signal: {text}")
        return number
    name = text.upper().removeprefix("SIG")
    number = SIGNALS.get(name) or _real_time(name)
    if not number:
        raise ValueError(f"invalid signal: {text}")
    return number


def _real_time(name: str) -> int:
    start, step = (_RTMIN, 1) if name.startswith("RTMIN") else (_RTMAX, -1)
    rest = name[5:]
    if name[:5] not in ("RTMIN", "RTMAX"):
        return 0
    if not rest:
        return start
    if rest[0] != ("+" if step > 0 else "-") or not rest[1:].isdigit() or rest[1:] != str(int(rest[1:])):
        return 0
    offset = int(rest[1:])
    limit = 15 if step > 0 else 14
    return start + step * offset if 1 <= offset <= limit else 0
