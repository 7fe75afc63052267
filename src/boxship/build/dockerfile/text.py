"""Small rules of Go's standard library that the language leans on: blanks, quoting, suggestions, clean paths."""

from __future__ import annotations

import posixpath

from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# unicode.IsSpace of Go: str.isspace() would add U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}
_FARTHEST = 2


def quote(text: str) -> str:
    """The text in double quotes, as %q of Go prints it."""
    return '"' + "".join(_quoted(ch) for ch in text) + '"'


def _quoted(ch: str) -> str:
    if ch in _SHORT:
        return _SHORT[ch]
    if ch.isprintable():
        return ch
    code = ord(ch)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_bool(text: str) -> bool | None:
    """True or False for the words Go's strconv.ParseBool takes, else None."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def clean(path: str) -> str:
    """The shortest equal path, as filepath.Clean gives it: "." for nothing, never two slashes in front."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def closest(word: str, options: Iterable[str], *, fold: bool = False) -> str | None:
    """The option that is at most two edits away, in the case of the word when `fold`; None when the word is one."""
    wanted = word.lower() if fold else word
    best, distance = None, _FARTHEST + 1
    for option in sorted(options):
        candidate = option.lower() if fold else option
        if candidate == wanted:
            return None
        if abs(len(candidate) - len(wanted)) < distance and (edits := _edits(wanted, candidate)) < distance:
            best, distance = candidate, edits
    if best is not None and fold and word == word.upper() != word.lower():
        return best.upper()
    return best


def _edits(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for index, ch in enumerate(left, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(right, 1):
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, previous + (ch != other))
    return row[-1]


def suggested(message: str, word: str, options: Iterable[str], *, fold: bool = False) -> str:
    """The message with "(did you mean X?)" behind it when an option is near."""
    match = closest(word, options, fold=fold)
    return f"{message} (did you mean {match}?)" if match else message


class located:
    """`with located(line, text):` gives a DockerfileError raised inside the line, unless it knows one already."""

    __slots__ = ("line", "text")

    def __init__(self, line: int, text: str = "") -> None:
        self.line = line
        self.text = text

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DockerfileError):
            error.line = error.line or self.line
            error.text = error.text or self.text
