"""What the parser gives: instructions as they stand in the file, nothing decoded, nothing expanded."""

from __future__ import annotations

from boxship.build.record import record


@record
class Heredoc:
    """One here-document. `content` is raw: `text` is what a program sees."""

    name: str
    """The delimiter after quote removal; for COPY and ADD the name of the file."""
    content: str
    expand: bool = True
    """False when any part of the delimiter was quoted."""
    chomp: bool = False
    """True for `<<-`: leading tabs of every line do not count."""
    fd: int = 0
    """The number before `<<`; 0 when there is none."""

    @property
    def text(self) -> str:
        if not self.chomp:
            return self.content
        return "\n".join([line.lstrip("\t") for line in self.content.split("\n")])


@record
class Instruction:
    """One instruction. `line` and `end_line` are 1-based and count comments, blank lines and here-documents inside."""

    name: str
    """Upper case; `keyword` is the word as it was written."""
    keyword: str
    line: int
    end_line: int
    source: str
    """The logical line: continuations joined, comments gone, here-documents not included."""
    flags: tuple[str, ...] = ()
    """Raw `--name=value` words, quotes removed."""
    rest: str = ""
    """The text after the flags."""
    json: bool = False
    """The arguments were a JSON array (exec form); `words` are then its elements."""
    words: tuple[str, ...] = ()
    """The arguments as the instruction splits them; ENV and LABEL give triples: name, value, "=" or ""."""
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    """The comment lines directly above, without the mark."""
    inner: Instruction | None = None
    """The instruction behind ONBUILD; it carries the here-documents too."""


@record
class Directive:
    """A parser directive such as `# syntax=`; `name` is in lower case."""

    name: str
    value: str
    line: int


@record
class ParseWarning:
    """Something the parser lets pass; `code` is the name of Docker's build check."""

    code: str
    message: str
    line: int
    url: str = ""


@record
class Dockerfile:
    instructions: tuple[Instruction, ...]
    directives: tuple[Directive, ...] = ()
    escape: str = "\\"
    warnings: tuple[ParseWarning, ...] = ()
    lines: tuple[str, ...] = ()
    """The physical lines without their ends, for excerpts in messages."""

    @property
    def line(self) -> int:
        """First line of the first instruction."""
        return self.instructions[0].line

    @property
    def end_line(self) -> int:
        return self.instructions[-1].end_line

    def directive(self, name: str) -> str | None:
        return next((found.value for found in self.directives if found.name == name), None)
