"""The lines of a Dockerfile around an error, as BuildKit prints them. Pure."""

from __future__ import annotations

_RULE = "-" * 20


def render(name: str, data: bytes, first: int, last: int) -> str:
    """`first` and `last`: 1-based lines that the error is about. "" when there are no such lines."""
    lines = data.decode("utf-8", "replace").split("\n")
    if not 1 <= first <= len(lines):
        return ""
    last = min(max(first, last), len(lines))
    start, end = _around(first, last, len(lines))
    rows = [
        f" {number:3d} | {'>>>' if first <= number <= last else '   '} {lines[number - 1].rstrip(chr(13))}"
        for number in range(start, end + 1)
    ]
    return "\n".join([f"{name}:{first}", _RULE, *rows, _RULE]) + "\n"


def _around(first: int, last: int, count: int) -> tuple[int, int]:
    """A few lines more on both sides, the more the fewer the error has."""
    padding = 4 if first == last else 2
    start, end, used = first, last, 0
    while used < padding:
        if start > 1:
            start -= 1
            used += 1
        if end != count:
            end += 1
            used += 1
        used += 1
    return start, end


def size(count: int) -> str:
    """Bytes as BuildKit's progress writes them: 78B, 1.21kB, 3.5MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.4g}{unit}" if unit == "B" else f"{value:.3g}{unit}"
        value /= 1000
    return ""
