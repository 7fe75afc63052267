"""`.dockerignore`: which paths of a context stay out.

The last rule that hits a path or one of its parents decides; `!` takes a path back in. `*` and `?` stop at slashes, `**`
does not. Rules are checked and compared as BuildKit does when it walks a context, parents before children.
"""

from __future__ import annotations

from boxship.build.dockerfile.text import SPACE, clean
from boxship.build.record import record
from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable


def file_names(dockerfile: str) -> tuple[str, str]:
    """Where the rules for a Dockerfile are looked for, relative to its folder and to the context: the first one counts."""
    return f"{dockerfile}.dockerignore", ".dockerignore"


def read(text: str) -> list[str]:
    """The rules of a file: comments and blank lines gone, paths clean and relative."""
    rules: list[str] = []
    for row in text.removeprefix("\ufeff").split("\n"):
        if row.startswith("#"):
            continue
        rule = row.strip(SPACE)
        if not rule:
            continue
        mark = "!" if rule.startswith("!") else ""
        rule = rule.removeprefix("!").strip(SPACE)
        if rule:
            rule = clean(rule)
            rule = rule[1:] if len(rule) > 1 and rule.startswith("/") else rule
        rules.append(mark + rule)
    return rules


@record
class Verdict:
    """`rule` is the index (in Matcher.rules) of the rule that decided, None when none hit."""

    ignored: bool
    rule: int | None


@record
class _Rule:
    text: str
    negative: bool
    hits: Callable[[str], object]
    parts: tuple[re.Pattern[str], ...] = ()
    """Of an exception: one for each path component, up to the first that may cross slashes."""
    deep: bool = False
    """Whether there is such a component."""

    def may_hit_below(self, folders: list[str]) -> bool:
        if not self.deep and len(self.parts) <= len(folders):
            return False
        return all(part.fullmatch(folder) for part, folder in zip(self.parts, folders, strict=False))


class Matcher:
    """Rules ready to be asked. Results of folders are remembered, so ask for the paths of one context only."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises InvalidArgument for a rule that is no pattern."""
        self._rules = [_rule(text) for pattern in patterns if (text := pattern.strip(SPACE))]
        self.rules = tuple(rule.text for rule in self._rules)
        self.has_exceptions = any(rule.negative for rule in self._rules)
        self._exceptions = [rule for rule in self._rules if rule.negative]
        self._folders: dict[str, tuple[tuple[bool, ...], Verdict]] = {}

    def matches(self, path: str) -> bool:
        """Whether the path, relative to the context with slashes, is ignored. The context itself never is."""
        return self.explain(path).ignored

    def explain(self, path: str) -> Verdict:
        path = clean(path)
        if path == ".":
            return Verdict(False, None)
        return self._evaluate(path, self._parent_hits(path))[1]

    def may_skip_dir(self, path: str) -> bool:
        """Whether a walk need not enter this folder: it is ignored, and no `!` can take back anything in it."""
        path = clean(path)
        if path == "." or not self._folder(path)[1].ignored:
            return False
        folders = path.split("/")
        return not any(rule.may_hit_below(folders) for rule in self._exceptions)

    def _parent_hits(self, path: str) -> tuple[bool, ...]:
        parent = path.rpartition("/")[0]
        return self._folder(parent)[0] if parent else ()

    def _folder(self, path: str) -> tuple[tuple[bool, ...], Verdict]:
        found = self._folders.get(path)
        if found is not None:
            return found
        # From the top down, without recursion: a path may have thousands of parts.
        result: tuple[tuple[bool, ...], Verdict] = ((), Verdict(False, None))
        end = 0
        while end >= 0:
            end = path.find("/", end + 1)
            folder = path if end < 0 else path[:end]
            known = self._folders.get(folder)
            if known is None:
                known = self._folders[folder] = self._evaluate(folder, result[0])
            result = known
        return result

    def _evaluate(self, path: str, parent: tuple[bool, ...]) -> tuple[tuple[bool, ...], Verdict]:
        """Which rules hit, and the verdict. A rule that could change nothing is not asked, as in BuildKit's matcher."""
        ignored = False
        decided: int | None = None
        hits = [False] * len(self._rules)
        for index, rule in enumerate(self._rules):
            if (parent and parent[index]) or (rule.negative == ignored and rule.hits(path)):
                hits[index] = True
                ignored, decided = not rule.negative, index
        return tuple(hits), Verdict(ignored, decided)


