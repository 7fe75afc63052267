"""Environment and label lists: what --env-file, --label-file, -e and -l add up to. Hot path."""

import os


def read_environment(files: "list[str]", given: "list[str]") -> "list[str]":
    """--env-file in order, then -e; of two with one name the later one's value stands at the earlier one's place."""
    found: dict[str, str] = {}
    for path in files:
        for line in _lines(path, "env"):
            name, equals, _ = line.partition("=")
            if equals:
                found[name] = line
            elif name in os.environ:
                found[name] = f"{name}={os.environ[name]}"
    for text in given:
        found[text.partition("=")[0]] = text
    return list(found.values())


def read_labels(files: "list[str]", given: "list[str]") -> "dict[str, str]":
    """--label-file in order, then --label. A name alone has the empty value."""
    found: dict[str, str] = {}
    for path in files:
        for line in _lines(path, "label"):
            name, equals, value = line.partition("=")
            if equals:
                found[name] = value
            elif name in os.environ:
                found[name] = os.environ[name]
    for text in given:
        name, _, value = text.partition("=")
        found[name] = value
    return found


def _lines(path: str, what: str) -> "list[str]":
    """The NAME=value lines of a file; # starts a comment line. Docker's reader takes lines of up to 64 KiB."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except IsADirectoryError:
        raise ValueError(f"invalid {what} file ({path}): read {path}: is a directory") from None
    found = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if len(raw) >= 65536:
            raise ValueError(f"invalid {what} file ({path}): bufio.Scanner: token too long")
        try:
            line = raw.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            raise ValueError(f"invalid {what} file ({path}): line {number} is not valid UTF-8") from None
        if line and line[0] != "#":
            name = line.partition("=")[0]
            _check_name(name, line, f"invalid {what} file ({path})")
            found.append(line)
    return found


def _check_name(name: str, line: str, file: str) -> None:
    if not name:
        raise ValueError(f"{file}: no variable name on line '{line}'")
    if any(char.isspace() for char in name):
        raise ValueError(f"{file}: variable '{name}' contains whitespaces")
