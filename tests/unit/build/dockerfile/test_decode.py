"""Instructions to commands."""

import pytest

from boxship.build.dockerfile import commands as c
from boxship.build.dockerfile.decode import decode, decode_trigger
from boxship.build.dockerfile.flags import parse_flags
from boxship.build.dockerfile.parser import NAMES, parse
from boxship.build.dockerfile.values import csv_fields, device, duration
from boxship.build.record import replace
from boxship.errors import DockerfileError
from tests.tables import rows


def one(source: str) -> c.Command:
    return decode(parse(source).instructions[0])


@pytest.mark.parametrize("row", rows("dockerfile/instruction_errors"))
def test_errors(row: dict) -> None:
    if row["expect"].get("ok"):
        assert one(row["dockerfile"])
        return
    with pytest.raises(DockerfileError) as caught:
        one(row["dockerfile"])
    assert row["expect"]["error"] in caught.value.message
    assert caught.value.line == 1


@pytest.mark.parametrize("row", rows("dockerfile/instruction_fields"))
def test_fields(row: dict) -> None:
    want = row["expect"]
    if "words" in row:
        keyword = parse("CMD x").instructions[0]
        command = decode(replace(keyword, words=tuple(row["words"]), json=row["json_form"]))
        assert isinstance(command, c.Cmd)
        assert list(command.command) == want["command"]
        return
    command = one(row["dockerfile"])
    seen: dict = {}
    if isinstance(command, c.Transfer):
        inline = [{"path": file.path, "data": file.data, "expand": file.expand} for file in command.inline]
        seen = {"dest": command.dest, "sources": list(command.sources), "inline": inline}
    elif isinstance(command, c.Run):
        files = [{"name": doc.name, "data": doc.content, "chomp": doc.chomp} for doc in command.heredocs]
        seen = {
            "shell_form": command.shell, "command": list(command.command), "files": files,
            "flags_used": list(command.flags_used),
        }  # fmt: skip
    elif isinstance(command, c.Healthcheck):
        seen = {"healthcheck_test": list(command.test)}
    assert {key: seen[key] for key in want} == want


@pytest.mark.parametrize("row", rows("dockerfile/instruction_flags"))
def test_flags(row: dict) -> None:
    want = row["expect"]
    if "error" in want:
        with pytest.raises(DockerfileError):
            parse_flags(row["argv"], row["declared"])
        return
    flags = parse_flags(row["argv"], row["declared"])
    if "used" in want:
        assert list(flags.used) == want["used"]
    for name, value in want.get("values", {}).items():
        assert flags.values[name] == value


@pytest.mark.parametrize("row", rows("dockerfile/run_device"))
def test_device(row: dict) -> None:
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError, match=row["expect"]["error"]):
            device(row["input"])
        return
    assert device(row["input"]) == c.Device(**row["expect"])


