"""Text to instructions, as BuildKit's parser reads it. What the words mean is decided in `decode`."""

from __future__ import annotations

from boxship.build.dockerfile import lexer
from boxship.build.dockerfile.ast import Directive, Dockerfile, Heredoc, Instruction, ParseWarning
from boxship.build.dockerfile.directives import DirectiveReader
from boxship.build.dockerfile.heredoc import heredocs_of
from boxship.build.dockerfile.lexer import ASCII_SPACE, Lines, check_text, continued, is_comment
from boxship.build.dockerfile.text import SPACE, located, quote
from boxship.build.record import replace
from boxship.errors import DockerfileError

_LIST_OR_JSON = frozenset(("ADD", "COPY", "VOLUME"))
_TEXT_OR_JSON = frozenset(("CMD", "ENTRYPOINT", "RUN", "SHELL"))
_TEXT = frozenset(("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"))
_LIST = frozenset(("EXPOSE", "FROM"))
_PAIRS = frozenset(("ENV", "LABEL"))
NAMES = _LIST_OR_JSON | _TEXT_OR_JSON | _TEXT | _LIST | _PAIRS | {"ARG", "HEALTHCHECK", "ONBUILD"}
"""Every instruction there is."""

_BY_KEYWORD = {name.lower(): name for name in NAMES}
_WITH_HEREDOC = frozenset(("ADD", "COPY", "RUN"))
_MAX_ONBUILD = 8
_EMPTY_CONTINUATION_URL = "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/"


