"""Go's text/template, as far as --format is used: written from the language's documentation, evaluated over plain values.

    {{.A.B}} {{index .A 0}} {{range $k, $v := .M}}..{{else}}..{{end}} {{if}} {{with}} {{$x := ...}} {{a | b}} {{- trim -}}

Values are dicts, lists, text, numbers, True, False and None, and `Fields`, whose fields are computed when asked for.
`parse` raises TemplateError for a template that can't be read; `execute` for one that can't be carried out; both in Go's words.
"""

from boxship.cli import templatefuncs
from boxship.cli.templateparse import Node, Pipe, TemplateError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Fields", "Template", "TemplateError", "parse"]


class Fields:
    """Named values computed when asked for: what a row of ps is to a template. A field may take arguments."""

    __slots__ = ("getters", "kind", "subject")

    def __init__(self, kind: str, getters: "dict[str, Callable[..., Any]]", subject: "Any") -> None:
        self.kind = kind
        self.getters = getters
        self.subject = subject

    def get(self, name: str, *args: "Any") -> "Any":
        return self.getters[name](self.subject, *args)

    def document(self) -> "dict[str, Any]":
        """Every field that takes no argument, by name: what {{json .}} shows."""
        return {name: self.get(name) for name in sorted(self.getters) if name != "Label"}


class Template:
    """A template that was read. `functions` adds to the usual ones, or replaces them (table headers do)."""

    __slots__ = ("functions", "nodes", "source")

    def __init__(self, source: str, functions: "dict[str, Callable[..., Any]] | None" = None) -> None:
        self.functions = {**templatefuncs.FUNCTIONS, **(functions or {})}
        self.source = source
        self.nodes = parse(source, self.functions)

    def execute(self, data: "Any") -> str:
        run = _Run(self.functions)
        run.variables.append(("$", data))
        run.block(self.nodes, data)
        return "".join(run.pieces)


class _Stop(Exception):
    """{{break}} and {{continue}}."""


