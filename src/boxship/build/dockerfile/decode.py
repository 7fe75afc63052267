"""Instructions to commands: flags are read, words counted, forms checked, in the order and words of BuildKit."""

from __future__ import annotations

from boxship.build.dockerfile import commands as c
from boxship.build.dockerfile.ast import Instruction
from boxship.build.dockerfile.flags import Flags, Value, parse_flags
from boxship.build.dockerfile.heredoc import parse_heredoc
from boxship.build.dockerfile.lexer import ASCII_SPACE
from boxship.build.dockerfile.parser import NAMES, parse
from boxship.build.dockerfile.text import SPACE, located, quote, suggested
from boxship.build.dockerfile.values import csv_fields, device, duration
from boxship.build.record import replace
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STAGE_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz")
_STAGE_REST = _STAGE_FIRST | frozenset("0123456789-_.")
_MAX_RETRIES = (1 << 31) - 1
_MILLISECOND = 10**6
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")
_NO_FLAGS: Mapping[str, Value] = {}
_COPY_FLAGS: Mapping[str, Value] = {
    "chown": "", "from": "", "chmod": "", "link": False, "exclude": (), "parents": False,
}  # fmt: skip
_ADD_FLAGS: Mapping[str, Value] = {
    "chown": "", "chmod": "", "link": False, "keep-git-dir": False, "checksum": "", "unpack": False, "exclude": (),
}  # fmt: skip
_RUN_FLAGS: Mapping[str, Value] = {"mount": (), "network": "default", "security": "sandbox", "device": ()}
_HEALTH_FLAGS: Mapping[str, Value] = {
    "interval": "", "timeout": "", "start-period": "", "start-interval": "", "retries": "",
}  # fmt: skip


def decode(instruction: Instruction) -> c.Command:
    """The command of an instruction. Raises DockerfileError with its line."""
    with located(instruction.line, instruction.source):
        decoder = _DECODERS.get(instruction.name)
        if decoder is None:
            message = f"unknown instruction: {instruction.keyword}"
            raise DockerfileError(suggested(message, instruction.keyword, NAMES, fold=True))
        return decoder(instruction)


def decode_trigger(expression: str, line: int = 0, end_line: int = 0) -> c.Command:
    """The command of an ONBUILD trigger kept in an image; `line` and `end_line` are those of the FROM that pulls it."""
    with located(line, expression):
        found = parse(expression).instructions
        if len(found) != 1:
            raise DockerfileError("onbuild trigger should be a single expression")
        if found[0].name in ("FROM", "MAINTAINER", "ONBUILD"):
            raise DockerfileError(f"{found[0].name} isn't allowed as an ONBUILD trigger")
    return decode(replace(found[0], line=line, end_line=end_line or line))


def _exactly_one(instruction: Instruction) -> str:
    if len(instruction.words) != 1:
        raise DockerfileError(f"{instruction.name} requires exactly one argument")
    return instruction.words[0]


def _at_least_one(instruction: Instruction) -> tuple[str, ...]:
    if not instruction.words:
        raise DockerfileError(f"{instruction.name} requires at least one argument")
    return instruction.words


def _no_flags(instruction: Instruction) -> None:
    parse_flags(instruction.flags, _NO_FLAGS)


def _from(instruction: Instruction) -> c.From:
    words = instruction.words
    stage = ""
    if len(words) == 3 and words[1].lower() == "as":
        stage = words[2].lower()
        if stage[:1] not in _STAGE_FIRST or not _STAGE_REST.issuperset(stage):
            reason = "name can't start with a number or contain symbols"
            raise DockerfileError(f"invalid name for build stage: {quote(words[2])}, {reason}")
    elif len(words) != 1:
        raise DockerfileError("FROM requires either one or three arguments", hint="write FROM IMAGE or FROM IMAGE AS NAME")
    flags = parse_flags(instruction.flags, {"platform": ""})
    return c.From(instruction, words[0], stage, flags.text("platform"))


def _arg(instruction: Instruction) -> c.Arg:
    """Flags of ARG are not looked at: so it is in BuildKit."""
    pairs: list[c.ArgPair] = []
    for word in _at_least_one(instruction):
        name, separator, value = word.partition("=")
        if separator and not name:
            raise DockerfileError("ARG names can not be blank")
        pairs.append(c.ArgPair(name, value if separator else None))
    return c.Arg(instruction, tuple(pairs))


