"""Source patterns of COPY: `*`, `?`, `[...]` and backslash as in Go's filepath.Match; a wildcard never crosses a slash. Pure."""

from __future__ import annotations

from boxship.build.tree import is_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from boxship.build.tree import Node, Tree


def has_wildcard(text: str) -> bool:
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] in "*?[":
            return True
        position += 1
    return False


def matches(tree: Tree, pattern: str) -> list[str] | None:
    """Paths that the cleaned, absolute pattern means; None when it has no wildcard. A matched directory ends its branch."""
    parts = pattern.strip("/").split("/")
    first = next((number for number, part in enumerate(parts) if has_wildcard(part)), None)
    if first is None:
        return None
    base = tree.find("/" + "/".join(parts[:first]))
    if base is None or not is_dir(base):
        return []
    compiled = [_compile(part) for part in parts[first:]]
    if any(part is None for part in compiled):
        return []
    return [node.path for node in _descend(tree, base, [part for part in compiled if part is not None])]


def _descend(tree: Tree, node: Node, parts: list[re.Pattern[str]]) -> Iterator[Node]:
    for child in tree.children(node):
        if not parts[0].fullmatch(child.path.rpartition("/")[2]):
            continue
        if len(parts) == 1:
            yield child
        elif is_dir(child):
            yield from _descend(tree, child, parts[1:])


def _compile(part: str) -> re.Pattern[str] | None:
    """One component as a regular expression; None for a malformed one, which matches nothing."""
    import re

    out = []
    position = 0
    while position < len(part):
        char = part[position]
        position += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            found = _class(part, position)
            if found is None:
                return None
            text, position = found
            out.append(text)
        elif char == "\\":
            if position == len(part):
                return None
            out.append(re.escape(part[position]))
            position += 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def _class(part: str, position: int) -> tuple[str, int] | None:
    """A `[...]` from behind its bracket: (regular expression, position behind it). `]` may stand first, `^` negates."""
    from re import escape

    negated = part[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while True:
        if part[position : position + 1] == "]" and ranges:
            return f"[{'^' if negated else ''}{''.join(ranges)}]", position + 1
        low = _char(part, position)
        if low is None:
            return None
        first, position = low
        last = first
        if part[position : position + 1] == "-":
            high = _char(part, position + 1)
            if high is None:
                return None
            last, position = high
        # a reversed range matches nothing, and re.compile would refuse it
        ranges.append(f"{escape(first)}-{escape(last)}" if first <= last else "\\0")


def _char(part: str, position: int) -> tuple[str, int] | None:
    char = part[position : position + 1]
    # Go refuses these where a character must stand: path/filepath Match, getEsc
    if not char or char in "-]":
        return None
    if char == "\\":
        char = part[position + 1 : position + 2]
        return (char, position + 2) if char else None
    return char, position + 1
