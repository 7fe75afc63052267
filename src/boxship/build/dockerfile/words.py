"""Word expansion: quotes, escapes, `$NAME` and `${NAME}` with its modifiers, and splitting into words.

    ${x:-y} ${x-y}  y when x is unset (or empty)          ${x#p} ${x##p}  without the shortest, longest prefix p
    ${x:+y} ${x+y}  y when x is set (and not empty)       ${x%p} ${x%%p}  without the shortest, longest suffix p
    ${x:?e} ${x?e}  an error e when x is unset (or empty) ${x/p/r} ${x//p/r}  the first, every p replaced by r

Behaves as the `shell` package of BuildKit's Dockerfile frontend, with these exceptions: the replacement of `//` is
literal, substitutions nest at most 64 deep, and a nested substitution does not eat the beginning of its word.
"""

from __future__ import annotations

from boxship.build.dockerfile.text import SPACE, quote
from boxship.build.record import record
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL_PARAMETERS = frozenset("@*#?-$!0")
_AFTER_HEREDOC_MARK = "\t\r "
_MAX_DEPTH = 64
_MISSING_BRACE = "syntax error: missing '}'"


@record
class Expansion:
    """What a word became, and the names in it: `matched` are set in the environment, `unmatched` are not."""

    text: str
    words: tuple[str, ...]
    matched: frozenset[str] = frozenset()
    unmatched: frozenset[str] = frozenset()


@record
class Rules:
    """`quotes`: quotes are processed. The others serve the search for here-documents: keep marks, keep unset names."""

    escape: str = "\\"
    quotes: bool = True
    raw_quotes: bool = False
    raw_escapes: bool = False
    keep_unset: bool = False


_USUAL = Rules()


def process(word: str, env: Mapping[str, str], rules: Rules = _USUAL) -> Expansion:
    """Expands a word. Raises DockerfileError (without a line) for broken quotes and substitutions."""
    lexer = _Lexer(word, env, rules)
    try:
        text, words = lexer.until("", rules.raw_escapes)
    except DockerfileError as error:
        raise DockerfileError(f"failed to process {quote(word)}: {error.message}") from None
    return Expansion(text, tuple(words), frozenset(lexer.matched), frozenset(lexer.unmatched))


def expand(
    word: str, env: Mapping[str, str], escape: str = "\\", *, used: set[str] | None = None, quotes: bool = True
) -> str:
    """The expanded word. Every name that stands in it, set or not, is added to `used`.

    `quotes=False` leaves quotes as they are, as in here-documents of COPY and ADD.
    """
    result = process(word, env, Rules(escape, quotes))
    if used is not None:
        used |= result.matched | result.unmatched
    return result.text


def expand_words(word: str, env: Mapping[str, str], escape: str = "\\", *, used: set[str] | None = None) -> list[str]:
    """The words of the expanded text: values without quotes are split at blanks, quoted ones are not."""
    result = process(word, env, Rules(escape))
    if used is not None:
        used |= result.matched | result.unmatched
    return list(result.words)


class _Words:
    __slots__ = ("_buffer", "_inside", "_words")

    def __init__(self) -> None:
        self._buffer: list[str] = []
        self._inside = False
        self._words: list[str] = []

    def add(self, text: str) -> None:
        """Adds text that splits at blanks."""
        for ch in text:
            if ch not in SPACE:
                self.add_raw(ch)
            elif self._inside and self._buffer:
                self._words.append("".join(self._buffer))
                self._buffer.clear()
                self._inside = False

    def add_raw(self, text: str) -> None:
        if text:
            self._buffer.append(text)
        self._inside = True

    def finish(self) -> list[str]:
        if self._buffer:
            self._words.append("".join(self._buffer))
        return self._words