def _pairs(instruction: Instruction) -> tuple[c.Pair, ...]:
    _no_flags(instruction)
    words = _at_least_one(instruction)
    pairs = tuple(c.Pair(words[at], words[at + 1], not words[at + 2]) for at in range(0, len(words), 3))
    if any(not pair.name for pair in pairs):
        raise DockerfileError(f"{instruction.name} names can not be blank")
    return pairs


def _env(instruction: Instruction) -> c.Env:
    return c.Env(instruction, _pairs(instruction))


def _label(instruction: Instruction) -> c.Label:
    return c.Label(instruction, _pairs(instruction))


def _command_line(instruction: Instruction, words: tuple[str, ...]) -> tuple[str, ...]:
    """Exec form: the words; shell form: one text."""
    return words if instruction.json or not words else (" ".join(words),)


def _run(instruction: Instruction) -> c.Run:
    flags = parse_flags(instruction.flags, _RUN_FLAGS)
    for mount in flags.many("mount"):
        _check_mount(mount)
    network, security = flags.text("network"), flags.text("security")
    if network not in _NETWORKS:
        raise DockerfileError(f"invalid network mode {quote(network)}", hint=f"use {', '.join(_NETWORKS)}")
    if security not in _SECURITIES:
        raise DockerfileError(f"security {quote(security)} is not valid", hint=f"use {', '.join(_SECURITIES)}")
    return c.Run(
        instruction,
        _command_line(instruction, instruction.words),
        not instruction.json,
        instruction.heredocs,
        flags.many("mount"),
        network,
        security,
        tuple(device(value) for value in flags.many("device")),
        flags.used,
    )


def _check_mount(text: str) -> None:
    """What can be told before variables are known: the rest is for whoever mounts."""
    try:
        fields = csv_fields(text)
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse csv mounts: {error.message}") from None
    for field in fields:
        key, _, value = field.partition("=")
        if key.lower() == "from" and "$" in value[:-1]:
            raise DockerfileError("'from' doesn't support variable expansion, define alias stage instead")


def _cmd(instruction: Instruction) -> c.Cmd:
    _no_flags(instruction)
    line = _command_line(instruction, instruction.words)
    return c.Cmd(instruction, line, not instruction.json, instruction.heredocs)


def _entrypoint(instruction: Instruction) -> c.Entrypoint:
    _no_flags(instruction)
    line = _command_line(instruction, instruction.words)
    return c.Entrypoint(instruction, line, not instruction.json, instruction.heredocs)


def _transfer_parts(
    instruction: Instruction, declared: Mapping[str, Value]
) -> tuple[Flags, tuple[str, ...], str, tuple[c.InlineFile, ...]]:
    """The flags, the sources, the destination and the inline files of COPY and ADD."""
    name = instruction.name
    if len(instruction.words) < 2:
        reason = "only one was provided. Destination could not be determined"
        raise DockerfileError(f"{name} requires at least two arguments, but {reason}")
    flags = parse_flags(instruction.flags, declared)
    *words, dest = instruction.words
    if _heredoc_name(dest) is not None:
        raise DockerfileError(f"{name} cannot accept a heredoc as a destination")
    contents = {heredoc.name: heredoc for heredoc in instruction.heredocs}
    sources: list[str] = []
    inline: list[c.InlineFile] = []
    for word in words:
        path = _heredoc_name(word)
        if path is None:
            sources.append(word)
        elif path in contents:
            inline.append(c.InlineFile(path, contents[path].text, contents[path].expand))
        else:
            # Exec form: the word looks like a here-document, but none was read.
            inline.append(c.InlineFile(path, ""))
    return flags, tuple(sources), dest, tuple(inline)


def _heredoc_name(word: str) -> str | None:
    if "<<" not in word:
        return None
    try:
        heredoc = parse_heredoc(word)
    except DockerfileError:
        return None
    return heredoc.name if heredoc else None


def _copy(instruction: Instruction) -> c.Copy:
    flags, sources, dest, inline = _transfer_parts(instruction, _COPY_FLAGS)
    return c.Copy(
        instruction,
        sources,
        dest,
        inline,
        flags.text("chown"),
        flags.text("chmod"),
        flags.on("link"),
        flags.many("exclude"),
        flags.text("from"),
        flags.on("parents"),
    )


