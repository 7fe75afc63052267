"""Shell patterns of ${x#p} ${x%p} ${x/p/r}: `*`, `?` and `\\`; brackets are plain characters.

BuildKit turns them into regular expressions of Go, which run in linear time; ours would not. Atomic groups (Python 3.11)
give the same matches without going back: every part between two stars may stand as far left as it can.
"""

from __future__ import annotations

import functools
import re

from boxship.errors import DockerfileError

_PLAIN = frozenset("[]{}.+()|^$")
_ESCAPABLE = "*?\\"


def pattern_regexp(pattern: str, *, greedy: bool = True, anchored: bool = True) -> str:
    """The regular expression of a shell pattern; a backslash before anything but `*?\\}/` is an error."""
    head, *parts = _parts(pattern)
    start = ("^" if anchored else "") + head
    if not parts:
        return start
    *middle, last = parts
    inner = "".join(f"(?>.*?{part})" for part in middle if part)
    return start + inner + (f".*{last}" if greedy else f"(?>.*?{last})")


def _parts(pattern: str) -> list[str]:
    """The regular expressions between the stars."""
    parts = [""]
    position = 0
    while position < len(pattern):
        ch = pattern[position]
        position += 1
        if ch == "*":
            parts.append("")
        elif ch == "?":
            parts[-1] += "."
        elif ch == "\\":
            following = pattern[position : position + 1]
            # "}" and "/" had to be escaped to stand inside ${}; the mark is no part of the pattern.
            if following in ("}", "/"):
                continue
            if not following or following not in _ESCAPABLE:
                raise DockerfileError(f"invalid escape '\\{following}'")
            parts[-1] += "\\" + following
            position += 1
        else:
            parts[-1] += "\\" + ch if ch in _PLAIN else ch
    return parts


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str, greedy: bool, anchored: bool) -> re.Pattern[str]:
    try:
        return re.compile(pattern_regexp(pattern, greedy=greedy, anchored=anchored))
    except DockerfileError as error:
        raise DockerfileError(f"invalid pattern ({pattern}) in substitution: {error.message}") from None


def trim_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    match = _compiled(pattern, greedy, True).match(value)
    return value[match.end() :] if match else value


def trim_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """Both sides reversed, since a regular expression can't look for the shortest match at the end."""
    return trim_prefix(reverse_pattern(pattern), value[::-1], greedy=greedy)[::-1]


def reverse_pattern(pattern: str) -> str:
    """The pattern read from its end; an escaped character keeps its mark before it."""
    units: list[str] = []
    position = 0
    while position < len(pattern):
        width = 2 if pattern[position] == "\\" and position + 1 < len(pattern) else 1
        units.append(pattern[position : position + width])
        position += width
    return "".join(reversed(units))


def replace(pattern: str, value: str, replacement: str, *, every: bool) -> str:
    """The first match or every one replaced, the replacement taken literally."""
    regexp = _compiled(pattern, True, False)
    if not every:
        match = regexp.search(value)
        return value[: match.start()] + replacement + value[match.end() :] if match else value
    out: list[str] = []
    position = end = 0
    while position <= len(value) and (match := regexp.search(value, position)):
        out.append(value[end : match.start()])
        # No empty match directly behind another match: Go's rule, not the one of re.sub.
        if match.end() > end or match.start() == 0:
            out.append(replacement)
        end = match.end()
        position = max(position + 1, end)
    out.append(value[end:])
    return "".join(out)
