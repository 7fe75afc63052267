"""The text of --help, laid out as Docker's client lays it out. Loaded when it is asked for, or when words are wrong."""

import os

from boxship.cli.flags import HIDDEN, INT, LATER, STRING, SWITCH, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxship.cli.flags import Row

_COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "version", "info")


def command_help(path: str, command: Command, summary: str, aliases: "list[str]") -> str:
    """Of one command. `path` is "docker container ls"; `aliases` are all its paths, this one too."""
    parts = [f"Usage:  {usage_line(path, command)}", summary]
    if len(aliases) > 1:
        parts.append("Aliases:\n  " + ", ".join(aliases))
    options = flag_block(command.flags, columns() - 1)
    if options:
        parts.append(f"Options:\n{options}")
    return "\n\n".join(parts) + "\n"


def usage_line(path: str, command: Command) -> str:
    return f"{path} {command.usage}".rstrip()


def group_help(program: str, group: str, summary: str, commands: "Iterable[tuple[str, str]]") -> str:
    return (
        f"Usage:  {program} {group} COMMAND\n\n{summary}\n\nCommands:\n{_listing(commands)}\n"
        f"\nRun '{program} {group} COMMAND --help' for more information on a command.\n"
    )


def program_help(program: str, flags: "tuple[Row, ...]", commands: "list[tuple[str, str]]", groups: "list[tuple[str, str]]") -> str:
    """Of the program itself."""
    by_name = dict(commands)
    common = [(name, by_name[name]) for name in _COMMON if name in by_name]
    others = sorted(pair for pair in commands if pair[0] not in _COMMON)
    return (
        f"Usage:  {program} [OPTIONS] COMMAND\n\nA container engine without a daemon\n"
        f"\nCommon Commands:\n{_listing(common)}\n\nManagement Commands:\n{_listing(groups)}\n"
        f"\nCommands:\n{_listing(others)}\n\nGlobal Options:\n{flag_block(flags, columns() - 1)}\n"
        f"\nRun '{program} COMMAND --help' for more information on a command.\n"
    )


def _listing(commands: "Iterable[tuple[str, str]]") -> str:
    return "\n".join(f"  {name:<11} {summary}" for name, summary in commands)


def columns() -> int:
    """The terminal's width, 80 when there is none."""
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def flag_block(flags: "tuple[Row, ...]", width: int) -> str:
    """Flags by name, two columns, the second one wrapped to `width`."""
    rows = [row for row in flags if len(row) < 6 or (row[5] == LATER and row[4])]
    if not rows and not any(len(row) > 5 and row[5] == HIDDEN for row in flags):
        return ""
    if any(row[1] == "h" for row in rows):
        rows.append(("help", "", ("", SWITCH, ""), False, "Print usage"))
    lines = [(_left(row), _text(row)) for row in sorted(rows)]
    indent = max(len(left) for left, _ in lines) + 3
    return "\n".join(f"{left:<{indent}}{_wrap(text, indent, width)}" for left, text in lines)


def _left(row: "Row") -> str:
    short = f"  -{row[1]}, " if row[1] else "      "
    return f"{short}--{row[0]} {row[2][0]}".rstrip()


def _text(row: "Row") -> str:
    default = row[3]
    text: str = row[4] + (" (not supported yet)" if len(row) > 5 and row[5] == LATER else "")
    if row[2] is STRING and default:
        return f'{text} (default "{default}")'
    if row[2] is INT and default:
        return f"{text} (default {default})"
    return text


def _wrap(text: str, indent: int, width: int) -> str:
    """Lines of at most width - indent, minus five that only a line's last word may use (pflag's rule)."""
    room = width - indent
    if room < 24:
        indent, room = 16, width - 16
        if room < 24:
            return text
        return "\n" + " " * indent + _wrap(text, indent, width)
    lines = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while rest:
            line, rest = _cut(rest, room - 5)
            lines.append(line)
    return ("\n" + " " * indent).join(lines)


def _cut(text: str, room: int) -> "tuple[str, str]":
    if room + 5 > len(text):
        return text, ""
    end = text.rfind(" ", 0, room)
    return (text, "") if end <= 0 else (text[:end], text[end + 1 :])


def nearest(word: str, names: "Iterable[str]") -> str:
    """The name that was probably meant: one slip away (two in a long word), or begun with what was typed; else ""."""
    best, best_distance = "", 3 if len(word) > 5 else 2
    for name in names:
        distance = 1 if len(word) > 1 and name.startswith(word) else edit_distance(word, name)
        if distance < best_distance and distance < len(word):
            best, best_distance = name, distance
    return best


def edit_distance(left: str, right: str) -> int:
    """Insertions, deletions and replacements between two words (Levenshtein)."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
