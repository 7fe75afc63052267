"""Command lines, read as Docker's client reads them (the rules of Go's pflag). Hot path: imports errors only.

A command declares what it takes:

    COMMAND = Command("[OPTIONS] CONTAINER [CONTAINER...]", FLAGS, least=1)
    FLAGS = (
        # name, short, kind, default, help, mark
        ("force", "f", BOOL, False, "Force the removal of a running container (uses SIGKILL)"),
        ("gpus", "", STRING, "", "GPU devices to add to the container", LATER),
        ("net", "", STRING, "", "", "network"),
    )

The mark is empty, or LATER (a flag of Docker's that is refused by its name), or HIDDEN (not in --help), or the name of
the flag for which this one is another, hidden spelling.

A kind is (label in --help, how often, reader). The readers stand in `boxship.cli.values`, which is imported by the first
flag that needs one: a command line pays only for what it says.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from boxship.engine.store import Store

    Kind = tuple[str, int, str]
    Row = tuple[Any, ...]

ONE, MANY, SWITCH, MAP = range(4)

BOOL: "Kind" = ("", SWITCH, "boolean")
STRING: "Kind" = ("string", ONE, "")
LIST: "Kind" = ("list", MANY, "")
STRINGS: "Kind" = ("strings", MANY, "")
FILTER: "Kind" = ("filter", MANY, "filter_term")
INT: "Kind" = ("int", ONE, "integer")
BYTES: "Kind" = ("bytes", ONE, "size")
DURATION: "Kind" = ("duration", ONE, "duration")
KEYS: "Kind" = ("map", MAP, "")

LATER = "later"
HIDDEN = "hidden"


class UsageError(InvalidArgument):
    """A command line that can't be read: the message, the usage line, exit 125."""


class CountError(UsageError):
    """Too few or too many arguments: exit 1. `more` tells that any number would do from some number on."""

    def __init__(self, message: str, *, more: bool = False) -> None:
        super().__init__(message)
        self.more = more


class ClientError(InvalidArgument):
    """Refused by the command itself, before the engine is asked."""


class HelpWanted(Exception):
    """--help stood on the command line."""


class Command:
    """What a command takes. `usage` follows its name; `least` and `most` count its arguments (None: any number).

    `interspersed=False`: flags end at the first argument, as for run, create and exec. `failure` is the exit code when
    the engine refuses; `framed` puts the program's name before and a pointer to --help after what it says, as run does.
    """

    __slots__ = ("failure", "flags", "framed", "interspersed", "least", "most", "usage")

    def __init__(
        self,
        usage: str,
        flags: "tuple[Row, ...]" = (),
        *,
        least: int = 0,
        most: int | None = None,
        interspersed: bool = True,
        failure: int = 1,
        framed: bool = False,
    ) -> None:
        self.usage = usage
        self.flags = flags
        self.least = least
        self.most = most
        self.interspersed = interspersed
        self.failure = failure
        self.framed = framed


class Call:
    """One command line that was read: `call["name"]` is a flag's value, `call.args` what is no flag.

    `program` and `name` are how the user called it ("docker", "container ls"); `given` names the flags that stood there.
    """

    __slots__ = ("args", "given", "name", "program", "root", "values")

    def __init__(
        self,
        program: str,
        name: str,
        values: "dict[str, Any]",
        given: "set[str]",
        args: "list[str]",
        root: "str | None" = None,
    ) -> None:
        self.program = program
        self.name = name
        self.values = values
        self.given = given
        self.args = args
        self.root = root

    def __getitem__(self, flag: str) -> "Any":
        return self.values[flag]

    def store(self) -> "Store":
        """The store of --root, BOXSHIP_ROOT or the system."""
        from boxship.engine.store import open_store

        return open_store(self.root)


def read(command: Command, argv: "Sequence[str]") -> "tuple[dict[str, Any], set[str], list[str]]":
    """Values by flag name, the names given, and the arguments.

    Raises UsageError in pflag's words, HelpWanted once all flags were understood.
    """
    return _Reader(command).read(argv)


