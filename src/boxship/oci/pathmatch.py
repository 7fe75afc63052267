"""Shell patterns with the rules of Go's path.Match, which Docker's reference filter and COPY follow.

    *       anything but a slash            ?       one character but a slash
    [a-z]   one of the range, [^a-z] not    \\c     the character itself

Unlike fnmatch, `*` stops at a slash, `[-x]` is an error, and there is no `[!...]`.
"""

from boxship.errors import InvalidArgument


class _BadPattern(Exception):
    pass


def match(pattern: str, name: str) -> bool:
    """Whether the whole `name` matches. Raises InvalidArgument for a pattern that is none, wherever its fault stands."""
    try:
        tokens = _tokens(pattern)
    except (_BadPattern, IndexError):
        raise InvalidArgument(f"syntax error in pattern: {pattern}") from None
    return _run(tokens, name)


# a token: "*" (star), "?" (any but slash), or (negated, ranges) of one character
_Token = str | tuple[bool, list[tuple[str, str]]]


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if not tokens or tokens[-1] != "*":
                tokens.append("*")
        elif char == "?":
            tokens.append("?")
        elif char == "[":
            token, at = _class(pattern, at)
            tokens.append(token)
        else:
            if char == "\\":
                char = pattern[at]
                at += 1
            tokens.append((False, [(char, char)]))
    return tokens


def _class(pattern: str, at: int) -> tuple[_Token, int]:
    negated = pattern[at] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or pattern[at] != "]":
        low, at = _class_char(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _class_char(pattern, at + 1)
        ranges.append((low, high))
    return (negated, ranges), at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at]
    if char in "-]":
        raise _BadPattern
    if char == "\\":
        return pattern[at + 1], at + 2
    return char, at + 1


def _one(token: _Token, char: str) -> bool:
    if isinstance(token, str):
        return char != "/"
    negated, ranges = token
    return any(low <= char <= high for low, high in ranges) != negated


def _run(tokens: list[_Token], name: str) -> bool:
    """Greedy with one step back to the last star: linear but for that, whatever the pattern."""
    at = here = 0
    star, resume = -1, 0
    while here < len(name):
        if at < len(tokens) and tokens[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(tokens) and _one(tokens[at], name[here]):
            at += 1
            here += 1
        elif star >= 0 and name[resume] != "/":
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(token == "*" for token in tokens[at:])  # noqa: S105 - a pattern's token, no secret
