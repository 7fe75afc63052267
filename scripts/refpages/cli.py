"""cli.md: every command, its usage, its flags, from the tables that the command line itself reads."""

import importlib
from typing import Any

from boxship.cli import catalog
from boxship.cli.flags import HIDDEN, LATER, MANY, MAP, SWITCH, Command
from boxship.cli.main import GLOBAL
from refpages.text import anchor, cell, code, codes, document, table

Row = tuple[Any, ...]

_INTRO = """
Type `boxship`, or make `docker` a link to it: both names take the same command lines. Flags are read by Docker's rules: short ones
combine (`-it`, `-p80:80`), `--flag value` and `--flag=value` are the same, and for `run`, `create` and `exec` they end at the first
word that is no flag. A flag of Docker's that Boxship does not have yet is refused by its name; it is never ignored. *Many* in the
column *times* means that the flag may stand more than once."""


def page() -> str:
    sections = [_section(module) for module in _ordered()]
    return document("Command line", _INTRO, _contents(), _global(), *sections, _not_yet())


def paths(module: str) -> list[str]:
    """Every way to call a command, the shortest first: "run", "container run"."""
    found = [word for word, target in catalog.COMMANDS.items() if target == module]
    for group, (_, commands, aliases) in catalog.GROUPS.items():
        words = [word for word in [*commands, *aliases] if commands.get(aliases.get(word, word)) == module]
        found += [f"{group} {word}" for word in words]
    if not found:
        raise LookupError(f"no command leads to the module {module}")
    return found


def _ordered() -> list[str]:
    """Commands by name, those of a group after those without one."""
    return sorted(catalog.SUMMARIES, key=lambda module: (" " in paths(module)[0], paths(module)[0]))


def _heading(module: str) -> str:
    return f"boxship {paths(module)[0]}"


def _contents() -> str:
    rows = [(f"[{_heading(one)}](#{anchor(_heading(one))})", catalog.SUMMARIES[one]) for one in _ordered()]
    return table(("command", "what it does"), rows)


def _section(module: str) -> str:
    command: Command = importlib.import_module(f"boxship.cli.commands.{module}").COMMAND
    first, *others = paths(module)
    parts = [f"## {_heading(module)}", f"{catalog.SUMMARIES[module]}.", f"    boxship {first} {command.usage}"]
    if others:
        parts.append("Also: " + codes(f"boxship {other}" for other in others))
    return "\n\n".join([*parts, *_flags(command.flags)])


def _global() -> str:
    text = "These stand before the command: `boxship --root ~/store ps`."
    return "\n\n".join(["## Global flags", text, *_flags(GLOBAL.flags)])


def mark(row: Row) -> str:
    return str(row[5]) if len(row) > 5 else ""


def _flags(rows: tuple[Row, ...]) -> list[str]:
    offered = sorted(row for row in rows if not mark(row))
    later = sorted(row[0] for row in rows if mark(row) == LATER)
    hidden = sorted((row[0], mark(row)) for row in rows if mark(row) not in ("", LATER))
    parts = []
    if offered:
        parts.append(table(("flag", "value", "times", "what it does"), [_row(row) for row in offered]))
    for name, target in hidden:
        parts.append(f"`--{name}` is accepted too" + (f", for `--{target}`." if target != HIDDEN else "."))
    if later:
        parts.append("Not supported yet: " + codes(f"--{name}" for name in later) + ".")
    return parts


def _row(row: Row) -> tuple[str, str, str, str]:
    name, short, (label, often, _), default, text = row[:5]
    flag = code(f"-{short}") + ", " + code(f"--{name}") if short else code(f"--{name}")
    many = often in (MANY, MAP)
    # some texts say it themselves, as Docker's do
    if default and not many and "default" not in text:
        text += f" (default {code(str(default).lower() if often == SWITCH else str(default))})"
    return flag, label, "many" if many else "", text


def _not_yet() -> str:
    words = "Commands of Docker's that are refused with the words *not supported yet*:"
    return f"## Not supported yet\n\n{words} {cell(codes(sorted(catalog.NOT_YET)))}."
