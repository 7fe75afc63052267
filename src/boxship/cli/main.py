"""The program: finds the command, reads its flags, calls it, and leaves. The hot path of every command.

A command is a module of `boxship.cli.commands`, found by `boxship.cli.catalog`: only the one typed is imported.
"""

import gc
import os
import sys

from boxship.cli.catalog import COMMANDS, GROUPS, NOT_YET, SUMMARIES
from boxship.cli.flags import BOOL, LATER, LIST, STRING, Call, Command, HelpWanted, UsageError, check_count, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

GLOBAL = Command(
    "[OPTIONS] COMMAND [ARG...]",
    (
        ("config", "", STRING, "", "Directory of Docker's client configuration (registry credentials)"),
        ("context", "c", STRING, "", "Name of the context to use", LATER),
        ("debug", "D", BOOL, False, "Show where an error comes from"),
        ("host", "H", LIST, (), "Daemon socket to connect to", LATER),
        ("log-level", "l", STRING, "", "Set the logging level", LATER),
        ("root", "", STRING, "", "Directory of the store (BOXSHIP_ROOT)"),
        ("tls", "", BOOL, False, "Use TLS", LATER),
        ("tlscacert", "", STRING, "", "Trust certificates of this CA only", LATER),
        ("tlscert", "", STRING, "", "Path of the TLS certificate", LATER),
        ("tlskey", "", STRING, "", "Path of the TLS key", LATER),
        ("tlsverify", "", BOOL, False, "Use TLS and verify the other side", LATER),
        ("version", "v", BOOL, False, "Print the version and leave"),
    ),
    interspersed=False,
)


_LONG = ("bootstrap", "build", "import_", "load", "logs", "pull", "push", "save")


def main() -> "NoReturn":
    """The entry point: never returns.

    os._exit: taking the interpreter down costs 3 ms, and would close a database that a child may still use.
    """
    program = os.path.basename(os.environ.pop("BOXSHIP_ARGV0", "") or sys.argv[0]) or "boxship"
    code = run(sys.argv[1:], program)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or 141
    except OSError as error:
        code = code or 1
        os.write(2, f"{program}: standard output: {error.strerror}\n".encode())
    os._exit(code)


def run(argv: "list[str]", program: str = "boxship") -> int:
    """One command line, without the program's name; its exit code. Errors are on standard error when it returns."""
    state = _State(program)
    try:
        return state.dispatch(argv)
    except HelpWanted:
        return 0
    except BaseException as error:  # the rim: every error becomes a line and an exit code
        from boxship.cli.failure import describe
        from boxship.cli.streams import err

        text, code = describe(error, program, state.name, state.command, state.debug)
        try:
            if text:
                err(text)
        except OSError:
            pass
        return code


