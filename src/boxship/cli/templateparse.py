"""Reads a Go template into nodes. Errors carry the line, as Go's do: `template: :1: unclosed action`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\r\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class TemplateError(Exception):
    """A template that can't be read or carried out. The caller puts its own words and `template: ` before."""


class Pipe:
    """Commands joined by |, the variables they are given to, and where this stands in the template."""

    __slots__ = ("column", "commands", "declares", "line", "names", "text")

    def __init__(self, text: str, line: int, column: int) -> None:
        self.commands: list[list[Any]] = []
        self.names: list[str] = []
        self.declares = True
        self.text = text
        self.line = line
        self.column = column

    @property
    def place(self) -> str:
        return self.at(self.text)

    def at(self, text: str) -> str:
        """Go counts the column to the last name of a path."""
        offset = max(self.text.find(text), 0) + max(text.rfind("."), 0)
        return f':{self.line}:{self.column + offset}: executing "" at <{text}>'


class Node:
    """kind: text, pipe, if, with, range, break, continue."""

    __slots__ = ("body", "kind", "otherwise", "pipe", "text")

    def __init__(self, kind: str, text: str = "", pipe: "Pipe | None" = None) -> None:
        self.kind = kind
        self.text = text
        self.pipe: Pipe = pipe or Pipe("", 0, 0)
        self.body: list[Node] = []
        self.otherwise: list[Node] = []


def parse(source: str, functions: "dict[str, Any]") -> "list[Node]":
    """The nodes of a template; names that stand where a function should must be in `functions`."""
    reader = _Blocks(_pieces(source), functions)
    nodes, end = reader.block()
    if end:
        raise TemplateError(f":{end[1]}: unexpected {{{{{end[0].split()[0]}}}}}")
    return nodes


def _pieces(source: str) -> "list[tuple[str, str, int, int]]":
    """("text" or "action", text, line, column of the action's first word)."""
    found: list[tuple[str, str, int, int]] = []
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        text = source[position : start if start >= 0 else None]
        if trim:
            text = text.lstrip(_SPACE)
        if start < 0:
            found.append(("text", text, 0, 0))
            return found
        line = source.count("\n", 0, start) + 1
        inner = start + 2
        if source[inner : inner + 1] == "-" and source[inner + 1 : inner + 2] in tuple(_SPACE):
            text = text.rstrip(_SPACE)
            inner += 2
        found.append(("text", text, 0, 0))
        body, position, trim = _action(source, inner, line)
        stripped = body.lstrip(_SPACE)
        if not (stripped.startswith("/*") and stripped.rstrip(_SPACE).endswith("*/")):
            column = inner + len(body) - len(stripped) - (source.rfind("\n", 0, start) + 1)
            found.append(("action", stripped.rstrip(_SPACE), line, column))


def _action(source: str, start: int, line: int) -> "tuple[str, int, bool]":
    """(the action's text, where the text after it begins, whether that is to be trimmed)."""
    position = start
    while position < len(source):
        char = source[position]
        if source.startswith("}}", position):
            body = source[start:position]
            trim = len(body) > 1 and body[-1] == "-" and body[-2] in _SPACE
            return (body[:-1] if trim else body), position + 2, trim
        if source.startswith("/*", position) and not source[start:position].strip(_SPACE):
            end = source.find("*/", position)
            if end < 0:
                raise TemplateError(f":{line}: unclosed comment")
            position = end + 2
            continue
        if char in "\"'`":
            position = _string_end(source, position, line)
            continue
        position += 1
    raise TemplateError(f":{line}: unclosed action")


def _string_end(source: str, start: int, line: int) -> int:
    quote, position = source[start], start + 1
    while position < len(source) and source[position] != quote:
        if source[position] == "\n" and quote != "`":
            break
        position += 2 if source[position] == "\\" and quote != "`" else 1
    if position >= len(source) or source[position] != quote:
        kind = {'"': "quoted string", "'": "character constant", "`": "raw quoted string"}[quote]
        raise TemplateError(f":{line}: unterminated {kind}")
    return position + 1