def parse(source: str | bytes) -> Dockerfile:
    """Reads a whole Dockerfile. Raises DockerfileError with the line."""
    return _Parser(lexer.decoded(source)).run()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._escape = "\\"
        self._reader = DirectiveReader()
        self._directives: list[Directive] = []
        self._comments: list[str] = []
        self._instructions: list[Instruction] = []
        self._warnings: list[ParseWarning] = []

    def run(self) -> Dockerfile:
        while (row := self._lines.next()) is not None:
            self._top(row.rstrip("\r\n").lstrip(SPACE))
        if not self._instructions:
            raise DockerfileError(
                "file with no instructions", line=self._lines.number, hint="a Dockerfile begins with a FROM instruction"
            )
        return Dockerfile(
            tuple(self._instructions), tuple(self._directives), self._escape, tuple(self._warnings), self._lines.bare()
        )

    def _top(self, row: str) -> None:
        """One line where an instruction may begin."""
        if is_comment(row):
            if not self._directive(row):
                self._comment(row[1:].strip(SPACE))
            return
        self._directive(row)
        text, more = continued(row, self._escape)
        if not more and not text:
            return
        start = self._lines.number
        line = self._rest_of(text) if more else text
        check_text(line, start)
        with located(start, line):
            instruction = parse_line(line, self._escape)
            heredocs = tuple(self._content(found) for found in heredocs_of(line)) if _takes_heredocs(instruction) else ()
        self._add(instruction, start, heredocs)

    def _add(self, instruction: Instruction, start: int, heredocs: tuple[Heredoc, ...]) -> None:
        inner = instruction.inner
        if inner is not None:
            inner = replace(inner, line=start, end_line=self._lines.number, heredocs=heredocs)
        self._instructions.append(
            replace(
                instruction,
                line=start,
                end_line=self._lines.number,
                heredocs=heredocs,
                comments=tuple(self._comments),
                inner=inner,
            )
        )
        self._comments.clear()

    def _directive(self, row: str) -> bool:
        directive = self._reader.feed(row)
        if directive is None:
            return False
        if directive.name == "escape":
            if directive.value not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid escape token '{directive.value}' does not match ` or \\", line=directive.line, text=row
                )
            self._escape = directive.value
        self._directives.append(directive)
        return True

    def _comment(self, text: str) -> None:
        """An empty comment parts what follows from what stands above."""
        if text:
            self._comments.append(text.encode("utf-8", "replace").decode())
        else:
            self._comments.clear()

    def _rest_of(self, text: str) -> str:
        """The logical line; comments and blank lines between its parts are dropped, the latter with a warning."""
        parts = [text]
        empty = False
        more = True
        while more and (row := self._lines.next()) is not None:
            bare = row.rstrip("\r\n")
            if is_comment(bare):
                continue
            if not bare.strip(SPACE):
                empty = True
                continue
            part, more = continued(bare, self._escape)
            parts.append(part)
        line = "".join(parts)
        if empty:
            message = f"Empty continuation line found in: {line}"
            warning = ParseWarning("NoEmptyContinuation", message, self._lines.number, _EMPTY_CONTINUATION_URL)
            self._warnings.append(warning)
        return line

    def _content(self, heredoc: Heredoc) -> Heredoc:
        start = self._lines.number + 1
        rows: list[str] = []
        while (row := self._lines.next()) is not None:
            bare = row.rstrip("\r\n")
            if (bare.lstrip("\t") if heredoc.chomp else bare) == heredoc.name:
                content = "".join(rows)
                check_text(content, start)
                return replace(heredoc, content=content)
            rows.append(row)
        raise DockerfileError("unterminated heredoc", hint=f"a line that is just {heredoc.name} ends it")


def _takes_heredocs(instruction: Instruction) -> bool:
    inner = instruction.inner if instruction.name == "ONBUILD" else instruction
    return inner is not None and inner.name in _WITH_HEREDOC and not inner.json


def parse_line(line: str, escape: str = "\\", *, depth: int = 0) -> Instruction:
    """One logical line; its place in the file is filled in by the parser."""
    keyword, flags, rest = lexer.split_command(line, escape)
    # By the lower-case form: the upper-case one of U+017F is a plain S.
    name = _BY_KEYWORD.get(keyword.lower()) or (keyword.upper() if keyword.isascii() else keyword)
    bare = Instruction(name, keyword, 0, 0, line, tuple(flags), rest)
    if name == "ONBUILD":
        if not rest:
            return bare
        if depth == _MAX_ONBUILD:
            raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        inner = parse_line(rest, escape, depth=depth + 1)
        return replace(bare, inner=inner, words=(inner.keyword, *inner.words))
    words, json = _arguments(name, rest, escape)
    return replace(bare, words=tuple(words), json=json)


def _arguments(name: str, rest: str, escape: str) -> tuple[list[str], bool]:
    """The words of an instruction, and whether they were a JSON array. Unknown instructions have none."""
    if name in _TEXT_OR_JSON or name in _LIST_OR_JSON:
        words = lexer.json_words(rest)
        if words is not None:
            return words, True
        return (lexer.split_blanks(rest) if name in _LIST_OR_JSON else _whole(rest)), False
    if name == "HEALTHCHECK":
        return _healthcheck(rest)
    if name in _PAIRS:
        return _pairs(name, rest, escape), False
    if name == "ARG":
        return lexer.split_words(rest, escape), False
    if name in _TEXT:
        return _whole(rest), False
    return (lexer.split_blanks(rest) if name in _LIST else []), False


def _whole(rest: str) -> list[str]:
    return [rest] if rest else []


def _healthcheck(rest: str) -> tuple[list[str], bool]:
    """The kind of check, then a command as in RUN."""
    end = next((index for index, ch in enumerate(rest) if ch in ASCII_SPACE), len(rest))
    if not rest:
        return [], False
    command = rest[end:].lstrip(ASCII_SPACE)
    words = lexer.json_words(command)
    if words is not None:
        return [rest[:end], *words], True
    return [rest[:end], *_whole(command)], False


def _pairs(name: str, rest: str, escape: str) -> list[str]:
    """Triples of name, value and "=" or, in the old form, ""."""
    words = lexer.split_words(rest, escape)
    if not words:
        return []
    if "=" not in words[0]:
        pair = lexer.split_pair(rest)
        if len(pair) < 2:
            raise DockerfileError(f"{name} must have two arguments", hint=f"write {name} NAME=VALUE")
        return [*pair, ""]
    triples: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise DockerfileError(f"Syntax error - can't find = in {quote(word)}. Must be of the form: name=value")
        triples += (key, value, "=")
    return triples
