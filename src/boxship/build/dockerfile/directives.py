"""Parser directives: the `# name=value` lines before anything else in a Dockerfile."""

from __future__ import annotations

from boxship.build.dockerfile.ast import Directive
from boxship.build.dockerfile.text import SPACE
from boxship.errors import DockerfileError

_BLANKS = "\t\n\f\r "
_KNOWN = frozenset(("syntax", "escape", "check"))


class DirectiveReader:
    """Takes the lines of a file in order; the first one that is no directive ends the matter."""

    def __init__(self, mark: str = "#", line: int = 0) -> None:
        self._mark = mark
        self._line = line
        self._done = False
        self._seen: set[str] = set()

    @property
    def done(self) -> bool:
        return self._done

    def feed(self, text: str) -> Directive | None:
        """The directive in this line. Raises DockerfileError when it stands there for the second time."""
        self._line += 1
        if self._done:
            return None
        name, value = _pair(text[len(self._mark) :].lstrip(SPACE)) if text.startswith(self._mark) else ("", "")
        if name not in _KNOWN:
            self._done = True
            return None
        if name in self._seen:
            raise DockerfileError(f"only one {name} parser directive can be used", line=self._line, text=text)
        self._seen.add(name)
        return Directive(name, value, self._line)


def _pair(text: str) -> tuple[str, str]:
    """Name in lower case, and value; ("", "") when it is no pair."""
    name, equals, value = text.partition("=")
    # of a value that is all blank, the last one counts: so it is in BuildKit's regular expression
    name, value = name.rstrip(_BLANKS), value.strip(_BLANKS) or value[-1:]
    # a line end inside is no part of any directive
    if not equals or not value or "\n" in value or not (name.isascii() and name.isalnum() and name[0].isalpha()):
        return "", ""
    return name.lower(), value


def read_directives(text: str, mark: str = "#", line: int = 0) -> list[Directive]:
    """The directives at the beginning of a text, up to the first mistake. `line` is the number of lines before it."""
    reader = DirectiveReader(mark, line)
    found: list[Directive] = []
    for row in text.split("\n"):
        try:
            directive = reader.feed(row.removesuffix("\r"))
        except DockerfileError:
            break
        if reader.done:
            break
        if directive is not None:
            found.append(directive)
    return found


def find_directive(name: str, text: str) -> Directive | None:
    """A directive by name; a `#!` line before it does not count. Its whole value: the first word is the reference."""
    body, skipped = _without_shebang(text)
    return next((found for found in read_directives(body, line=skipped) if found.name == name), None)


def detect_syntax(text: str) -> Directive | None:
    """The syntax directive, also as `// syntax=` or as `{"syntax": ...}`: other frontends comment in other ways."""
    found = find_directive("syntax", text)
    if found is not None:
        return found
    body, skipped = _without_shebang(text)
    for directive in read_directives(body, "//", skipped):
        if directive.name == "syntax":
            return directive
    import json

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = document.get("syntax") if isinstance(document, dict) else None
    return Directive("syntax", value, skipped) if isinstance(value, str) else None


def _without_shebang(text: str) -> tuple[str, int]:
    text = text.removeprefix("\ufeff")
    if not text.startswith("#!"):
        return text, 0
    return text.partition("\n")[2], 1