class _Run:
    __slots__ = ("functions", "pieces", "variables")

    def __init__(self, functions: "dict[str, Callable[..., Any]]") -> None:
        self.functions = functions
        self.pieces: list[str] = []
        self.variables: list[tuple[str, Any]] = []

    def block(self, nodes: "list[Node]", dot: "Any") -> None:
        for node in nodes:
            if node.kind == "text":
                self.pieces.append(node.text)
            elif node.kind == "pipe":
                value = self.pipe(node.pipe, dot)
                if not node.pipe.names:
                    self.pieces.append(templatefuncs.shown(value, top=True))
            elif node.kind == "range":
                self._range(node, dot)
            elif node.kind in ("break", "continue"):
                raise _Stop(node.kind)
            else:
                self._branch(node, dot)

    def _branch(self, node: Node, dot: "Any") -> None:
        depth = len(self.variables)
        value = self.pipe(node.pipe, dot)
        if templatefuncs.truth(value):
            self.block(node.body, value if node.kind == "with" else dot)
        else:
            self.block(node.otherwise, dot)
        del self.variables[depth:]

    def _range(self, node: Node, dot: "Any") -> None:
        depth = len(self.variables)
        value = self.pipe(node.pipe, dot, assign=False)
        if isinstance(value, dict):
            pairs = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, (list, tuple)):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(number, number) for number in range(value)]
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"{node.pipe.place}: range can't iterate over {templatefuncs.shown(value)}")
        if not pairs:
            self.block(node.otherwise, dot)
        for key, item in pairs:
            names = node.pipe.names
            self.variables += zip(names, (key, item) if len(names) == 2 else (item,), strict=False)
            try:
                self.block(node.body, item)
            except _Stop as stop:
                if str(stop) == "break":
                    break
            finally:
                del self.variables[depth:]

    def pipe(self, pipe: Pipe, dot: "Any", *, assign: bool = True) -> "Any":
        value: Any = None
        for position, command in enumerate(pipe.commands):
            value = self._command(command, dot, [value] if position else [], pipe)
        if assign and pipe.names:
            if pipe.declares:
                self.variables.append((pipe.names[0], value))
            else:
                self._assign(pipe.names[0], value)
        return value

    def _assign(self, name: str, value: "Any") -> None:
        for position in range(len(self.variables) - 1, -1, -1):
            if self.variables[position][0] == name:
                self.variables[position] = (name, value)
                return
        raise TemplateError(f"undefined variable: {name}")

    def _command(self, words: "list[Any]", dot: "Any", last: "list[Any]", pipe: Pipe) -> "Any":
        first = words[0]
        if first[0] == "name":
            return self._function(first[1], words[1:], dot, last, pipe)
        args = [self._value(word, dot, pipe) for word in words[1:]] + last
        if first[0] in ("field", "variable", "chain") and args:
            return self._path(first, dot, pipe, args)
        if args:
            raise TemplateError(f"{pipe.place}: can't give argument to non-function {first[2]}")
        if first[0] == "nil":
            raise TemplateError(f"{pipe.place}: nil is not a command")
        return self._value(first, dot, pipe)

    def _function(self, name: str, words: "list[Any]", dot: "Any", last: "list[Any]", pipe: Pipe) -> "Any":
        if name in ("and", "or"):
            return self._shortcut(name, words, dot, last, pipe)
        args = [self._value(word, dot, pipe) for word in words] + last
        try:
            return self.functions[name](*args)
        except TemplateError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            reason = str(error.args[0]) if error.args else type(error).__name__
            raise TemplateError(f"{pipe.place}: error calling {name}: {reason}") from None

    def _shortcut(self, name: str, words: "list[Any]", dot: "Any", last: "list[Any]", pipe: Pipe) -> "Any":
        value: Any = None
        for word in words:
            value = self._value(word, dot, pipe)
            if templatefuncs.truth(value) == (name == "or"):
                return value
        return last[0] if last else value

    def _value(self, word: "Any", dot: "Any", pipe: Pipe) -> "Any":
        kind = word[0]
        if kind == "literal":
            return word[1]
        if kind == "dot":
            return dot
        if kind == "nil":
            return None
        if kind == "pipe":
            return self.pipe(word[1], dot)
        if kind == "name":
            return self._function(word[1], [], dot, [], pipe)
        return self._path(word, dot, pipe, [])

    def _path(self, word: "Any", dot: "Any", pipe: Pipe, args: "list[Any]") -> "Any":
        kind, start, text, names = word
        if kind == "field":
            value = dot
        elif kind == "chain":
            value = self.pipe(start, dot)
        else:
            value = self._variable(start)
        for position, name in enumerate(names):
            value = _field(value, name, args if position == len(names) - 1 else [], pipe, text)
        return value

    def _variable(self, name: str) -> "Any":
        for known, value in reversed(self.variables):
            if known == name:
                return value
        raise TemplateError(f"undefined variable: {name}")


def _field(value: "Any", name: str, args: "list[Any]", pipe: Pipe, text: str) -> "Any":
    if isinstance(value, Fields):
        if name not in value.getters:
            raise TemplateError(f"{pipe.at(text)}: can't evaluate field {name} in type {value.kind}")
        found = value.get(name, *args)
        return templatefuncs.NIL if found is None else found
    if args:
        raise TemplateError(f"{pipe.at(text)}: {name} has arguments but cannot be invoked as function")
    if isinstance(value, dict):
        found = name if name in value else _OTHER_NAMES.get(name, name)
        if found not in value:
            raise TemplateError(f'{pipe.at(text)}: map has no entry for key "{name}"')
        return value[found] if value[found] is not None else _EMPTY.get(found)
    if value is None:
        raise TemplateError(f"{pipe.at(text)}: nil pointer evaluating interface {{}}.{name}")
    raise TemplateError(f"{pipe.at(text)}: can't evaluate field {name} in type {templatefuncs.go_type(value)}")


# Docker's client reads documents into structs, where a field may be called otherwise than in JSON ...
_OTHER_NAMES = {"ID": "Id", "IPAddress": "IPAddress", "HostIP": "HostIp", "APIVersion": "ApiVersion", "OS": "Os"}
# ... and where null is an empty map or list of its type
_EMPTY: "dict[str, Any]" = {
    **{name: {} for name in ("Volumes", "Labels", "ExposedPorts", "PortBindings", "Ports", "Networks", "Options", "Tmpfs")},
    **{name: [] for name in ("Env", "Cmd", "Entrypoint", "Binds", "Args", "Mounts", "RepoTags", "RepoDigests")},
    **{name: [] for name in ("CapAdd", "CapDrop", "Devices", "SecurityOpt", "ExtraHosts", "Dns", "Ulimits")},
}