class _Blocks:
    __slots__ = ("functions", "next", "pieces", "variables")

    def __init__(self, pieces: "list[tuple[str, str, int, int]]", functions: "dict[str, Any]") -> None:
        self.pieces = pieces
        self.functions = functions
        self.variables = ["$"]
        self.next = 0

    def block(self) -> "tuple[list[Node], tuple[str, int] | None]":
        """Nodes up to an {{end}} or {{else}}, and that action; None at the end of the template."""
        nodes: list[Node] = []
        while self.next < len(self.pieces):
            kind, text, line, column = self.pieces[self.next]
            self.next += 1
            if kind == "text":
                if text:
                    nodes.append(Node("text", text))
                continue
            word = text.split(None, 1)[0] if text else ""
            if word in ("end", "else"):
                return nodes, (text, line)
            elif word in ("if", "with", "range"):
                nodes.append(self._control(word, text, line, column))
            elif word in ("break", "continue"):
                nodes.append(Node(word))
            elif not text:
                raise TemplateError(f":{line}: missing value for command")
            else:
                nodes.append(Node("pipe", "", self._pipe(text, line, column)))
        return nodes, None

    def _control(self, word: str, text: str, line: int, column: int) -> Node:
        depth = len(self.variables)
        rest = text[len(word) :].lstrip(_SPACE)
        if not rest:
            raise TemplateError(f":{line}: missing value for {word}")
        node = Node(word, "", self._pipe(rest, line, column + len(text) - len(rest)))
        node.body, end = self.block()
        if end and end[0] == "else":
            node.otherwise, end = self.block()
        elif end and end[0].startswith("else "):
            inner = end[0][5:].strip(_SPACE)
            other = inner.split(None, 1)[0]
            if other not in ("if", "with"):
                raise TemplateError(f":{line}: unexpected <{inner}> in else")
            node.otherwise = [self._control(other, inner, end[1], 0)]
            del self.variables[depth:]
            return node
        if not end or end[0] != "end":
            raise TemplateError(f":{line}: unexpected EOF")
        del self.variables[depth:]
        return node

    def _pipe(self, text: str, line: int, column: int) -> Pipe:
        words = _Words(text, line, column, self.functions, self.variables)
        pipe = words.pipe(top=True)
        if words.position < len(text):
            raise TemplateError(f":{line}: unexpected {text[words.position]!r} in operand")
        return pipe