def _rule(text: str) -> _Rule:
    text = clean(text)
    negative = text.startswith("!")
    pattern = text[1:] if negative else text
    if not pattern:
        raise InvalidArgument('illegal exclusion pattern: "!"', hint="write the path behind the !")
    tokens = _tokens(pattern)
    hits = _comparison(pattern, tokens)
    return _Rule(text, True, hits, *_components(tokens)) if negative else _Rule(text, False, hits)


_Token = tuple[str, str]
"""Kind and character: text, slash, escaped. Kind and regular expression: one (`?`), star (`*`), stars (`**` with the slash
behind it), class."""


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        ch = pattern[position]
        if pattern.startswith("**", position):
            position += 3 if pattern.startswith("/", position + 2) else 2
            tokens.append(("stars", r"(?:.*/)?" if position < len(pattern) else ".*"))
            continue
        if ch == "[":
            position, regexp = _character_class(pattern, position)
            tokens.append(("class", regexp))
            continue
        if ch == "\\":
            position += 1
            if position == len(pattern):
                raise _bad(pattern)
            tokens.append(("escaped", pattern[position]))
        elif ch in "*?":
            tokens.append(("star", "[^/]*") if ch == "*" else ("one", "[^/]"))
        else:
            tokens.append(("slash" if ch == "/" else "text", ch))
        position += 1
    return tokens


def _bad(pattern: str) -> InvalidArgument:
    return InvalidArgument(f"syntax error in pattern: {pattern}", hint="mend the line in .dockerignore")


def _character_class(pattern: str, position: int) -> tuple[int, str]:
    """`[a-z]` or `[^a-z]`; `-` and `]` stand for themselves behind a backslash only, as in Go's filepath.Match."""
    from re import escape

    position += 1
    members = "["
    if pattern.startswith("^", position):
        position += 1
        members += "^"
    count = 0
    while not (count and pattern.startswith("]", position)):
        low, position = _member(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _member(pattern, position + 1)
        if high < low:
            raise _bad(pattern)
        members += f"{escape(low)}-{escape(high)}"
        count += 1
    return position + 1, members + "]"


def _member(pattern: str, position: int) -> tuple[str, int]:
    ch = pattern[position : position + 1]
    if ch == "\\":
        position += 1
        ch = pattern[position : position + 1]
    elif ch in ("-", "]"):
        raise _bad(pattern)
    if not ch or position + 1 >= len(pattern):
        raise _bad(pattern)
    return ch, position + 1


def _comparison(pattern: str, tokens: list[_Token]) -> Callable[[str], object]:
    """The cheapest comparison, mostly without re, which costs 5 ms.

    `**x` is an end of the text in moby's matcher, so that `**file` hits `dir/afile`.
    """
    kinds = [kind for kind, _ in tokens]
    if all(kind in ("text", "slash") for kind in kinds):
        return pattern.__eq__
    if all(kind in ("text", "slash") for kind in kinds[1:]) and kinds[0] == "stars":
        tail = pattern[2:]
        return lambda path: path.endswith(tail) or (tail[:1] == "/" and path == tail[1:])
    if all(kind in ("text", "slash") for kind in kinds[:-1]) and kinds[-1] == "stars":
        head = pattern.removesuffix("**")
        return lambda path: path.startswith(head)
    if kinds[0] == "stars" and kinds[1:2] == ["star"] and all(kind == "text" for kind in kinds[2:]) and pattern[:4] == "**/*":
        return lambda path, tail=pattern[4:]: path.endswith(tail)  # type: ignore[misc]
    if kinds.count("star") == 1 and all(kind in ("text", "slash", "star") for kind in kinds):
        return _one_star(*pattern.split("*"))
    import re

    return re.compile("".join(map(_regexp, tokens)), re.DOTALL).fullmatch


def _one_star(head: str, tail: str) -> Callable[[str], object]:
    least = len(head) + len(tail)

    def hits(path: str) -> bool:
        if len(path) < least or not path.startswith(head) or not path.endswith(tail):
            return False
        return "/" not in path[len(head) : len(path) - len(tail)]

    return hits


def _regexp(token: _Token) -> str:
    from re import escape

    kind, text = token
    return escape(text) if kind in ("text", "slash", "escaped") else text


def _components(tokens: list[_Token]) -> tuple[tuple[re.Pattern[str], ...], bool]:
    """The regular expressions of the leading components. A class may hold a slash, so it counts as crossing."""
    import re

    parts = [""]
    for kind, regexp in ((token[0], _regexp(token)) for token in tokens):
        if kind in ("stars", "class"):
            return tuple(re.compile(part, re.DOTALL) for part in parts[:-1]), True
        if kind == "slash":
            parts.append("")
        else:
            parts[-1] += regexp
    return tuple(re.compile(part, re.DOTALL) for part in parts), False
