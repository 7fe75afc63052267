"""Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF` in the lines of RUN, COPY and ADD."""

from __future__ import annotations

from boxship.build.dockerfile.ast import Heredoc
from boxship.build.dockerfile.words import Rules, process
from boxship.errors import DockerfileError

_MAX_FD = (1 << 64) - 1
# The delimiters are read with the backslash, whatever the escape directive says.
_LINE = Rules(raw_quotes=True, raw_escapes=True, keep_unset=True)
_BARE = Rules(keep_unset=True)
_QUOTED = Rules(raw_quotes=True, keep_unset=True)


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that a word announces, without content; None when it announces none."""
    number, mark, rest = word.partition("<<")
    chomp = rest.startswith("-")
    name = rest[chomp:].lstrip("\t\n\f\r ")
    if not mark or not name or "<" in name or (number and not (number.isascii() and number.isdecimal())):
        return None
    names = process(name, {}, _BARE).words
    if len(names) != 1:
        return None
    written = process(name, {}, _QUOTED).words
    if len(written) != 1:
        raise DockerfileError(f"here-document can't be read: {word}")
    digits = number.lstrip("0")
    fd = min(int(digits), _MAX_FD) if digits and len(digits) <= 20 else _MAX_FD if digits else 0
    return Heredoc(names[0], "", _marks(names[0]) == _marks(written[0]), chomp, fd)


def heredocs_of(line: str) -> list[Heredoc]:
    """The here-documents of a logical line, in order. A line that is no sequence of words has none."""
    if "<<" not in line:
        return []
    try:
        words = process(line, {}, _LINE).words
    except DockerfileError:
        return []
    return [heredoc for heredoc in map(parse_heredoc, words) if heredoc is not None]


def _marks(text: str) -> int:
    return text.count("'") + text.count('"')