def _add(instruction: Instruction) -> c.Add:
    flags, sources, dest, inline = _transfer_parts(instruction, _ADD_FLAGS)
    return c.Add(
        instruction,
        sources,
        dest,
        inline,
        flags.text("chown"),
        flags.text("chmod"),
        flags.on("link"),
        flags.many("exclude"),
        flags.text("checksum"),
        flags.given("keep-git-dir"),
        flags.given("unpack"),
    )


def _workdir(instruction: Instruction) -> c.Workdir:
    path = _exactly_one(instruction)
    _no_flags(instruction)
    return c.Workdir(instruction, path)


def _user(instruction: Instruction) -> c.User:
    user = _exactly_one(instruction)
    _no_flags(instruction)
    return c.User(instruction, user)


def _maintainer(instruction: Instruction) -> c.Maintainer:
    maintainer = _exactly_one(instruction)
    _no_flags(instruction)
    return c.Maintainer(instruction, maintainer)


def _stop_signal(instruction: Instruction) -> c.StopSignal:
    """Flags of STOPSIGNAL are not looked at: so it is in BuildKit."""
    return c.StopSignal(instruction, _exactly_one(instruction))


def _expose(instruction: Instruction) -> c.Expose:
    ports = _at_least_one(instruction)
    _no_flags(instruction)
    return c.Expose(instruction, tuple(sorted(ports)))


def _volume(instruction: Instruction) -> c.Volume:
    words = _at_least_one(instruction)
    _no_flags(instruction)
    volumes = tuple(word.strip(SPACE) for word in words)
    if not all(volumes):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return c.Volume(instruction, volumes)


def _shell(instruction: Instruction) -> c.Shell:
    _no_flags(instruction)
    words = _at_least_one(instruction)
    if not instruction.json:
        raise DockerfileError("SHELL requires the arguments to be in JSON form", hint='write SHELL ["/bin/sh", "-c"]')
    return c.Shell(instruction, words)


def _onbuild(instruction: Instruction) -> c.Onbuild:
    words = _at_least_one(instruction)
    _no_flags(instruction)
    trigger = words[0].upper()
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    assert instruction.inner is not None  # there are words
    parts = [_behind_keyword(instruction.source)]
    parts += [heredoc.content + heredoc.name for heredoc in instruction.heredocs]
    return c.Onbuild(instruction, "\n".join(parts), instruction.inner)


def _behind_keyword(source: str) -> str:
    """The text behind the first ONBUILD."""
    start = source.upper().index("ONBUILD")
    return source[:start].rstrip(ASCII_SPACE) + source[start + len("ONBUILD") :].lstrip(ASCII_SPACE)


def _healthcheck(instruction: Instruction) -> c.Healthcheck:
    kind, *words = _at_least_one(instruction)
    kind = kind.upper()
    if kind == "NONE":
        if words:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return c.Healthcheck(instruction, ("NONE",))
    flags = parse_flags(instruction.flags, _HEALTH_FLAGS)
    if kind != "CMD":
        raise DockerfileError(f"Unknown type {quote(kind)} in HEALTHCHECK (try CMD)")
    line = _command_line(instruction, tuple(words))
    if not line:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    return c.Healthcheck(
        instruction,
        ("CMD" if instruction.json else "CMD-SHELL", *line),
        _interval(flags, "interval"),
        _interval(flags, "timeout"),
        _interval(flags, "start-period"),
        _interval(flags, "start-interval"),
        _retries(flags),
    )


def _interval(flags: Flags, name: str) -> int:
    """Nanoseconds; 0 when the flag is missing, empty, or zero."""
    text = flags.text(name)
    time = duration(text) if text else 0
    if time and time < _MILLISECOND:
        raise DockerfileError(f"Interval {quote(name)} cannot be less than 1ms")
    return time


def _retries(flags: Flags) -> int:
    text = flags.text("retries")
    if not text:
        return 0
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 12 or int(digits) > _MAX_RETRIES:
        raise DockerfileError(f"invalid value for --retries: {quote(text)}", hint="give a whole number")
    if int(text) < 0:
        raise DockerfileError(f"--retries cannot be negative ({int(text)})")
    return int(text)


_DECODERS: dict[str, Callable[[Instruction], c.Command]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