def test_every_instruction_has_a_decoder() -> None:
    from boxship.build.dockerfile.decode import _DECODERS

    assert set(_DECODERS) == set(NAMES)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("FORM a", "unknown instruction: FORM (did you mean FROM?)"),
        ("copi a b", "unknown instruction: copi (did you mean copy?)"),
        ("BLARGH a", "unknown instruction: BLARGH"),
        ("COPY --parent a b", "unknown flag: --parent (did you mean parents?)"),
        ("COPY --from=a --from=b x y", "duplicate flag specified: --from"),
        ("COPY --link=maybe x y", "expecting boolean value for flag --link, not: maybe"),
        ("COPY --link= x y", "missing a value on flag: --link"),
        ("COPY --from x y", "missing a value on flag: --from"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", 'invalid name for build stage: "1x", name can\'t start with a number or contain symbols'),
        ("RUN --network=lan x", 'invalid network mode "lan"'),
        ("RUN --security=none x", 'security "none" is not valid'),
        ("RUN --mount=type=bind,from=$x y", "'from' doesn't support variable expansion"),
        ('RUN --mount=\\"a x', "failed to parse csv mounts"),
        ("SHELL /bin/sh -c", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK TCP 1", 'Unknown type "TCP" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD x", "invalid value for --retries"),
        ("HEALTHCHECK --timeout=5 CMD x", "invalid duration"),
        ('VOLUME ["a", " "]', "VOLUME specified can not be an empty string"),
        ("ARG =x", "ARG names can not be blank"),
        ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ],
)
def test_sentences(source: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        one(source)
    assert message in caught.value.message
    assert caught.value.line == 1


def test_copy_and_add_take_all_their_flags() -> None:
    copy = one("COPY --from=b --chown=1:2 --chmod=755 --link --exclude=*.a --exclude=c --parents x y z/")
    assert isinstance(copy, c.Copy)
    assert (copy.from_, copy.chown, copy.chmod, copy.link, copy.exclude, copy.parents) == (
        "b", "1:2", "755", True, ("*.a", "c"), True,
    )  # fmt: skip
    assert (copy.sources, copy.dest) == (("x", "y"), "z/")
    add = one("ADD --checksum=sha256:ab --keep-git-dir=false --unpack x y")
    assert isinstance(add, c.Add)
    assert (add.checksum, add.keep_git_dir, add.unpack, add.link) == ("sha256:ab", False, True, False)
    plain = one("ADD x y")
    assert isinstance(plain, c.Add)
    assert (plain.keep_git_dir, plain.unpack) == (None, None)


def test_run_keeps_what_it_was_given() -> None:
    run = one("RUN --mount=type=cache,target=/c --network=none --security=insecure --device=v/c=x,required <<-E\n\tls\nE")
    assert isinstance(run, c.Run)
    assert (run.command, run.shell, run.mounts, run.network) == (("<<-E",), True, ("type=cache,target=/c",), "none")
    assert (run.security, run.devices) == ("insecure", (c.Device("v/c=x", True),))
    assert run.heredocs[0].text == "ls\n"
    assert run.flags_used == ("device", "mount", "network", "security")


def test_healthcheck_becomes_docker_s_document() -> None:
    check = one('HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0s --retries=3 CMD ["a", "b"]')
    assert isinstance(check, c.Healthcheck)
    assert check.config() == {"Test": ["CMD", "a", "b"], "Interval": 90 * 10**9, "Timeout": 15 * 10**8, "Retries": 3}
    none = one("HEALTHCHECK none")
    assert isinstance(none, c.Healthcheck)
    assert none.config() == {"Test": ["NONE"]}


def test_onbuild_goes_there_and_back() -> None:
    command = one("onbuild  copy <<E <<F /d\nx\nE\ny\nF\n")
    assert isinstance(command, c.Onbuild)
    assert command.expression == "copy <<E <<F /d\nx\nE\ny\nF"
    trigger = decode_trigger(command.expression, 7)
    assert isinstance(trigger, c.Copy)
    assert ([file.data for file in trigger.inline], trigger.line) == (["x\n", "y\n"], 7)
    with pytest.raises(DockerfileError, match="single expression"):
        decode_trigger("RUN a\nRUN b", 7)
    with pytest.raises(DockerfileError, match="unknown instruction: RNU") as caught:
        decode_trigger("RNU a", 7)
    assert caught.value.line == 7


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("0", 0), ("5s", 5 * 10**9), ("1h2m3s", 3723 * 10**9), ("1.5ms", 1500000), (".5us", 500), ("-2ns", -2), ("+1m", 6 * 10**10)],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", ".s", "1x", "1s5", "-", "9999999999999h", "1 s", "1mm"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(DockerfileError, match="invalid duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [("a,b", ["a", "b"]), ("", [""]), ("a,", ["a", ""]), ('"a,b",c', ["a,b", "c"]), ('"a""b"', ['a"b']), ('""', [""])],
)
def test_comma_lists(text: str, fields: list[str]) -> None:
    assert csv_fields(text) == fields


@pytest.mark.parametrize("text", ['a"b', '"a', '"a"b', '"a""'])
def test_bad_comma_lists(text: str) -> None:
    with pytest.raises(DockerfileError, match="field"):
        csv_fields(text)
