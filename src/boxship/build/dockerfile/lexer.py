"""Lines and words of a Dockerfile, before anybody knows what an instruction means."""

from __future__ import annotations

from boxship.build.dockerfile.text import SPACE
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

MAX_LINE = 65535
"""Bytes of one line: the token size of the scanner that BuildKit reads with."""
MAX_SIZE = 16 << 20
"""Bytes of a whole file: the largest message between BuildKit's frontend and its solver."""

# BuildKit looks for flags byte by byte, where no blank beyond ASCII shows.
ASCII_SPACE = "\t\n\v\f\r "
_BLANKS = "\t\v\f\r "
_TOO_LONG = f"dockerfile line greater than max allowed size of {MAX_LINE}"


def decoded(source: str | bytes) -> str:
    """The text of a file. Bytes that are no UTF-8 survive as lone surrogates, for check_text() to find their line."""
    size = len(source) if isinstance(source, bytes) or source.isascii() else len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_SIZE:
        raise DockerfileError(f"dockerfile larger than {MAX_SIZE} bytes: {size}", hint="copy large data from the context")
    return source.decode("utf-8", "surrogateescape") if isinstance(source, bytes) else source


def check_text(text: str, line: int) -> None:
    """Refuses what is no UTF-8; comments are not asked."""
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DockerfileError("dockerfile is not valid utf-8", line=line, hint="save the file as utf-8") from None


class Lines:
    """The physical lines in order, with their ends; `number` is the 1-based number of the last one given."""

    def __init__(self, text: str) -> None:
        rows = text.removeprefix("\ufeff").split("\n")
        last = rows.pop()
        self._rows = [row + "\n" for row in rows]
        if last:
            self._rows.append(last)
        self.number = 0

    def next(self) -> str | None:
        if self.number >= len(self._rows):
            return None
        row = self._rows[self.number]
        self.number += 1
        # A character takes at most four bytes: most lines need no second look.
        if len(row) * 4 > MAX_LINE and len(row.removesuffix("\n").encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise DockerfileError(_TOO_LONG, line=self.number)
        return row

    def bare(self) -> tuple[str, ...]:
        return tuple(row.rstrip("\r\n") for row in self._rows)


def is_comment(line: str) -> bool:
    return line.lstrip(SPACE).startswith("#")


def continued(line: str, escape: str) -> tuple[str, bool]:
    """The line without the mark at its end, and whether there was one. A doubled mark is text."""
    bare = line.rstrip(" \t")
    if bare.endswith(escape) and not bare.endswith(escape * 2):
        return bare[:-1], True
    return line, False


def split_command(line: str, escape: str) -> tuple[str, list[str], str]:
    """The keyword, the flags and the text behind them."""
    keyword, *arguments = _split_once(line.strip(SPACE))
    if not arguments:
        return keyword, [], ""
    flags, rest = split_flags(arguments[0], escape)
    return keyword, flags, rest.strip(SPACE)


def split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Words that begin with `--`, quotes and escapes removed, up to the first other word or a lone `--`."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in ASCII_SPACE:
            position += 1
        if not text.startswith("--", position):
            return flags, text[position:]
        word, quoted, position = _flag_word(text, position, escape)
        if word == "--":
            return flags, text[position:]
        if word or quoted:
            flags.append(word)


def _flag_word(text: str, position: int, escape: str) -> tuple[str, bool, int]:
    out: list[str] = []
    quote = ""
    quoted = False
    while position < len(text):
        ch = text[position]
        if not quote and ch in ASCII_SPACE:
            break
        if ch == quote:
            quote = ""
        elif not quote and ch in "'\"":
            quote, quoted = ch, True
        elif ch != escape:
            out.append(ch)
        elif position + 1 < len(text):
            position += 1
            out.append(text[position])
        position += 1
    return "".join(out), quoted, position


def split_words(text: str, escape: str) -> list[str]:
    """Words as ENV, LABEL and ARG see them: blanks inside quotes and behind escapes belong to a word; marks stay."""
    words: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in SPACE:
            position += 1
        if position >= len(text):
            return words
        word, quoted, position = _marked_word(text, position, escape)
        if word or quoted:
            words.append(word)


def _marked_word(text: str, position: int, escape: str) -> tuple[str, bool, int]:
    out: list[str] = []
    quote = ""
    quoted = False
    while position < len(text):
        ch = text[position]
        if not quote and ch in SPACE:
            break
        # Nothing can be escaped between single quotes.
        if ch == escape and quote != "'":
            # The last character of the text: dropped.
            if position + 1 < len(text):
                out.append(text[position : position + 2])
            position += 2
            continue
        if ch == quote:
            quote = ""
        elif not quote and ch in "'\"":
            quote, quoted = ch, True
        out.append(ch)
        position += 1
    return "".join(out), quoted, position


def split_blanks(text: str) -> list[str]:
    if not text:
        return []
    words: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] not in _BLANKS:
            position += 1
            continue
        words.append(text[start:position])
        start = position = _behind_blanks(text, position)
    return [*words, text[start:]]


def _behind_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _split_once(text: str) -> list[str]:
    """What stands before and behind the first blanks; the whole text where there are none."""
    for position, ch in enumerate(text):
        if ch in _BLANKS:
            return [text[:position], text[_behind_blanks(text, position) :]]
    return [text]


def split_pair(text: str) -> list[str]:
    """Name and value of the old form `ENV NAME VALUE`; one element when there is no value."""
    return _split_once(text)


def json_words(text: str) -> list[str] | None:
    """The strings of a JSON array; None when the text is no JSON array. Other elements than strings are an error."""
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    words = _plain_strings(text)
    if words is None:
        from boxship.build.dockerfile.arrays import read

        words = read(text)
    return words


def _plain_strings(text: str) -> list[str] | None:
    """The elements of an array of strings without escapes, the usual one; None for anything else, right or wrong."""
    body = text.rstrip(" \t\r\n")
    if not body.isascii() or not body.isprintable() or "\\" in body or body[-1] != "]":
        return None
    parts = body[1:-1].split('"')
    if len(parts) == 1:
        return None if parts[0].strip(" ") else []
    # blanks, string, comma, string, ..., string, blanks
    if len(parts) % 2 == 0 or parts[0].strip(" ") or parts[-1].strip(" "):
        return None
    if any(between.strip(" ") != "," for between in parts[2:-1:2]):
        return None
    return parts[1::2]