class _Words:
    """The inside of an action."""

    __slots__ = ("column", "functions", "line", "position", "text", "variables")

    def __init__(self, text: str, line: int, column: int, functions: "dict[str, Any]", variables: "list[str]") -> None:
        self.text = text
        self.line = line
        self.column = column
        self.functions = functions
        self.variables = variables
        self.position = 0

    def _blank(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in _SPACE:
            self.position += 1

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def pipe(self, *, top: bool = False) -> Pipe:
        start = self.position
        pipe = Pipe(self.text[start:], self.line, self.column + start)
        if top:
            self._declaration(pipe)
        while True:
            pipe.commands.append(self._command())
            if self._peek() != "|":
                break
            self.position += 1
        for name in pipe.names if pipe.declares else []:
            self.variables.append(name)
        return pipe

    def _declaration(self, pipe: Pipe) -> None:
        """`$x :=`, `$k, $v :=`, `$x =`."""
        head, mark, _ = self.text.partition("=")
        names = [name.strip(_SPACE) for name in head.rstrip(":").split(",")]
        if not mark or not all(name[:1] == "$" and name[1:].replace("_", "a").isalnum() for name in names) or len(names) > 2:
            return
        pipe.names = names
        pipe.declares = head.endswith(":")
        self.position = len(head) + 1

    def _command(self) -> "list[Any]":
        words: list[Any] = []
        while True:
            self._blank()
            if self._peek() in ("", "|", ")"):
                break
            words.append(self._operand())
        if not words:
            raise TemplateError(f":{self.line}: missing value for command")
        return words

    def _operand(self) -> "Any":
        char, start = self._peek(), self.position
        if char == "(":
            self.position += 1
            inner = self.pipe()
            if self._peek() != ")":
                raise TemplateError(f":{self.line}: unclosed left paren")
            self.position += 1
            names = self._names()
            return ("chain", inner, self.text[start : self.position], names) if names else ("pipe", inner)
        if char in "\"'`":
            return ("literal", self._string(), self.text[start : self.position])
        if char == ".":
            names = self._names()
            if names:
                return ("field", None, self.text[start : self.position], names)
            if self.text[start + 1 : start + 2].isdigit():
                return self._number()
            self.position += 1
            return ("dot", None, ".")
        if char == "$":
            return self._variable()
        if char.isdigit() or (char in "+-" and self.text[start + 1 : start + 2].isdigit()):
            return self._number()
        return self._name()

    def _names(self) -> "list[str]":
        names: list[str] = []
        while self._peek() == ".":
            end = self.position + 1
            while end < len(self.text) and (self.text[end].isalnum() or self.text[end] == "_"):
                end += 1
            name = self.text[self.position + 1 : end]
            if not name or name[0].isdigit():
                if names:
                    raise TemplateError(f":{self.line}: unexpected <.> in operand")
                break
            names.append(name)
            self.position = end
        return names

    def _word(self) -> str:
        end = self.position
        while end < len(self.text) and (self.text[end].isalnum() or self.text[end] == "_"):
            end += 1
        word = self.text[self.position : end]
        self.position = end
        return word

    def _variable(self) -> "Any":
        start = self.position
        self.position += 1
        name = "$" + self._word()
        if name not in self.variables:
            raise TemplateError(f':{self.line}: undefined variable "{name}"')
        names = self._names()
        return ("variable", name, self.text[start : self.position], names)

    def _name(self) -> "Any":
        char = self._peek()
        word = self._word()
        if not word:
            raise TemplateError(f':{self.line}: unexpected "{char}" in operand')
        if word in ("true", "false"):
            return ("literal", word == "true", word)
        if word == "nil":
            return ("nil", None, word)
        if word not in self.functions and word not in ("and", "or"):
            raise TemplateError(f':{self.line}: function "{word}" not defined')
        return ("name", word, word)

    def _number(self) -> "Any":
        end = self.position + 1
        while end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "._"):
            end += 1
        word = self.text[self.position : end]
        self.position = end
        for reader in (lambda: int(word, 0), lambda: float(word)):
            try:
                return ("literal", reader(), word)
            except ValueError:
                continue
        raise TemplateError(f':{self.line}: bad number syntax: "{word}"')

    def _string(self) -> "Any":
        start = self.position
        self.position = _string_end(self.text, start, self.line)
        quote, body = self.text[start], self.text[start + 1 : self.position - 1]
        text = body if quote == "`" else _unescape(body, self.line)
        return ord(text) if quote == "'" and len(text) == 1 else text


def _unescape(body: str, line: int) -> str:
    pieces, position = [], 0
    while position < len(body):
        char = body[position]
        position += 1
        if char == "\\":
            char = body[position : position + 1]
            position += 1
            digits = {"x": 2, "u": 4, "U": 8}.get(char, 0)
            if digits:
                code = body[position : position + digits]
                if len(code) != digits or not all(char in "0123456789abcdefABCDEF" for char in code) or int(code, 16) > 0x10FFFF:
                    raise TemplateError(f":{line}: invalid syntax")
                pieces.append(chr(int(code, 16)))
                position += digits
                continue
            if char not in _ESCAPES:
                raise TemplateError(f":{line}: invalid syntax")
            char = _ESCAPES[char]
        pieces.append(char)
    return "".join(pieces)