def check_count(command: Command, path: str, count: int) -> None:
    """Raise CountError when a command can't take `count` arguments. `path` is "docker rm"."""
    least, most = command.least, command.most
    if count >= least and (most is None or count <= most):
        return
    if most == 0:
        raise CountError(f"'{path}' accepts no arguments")
    if least == most:
        raise CountError(f"'{path}' requires {least} {_arguments(least)}")
    if count < least:
        raise CountError(f"'{path}' requires at least {least} {_arguments(least)}", more=True)
    raise CountError(f"'{path}' requires at most {most} {_arguments(most or 0)}")


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"


class _Reader:
    __slots__ = ("given", "interspersed", "long", "short", "values", "wanted")

    def __init__(self, command: Command) -> None:
        self.interspersed = command.interspersed
        self.long = {row[0]: row for row in command.flags}
        self.short = {row[1]: row for row in command.flags if row[1]}
        self.values = {row[0]: _start(row) for row in command.flags}
        self.given: set[str] = set()
        self.wanted = False

    def read(self, argv: "Sequence[str]") -> "tuple[dict[str, Any], set[str], list[str]]":
        words = list(argv)
        words.reverse()
        args: list[str] = []
        while words:
            word = words.pop()
            if word == "--":
                args.extend(reversed(words))
                break
            if word[:1] != "-" or word == "-":
                args.append(word)
                if not self.interspersed:
                    args.extend(reversed(words))
                    break
            elif word[1] == "-":
                self._long(word, words)
            else:
                self._short(word[1:], words)
        if self.wanted:
            raise HelpWanted
        return self.values, self.given, args

    def _long(self, word: str, words: "list[str]") -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name[0] == "-":
            raise UsageError(f"bad flag syntax: {word}")
        row = self.long.get(name)
        if row is None:
            if name == "help":
                self.wanted = not equals or bool(_convert("boolean", value))
                return
            raise UsageError(f"unknown flag: --{name}")
        if not equals:
            if row[2][1] == SWITCH:
                value = "true"
            elif words:
                value = words.pop()
            else:
                raise UsageError(f"flag needs an argument: --{name}")
        self._set(row, value)

    def _short(self, letters: str, words: "list[str]") -> None:
        while letters:
            row = self.short.get(letters[0])
            if row is None:
                if letters[0] == "h":
                    self.wanted = True
                    return
                raise UsageError(f"unknown shorthand flag: '{letters[0]}' in -{letters}")
            rest = letters[1:]
            if len(rest) > 1 and rest[0] == "=":
                value, rest = rest[1:], ""
            elif row[2][1] == SWITCH:
                value = "true"
            elif rest:
                value, rest = rest, ""
            elif words:
                value = words.pop()
            else:
                raise UsageError(f"flag needs an argument: '{letters[0]}' in -{letters}")
            self._set(row, value)
            letters = rest

    def _set(self, row: "Row", text: str) -> None:
        mark = row[5] if len(row) > 5 else ""
        if mark == LATER:
            raise UsageError(f"--{row[0]} is not supported yet", hint="leave it out")
        if mark and mark != HIDDEN:
            row = self.long[mark]
        name, short, (_, often, reader) = row[0], row[1], row[2]
        value: Any = text
        if reader:
            try:
                value = True if reader == "boolean" and text == "true" else _convert(reader, text)
            except ValueError as error:
                shown = f"-{short}, --{name}" if short else f"--{name}"
                raise UsageError(f'invalid argument {quoted(text)} for "{shown}" flag: {error}') from None
        if often == MANY:
            self.values[name].append(value)
        elif often == MAP:
            key, _, rest = value.partition("=")
            self.values[name][key] = rest
        else:
            self.values[name] = value
        self.given.add(name)


def _start(row: "Row") -> "Any":
    often = row[2][1]
    return [] if often == MANY else {} if often == MAP else row[3]


def _convert(reader: str, text: str) -> "Any":
    from boxship.cli import values

    return getattr(values, reader)(text)


def quoted(text: str) -> str:
    """Go's %q for what stands on command lines."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
