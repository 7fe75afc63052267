"""schema.md: the tables of boxship.db, from the comments of the SQL files that make them."""

import pathlib
import re
from dataclasses import dataclass, field

from refpages.text import code, document, table

_COLUMN = re.compile(r"^ {4}([a-z_]+) +([A-Z]+)(.*?),?\s*(?:-- (.*))?$")
_RULE = re.compile(r"^ {4}((?:PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK).*?),?\s*(?:-- (.*))?$")
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+) \((.*)\);")
_TRIGGER = re.compile(r"^CREATE TRIGGER (\w+) (.*) ON (\w+)")
_INTRO = """
One SQLite file, `boxship.db` in the store, opened by every command; only modules of `boxship.state` speak SQL. The tables below are
made from the files in `src/boxship/state/schema`, which are the place to read and to change."""


@dataclass
class _Table:
    name: str
    about: list[str]
    columns: list[tuple[str, str, str, str]] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


def page(folder: pathlib.Path) -> str:
    parts = []
    for path in sorted(folder.glob("*.sql"), key=lambda one: (one.stem != "core", one.stem)):
        about, tables = _read(path.read_text(encoding="utf-8"))
        parts.append(f"## {path.name}\n\n{about}")
        parts += [_section(one) for one in tables]
    return document("The database", _INTRO, *parts)


def _read(text: str) -> tuple[str, list[_Table]]:
    """The comment at the top of the file, and its tables. Raises ValueError for a line that it does not understand."""
    top, _, rest = text.partition("\n\n")
    about = " ".join(line.removeprefix("-- ") for line in top.splitlines())
    tables: list[_Table] = []
    comment: list[str] = []
    inside = trigger = False
    for line in rest.splitlines():
        if trigger:
            trigger = line != "END;"
        elif inside:
            inside = not line.startswith(")")
            if inside:
                _inside(tables[-1], line)
        elif line.startswith("-- "):
            comment.append(line.removeprefix("-- "))
        elif line.startswith("CREATE TABLE "):
            tables.append(_Table(line.split()[2], comment))
            comment, inside = [], True
        else:
            trigger = _outside(tables, line)
            comment = comment if not line else []
    return about, tables


def _inside(table_: _Table, line: str) -> None:
    rule, column = _RULE.match(line), _COLUMN.match(line)
    if rule:
        table_.rules.append(code(rule[1]) + (f": {rule[2]}" if rule[2] else ""))
    elif column:
        name, kind, more, comment = column.groups()
        table_.columns.append((code(name), kind, code(more.strip()), comment or ""))
    else:
        raise ValueError(f"a line of a table that is not understood: {line}")


def _outside(tables: list[_Table], line: str) -> bool:
    """An index or a trigger; whether a trigger begins, whose body runs up to END."""
    index, trigger = _INDEX.match(line), _TRIGGER.match(line)
    if index:
        tables[-1].rules.append(f"index {code(index[1])} on {code(index[3])}")
    elif trigger:
        tables[-1].rules.append(f"trigger {code(trigger[1])}, {trigger[2].lower()}")
    elif line:
        raise ValueError(f"a line that is not understood: {line}")
    return trigger is not None


def _section(one: _Table) -> str:
    parts = [f"### {one.name}", " ".join(one.about), table(("column", "type", "constraints", "meaning"), one.columns)]
    if one.rules:
        parts.append("\n".join(f"* {rule}" for rule in one.rules))
    return "\n\n".join(part for part in parts if part)