class _Lexer:
    __slots__ = ("_depth", "_env", "_position", "_raw_escapes", "_rules", "_text", "matched", "unmatched")

    def __init__(self, text: str, env: Mapping[str, str], rules: Rules) -> None:
        self._text = text
        self._env = env
        self._rules = rules
        self._position = 0
        self._raw_escapes = rules.raw_escapes
        self._depth = 0
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        ch = self._text[self._position : self._position + 1]
        self._position += 1
        return ch

    def until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Reads up to `stop` ("": to the end), which is taken too."""
        saved, self._raw_escapes = self._raw_escapes, raw_escapes
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DockerfileError(f"substitutions nested more than {_MAX_DEPTH} deep")
        try:
            return self._run(stop)
        finally:
            self._raw_escapes = saved
            self._depth -= 1

    def _run(self, stop: str) -> tuple[str, list[str]]:
        out: list[str] = []
        words = _Words()
        while ch := self._peek():
            if ch == stop:
                self._next()
                return "".join(out), words.finish()
            if ch == "$":
                out.append(self._dollar())
                words.add(out[-1])
            elif ch == "<" or (ch in "'\"" and self._rules.quotes):
                out.append(self._heredoc_mark() if ch == "<" else self._single() if ch == "'" else self._double())
                words.add_raw(out[-1])
            else:
                self._plain(out, words)
        if stop:
            raise DockerfileError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(out), words.finish()

    def _plain(self, out: list[str], words: _Words) -> None:
        ch = self._next()
        if ch != self._rules.escape:
            words.add(ch)
            out.append(ch)
            return
        if self._raw_escapes:
            words.add_raw(ch)
            out.append(ch)
        if escaped := self._next():
            words.add_raw(escaped)
            out.append(escaped)

    def _single(self) -> str:
        start = self._position
        end = self._text.find("'", start + 1)
        if end < 0:
            self._position = len(self._text)
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        self._position = end + 1
        return self._text[start : end + 1] if self._rules.raw_quotes else self._text[start + 1 : end]

    def _double(self) -> str:
        quote_mark = self._next()
        mark = quote_mark if self._rules.raw_quotes else ""
        out = [mark]
        while ch := self._peek():
            if ch == "$":
                out.append(self._dollar())
                continue
            self._next()
            if ch == '"':
                return "".join([*out, mark])
            if ch != self._rules.escape:
                out.append(ch)
                continue
            if self._raw_escapes:
                out.append(ch)
            following = self._peek()
            if following in ('"', "$", self._rules.escape):
                out.append(self._next())
            elif following:
                out.append(ch)
        raise DockerfileError("unexpected end of statement while looking for matching double-quote")

    def _heredoc_mark(self) -> str:
        """`<<` keeps the blanks behind it, so that `<< EOF` is one word."""
        self._next()
        if self._peek() != "<":
            return "<"
        self._next()
        start = self._position
        while (ch := self._peek()) and ch in _AFTER_HEREDOC_MARK:
            self._next()
        return "<<" + self._text[start : self._position]

    def _dollar(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self._next()
        ch = self._peek()
        if not ch:
            raise DockerfileError(_MISSING_BRACE)
        if ch in "{}:":
            raise DockerfileError("syntax error: bad substitution")
        name = self._name()
        mark = self._next()
        if not mark:
            raise DockerfileError(_MISSING_BRACE)
        if mark == "}":
            return self._value(name, f"${{{name}}}")
        return self._replaced(name) if mark == "/" else self._modified(name, mark)

    def _value(self, name: str, written: str) -> str:
        value = self._get(name)
        if value is None:
            return written if self._rules.keep_unset else ""
        return value

    def _get(self, name: str) -> str | None:
        value = self._env.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def _name(self) -> str:
        """A name, a number, or one special parameter; "" for anything else."""
        start = self._position
        first = self._peek()
        if first and (first in _SPECIAL_PARAMETERS and first != "0"):
            return self._next()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._next()
        else:
            while (ch := self._peek()) and (ch == "_" or ch.isalpha() or ch.isdecimal()):
                self._next()
        return self._text[start : self._position]

    def _modified(self, name: str, mark: str) -> str:
        modifier = mark
        null_is_unset = mark == ":"
        if null_is_unset:
            mark = self._next()
            modifier += mark
        if not mark or mark not in "+-?#%" or (null_is_unset and mark in "#%"):
            raise DockerfileError(f"unsupported modifier ({modifier}) in substitution")
        word = self._argument("}", mark in "#%", _MISSING_BRACE)
        value = self._get(name)
        if value is None and self._rules.keep_unset:
            return f"${{{name}{modifier}{word}}}"
        if mark in "#%":
            return _trimmed(mark, word, value or "")
        given = value is not None and not (null_is_unset and not value)
        if mark == "+":
            return word if given else ""
        if given:
            return value or ""
        if mark == "-":
            return word
        state = "unset" if value is None else "empty"
        raise DockerfileError(f"{name}: {word or f'is not allowed to be {state}'}")

    def _argument(self, stop: str, raw_escapes: bool, missing: str) -> str:
        try:
            return self.until(stop, raw_escapes)[0]
        except DockerfileError:
            if self._position >= len(self._text):
                raise DockerfileError(missing) from None
            raise

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._next()
        pattern = self._argument("/", True, "syntax error: missing '/' in ${}")
        replacement = self._argument("}", True, _MISSING_BRACE)
        value = self._get(name)
        if value is None and self._rules.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        from boxship.build.dockerfile import patterns

        return patterns.replace(pattern, value or "", replacement, every=every)


def _trimmed(mark: str, pattern: str, value: str) -> str:
    from boxship.build.dockerfile import patterns

    greedy = pattern.startswith(mark)
    trim = patterns.trim_prefix if mark == "#" else patterns.trim_suffix
    return trim(pattern[1:] if greedy else pattern, value, greedy=greedy)