class _State:
    """How far a command line has been understood."""

    __slots__ = ("command", "debug", "name", "program")

    def __init__(self, program: str) -> None:
        self.program = program
        self.name = ""
        self.command: Command | None = None
        self.debug = False

    def dispatch(self, argv: "list[str]") -> int:
        root = None
        if argv and argv[0][:1] == "-":
            values, argv = self._global(argv)
            if values["version"]:
                return self._version()
            root = values["root"] or None
        if not argv:
            return self._listing("", wanted=False)
        if argv[0] == "help":
            return self._help(argv[1:])
        name, module, argv = self._find(argv)
        return self._call(name, module, argv, root) if module else self._listing(name, wanted=bool(argv))

    def _global(self, argv: "list[str]") -> "tuple[dict[str, Any], list[str]]":
        try:
            values, _, rest = read(GLOBAL, argv)
        except HelpWanted:
            self._listing("", wanted=True)
            raise
        self.debug = bool(values["debug"])
        if values["config"]:
            os.environ["DOCKER_CONFIG"] = str(values["config"])
        return values, rest

    def _find(self, argv: "list[str]") -> "tuple[str, str, list[str]]":
        """(name, module, the rest). No module: the group's listing; the rest is then not empty when it was asked for."""
        word = argv[0]
        if word in COMMANDS:
            return word, COMMANDS[word], argv[1:]
        if word not in GROUPS:
            self._unknown(word, "", [*COMMANDS, *GROUPS])
        _, commands, aliases = GROUPS[word]
        if len(argv) == 1 or argv[1] in ("--help", "-h"):
            return word, "", argv[1:]
        second = aliases.get(argv[1], argv[1])
        if second not in commands:
            if second[:1] == "-":
                self.name, self.command = word, Command("COMMAND")
                raise UsageError(f"unknown flag: {second}")
            self._unknown(second, word, list(commands))
        return f"{word} {second}", commands[second], argv[2:]

    def _call(self, name: str, module: str, argv: "list[str]", root: "str | None") -> int:
        self.name = name
        code = _load(module)
        self.command = command = code.COMMAND
        try:
            values, given, args = read(command, argv)
        except HelpWanted:
            self._command_help(name, module, command)
            raise
        check_count(command, f"{self.program} {name}", len(args))
        result: int = code.main(Call(self.program, name, values, given, args, root))
        return result

    def _command_help(self, name: str, module: str, command: Command) -> None:
        from boxship.cli.help import command_help
        from boxship.cli.streams import out

        paths = [
            f"{self.program} {group} {word}"
            for group, (_, commands, aliases) in GROUPS.items()
            for word in [*commands, *aliases]
            if commands.get(aliases.get(word, word)) == module
        ]
        paths += [f"{self.program} {word}" for word, target in COMMANDS.items() if target == module]
        out(command_help(f"{self.program} {name}", command, SUMMARIES[module], paths))

    def _listing(self, group: str, *, wanted: bool) -> int:
        from boxship.cli import help as texts
        from boxship.cli.streams import err, out

        if group:
            summary, commands, _ = GROUPS[group]
            rows = [(name, SUMMARIES[module]) for name, module in sorted(commands.items())]
            text = texts.group_help(self.program, group, summary, rows)
        else:
            text = texts.program_help(
                self.program,
                GLOBAL.flags,
                [(name, SUMMARIES[module]) for name, module in COMMANDS.items()],
                [(name, summary) for name, (summary, _, _) in sorted(GROUPS.items())],
            )
        (out if wanted else err)(text)
        return 0

    def _help(self, words: "list[str]") -> int:
        if not words:
            return self._listing("", wanted=True)
        name, module, _ = self._find(words)
        if not module:
            return self._listing(name, wanted=True)
        self._command_help(name, module, _load(module).COMMAND)
        return 0

    def _unknown(self, word: str, group: str, names: "list[str]") -> "NoReturn":
        from boxship.cli.flags import ClientError
        from boxship.cli.help import nearest

        path = f"{self.program} {group} {word}".replace("  ", " ")
        where = f"{self.program} {group}".rstrip()
        more = f"Run '{where} --help' for more information"
        usage = f"Usage:  {where} COMMAND\n\n" if group else ""
        if not group and word in NOT_YET:
            raise ClientError(f"{self.program}: '{path}' is not supported yet\n\n{more}")
        meant = nearest(word, names)
        did = f"\nhint: did you mean '{where} {meant}'?" if meant else ""
        raise ClientError(f"{self.program}: unknown command: {path}{did}\n\n{usage}{more}")

    def _version(self) -> int:
        from boxship.cli.streams import out
        from boxship.version import __version__

        # "Docker version" first: scripts that ask a docker for its version cut it out after these words
        word = "Docker" if self.program == "docker" else "Boxship"
        out(f"{word} version {__version__}, build boxship\n")
        return 0


def _load(module: str) -> "ModuleType":
    name = f"boxship.cli.commands.{module}"
    __import__(name)
    if module in _LONG:
        # the launcher turned it off: the short commands end before there is anything to collect
        gc.enable()
    return sys.modules[name]
