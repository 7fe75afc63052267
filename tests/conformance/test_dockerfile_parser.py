"""The parser against BuildKit's own, which the PyPI package `dockerfile` binds: same files accepted, same instructions.

What differs on purpose, and how the comparison treats it:

* Flags: BuildKit takes their bytes for characters, so that letters beyond ASCII come out mangled. Ours are kept; the
  comparison mangles them. (Bytes 0x85 and 0xA0 count as blanks there, so letters that hold them are not generated.)
* The binding shows no here-documents of ONBUILD, nor the separators of ENV and LABEL.
* Text behind a JSON array (`CMD ["a"] b`): exec form without the text in the BuildKit of the binding, shell form since
  BuildKit 0.15 (moby/buildkit pull request 5107), which Docker 28 has. Such files are left out.
* `<< EOF` with a blank opens a here-document since BuildKit 0.23 (see the table heredoc.json). Such files are left out.
* Flags obey the escape directive since BuildKit 0.21; before, it was always the backslash. Files with flags and another
  escape are left out.
* The directive `check` came with BuildKit 0.15; the binding takes it for a comment. It is not generated.
* Here-documents: the binding joins `original` from more than the logical line; there only the first line is compared.
"""

import json
import random
import re

import pytest

from boxship.build.dockerfile.ast import Instruction
from boxship.build.dockerfile.parser import parse
from boxship.build.dockerfile.stages import link_stages, plan_stages, target_stage
from boxship.errors import DockerfileError
from tests.tables import rows

go = pytest.importorskip("dockerfile", reason="the PyPI package dockerfile is not installed")

FILES = 20_000
KEYWORDS = (
    "FROM", "RUN", "CMD", "ENTRYPOINT", "COPY", "ADD", "ENV", "LABEL", "ARG", "WORKDIR", "USER", "EXPOSE", "VOLUME", "SHELL",
    "STOPSIGNAL", "HEALTHCHECK", "HEALTHCHECK CMD", "ONBUILD", "ONBUILD RUN", "ONBUILD COPY", "onbuild env", "MAINTAINER",
    "run", "Copy", "env", "FOO", "",
)  # fmt: skip
PIECES = (
    "a", "b c", "name=value", "k=", "=v", "x y=z", "$A", "${B:-c}", "${B", "'q r'", '"q r"', "'", '"', "\\", "\\\\", "`", "\\ ",
    "--from=x", "--y", "--", "--z='a b'", '--w="', "--é=ö", '["a"', "<<EOF", "<<-EOF", "<<'EOF'", '<<"E"OF', "3<<EOF", "<< EOF", "<<<EOF", "<<EOF'", "<<E <<F", "<<", "<<EOF>x",
    "\t", "  ", "\v", "\f", "\u00e9", "\u2003", "#", "# c", "null", "/", ".", "CMD", "NONE", "as", "\r", "1.5", "{}",
)  # fmt: skip
JSON = (
    '["a", "b"]', "[]", "[1]", '["\\u00e9\\ud800"]', "[[]]", "[null]", '["<<EOF"]', '["a" , \t"b"]  ', '["a",]', "['a']", "[NaN]",
    '["\\x"]', '["\t"]', '["\\\\"]', "[1e999]", '["a"', '["\\uD83D\\uDE00", "é"]', "[ ]", '[""]', "[-0, 01]",
)  # fmt: skip
LINES = (
    "", " ", "# comment", "  # comment", "#", "EOF", "\tEOF", "E", "F", "EOF ", "text", "\ttext", "\\", "`", "a \\", "b `", "c \\ ",
    "# escape=`", "# syntax=x", "# escape = \\", "# escape=`", "FROM a", "RUN b",
)  # fmt: skip
HEADS = (
    "",
    "",
    "",
    "# escape=`\n",
    "# escape=\\\n",
    "#syntax=x\n# escape=`\n",
    "#!/bin/sh\n",
    "# ESCAPE=`\r\n",
    "\ufeff",
    "\n# escape=`\n",
)
ENDS = ("\n", "\n", "\n", "\n", "\r\n", "\\\n", " \\\n", "\\ \t\n", "`\n", "\\\r\n", "\\\\\n", "\n\n", "\n# c\n")


def generated(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        text = _file(dice)
        if not changed_since(text):
            texts.append(text)
    return texts


def _file(dice: random.Random) -> str:
    out = [dice.choice(HEADS)]
    for _ in range(dice.randint(1, 5)):
        if dice.random() < 0.3:
            out.append(dice.choice(LINES))
        else:
            blank = dice.choice((" ", " ", " ", "  ", "\t", ""))
            words = [dice.choice(JSON)] if dice.random() < 0.15 else dice.choices(PIECES, k=dice.randint(0, 5))
            out.append(dice.choice(KEYWORDS) + blank + blank.join(words))
        out.append(dice.choice(ENDS))
    text = "".join(out)
    return text[:-1] if dice.random() < 0.2 else text


_OTHER_ESCAPE = re.compile(r"escape\s*=\s*`", re.IGNORECASE)
_NEWER_HEREDOC = re.compile(r"<<-?[\\`]?[\t\r\n\f ]")


def changed_since(text: str) -> bool:
    """Whether the file holds one of the three things that BuildKit reads in another way by now."""
    if _NEWER_HEREDOC.search(text) or ("--" in text and _OTHER_ESCAPE.search(text)):
        return True
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\[", text):
        try:
            _, end = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        if text[end:].partition("\n")[0].strip():
            return True
    return False


def shown(instruction: Instruction) -> dict:
    """Our instruction in the words of the binding."""
    inner = instruction.inner
    return {
        "cmd": instruction.keyword or None,
        "sub_cmd": (inner.keyword or None) if inner else None,
        "json": inner.json if inner else instruction.json,
        "lines": (instruction.line, instruction.end_line),
        "flags": tuple(flag.encode().decode("latin-1") for flag in instruction.flags),
        "value": values(inner or instruction),
        "source": instruction.source,
        "heredocs": tuple((doc.name, doc.fd, doc.content) for doc in instruction.heredocs) if not inner else (),
    }


def values(instruction: Instruction) -> tuple[str, ...]:
    if instruction.inner is not None:
        return ("",)
    if instruction.name in ("ENV", "LABEL"):
        return tuple(word for at, word in enumerate(instruction.words) if at % 3 < 2)
    if instruction.name not in KNOWN:
        return ("",)
    return instruction.words


KNOWN = {keyword.upper().split()[0] for keyword in KEYWORDS if keyword and keyword != "FOO"}


def told(command: object, first_line: bool) -> dict:
    """The binding's command in the same form."""
    original = command.original or ""  # type: ignore[attr-defined]
    return {
        "cmd": command.cmd,  # type: ignore[attr-defined]
        "sub_cmd": command.sub_cmd,  # type: ignore[attr-defined]
        "json": command.json,  # type: ignore[attr-defined]
        "lines": (command.start_line, command.end_line),  # type: ignore[attr-defined]
        "flags": command.flags,  # type: ignore[attr-defined]
        "value": command.value,  # type: ignore[attr-defined]
        "source": original.split("\n")[0] if first_line else original,
        "heredocs": tuple((doc.name, doc.file_descriptor, doc.content) for doc in command.heredocs),  # type: ignore[attr-defined]
    }


def difference(text: str) -> str | None:
    """What the two parsers disagree on; None when they agree."""
    try:
        ours = [shown(instruction) for instruction in parse(text).instructions]
    except DockerfileError as error:
        ours = error  # type: ignore[assignment]
    try:
        commands = go.parse_string(text)
    except go.GoParseError as error:
        return None if isinstance(ours, DockerfileError) else f"accepted, BuildKit says: {error}"
    if isinstance(ours, DockerfileError):
        return f"refused, BuildKit accepts: {ours}"
    theirs = [told(command, bool(command.heredocs)) for command in commands]
    if len(ours) != len(theirs):
        return f"{len(ours)} instructions, BuildKit has {len(theirs)}"
    for our, their in zip(ours, theirs, strict=True):
        if our != their:
            keys = [key for key in our if our[key] != their[key]]
            return "; ".join(f"{key}: {our[key]!r}, BuildKit: {their[key]!r}" for key in keys)
    return None


def test_generated_files() -> None:
    texts = generated(FILES, seed=20250601)
    found = [(text, what) for text in texts if (what := difference(text)) is not None]
    accepted = sum(1 for text in texts if _accepts(text))
    assert FILES // 4 < accepted < FILES, "the corpus holds both sorts"
    assert not found, f"{len(found)} of {FILES} differ: {sorted(found, key=lambda pair: len(pair[0]))[:8]}"


def _accepts(text: str) -> bool:
    try:
        return bool(parse(text))
    except DockerfileError:
        return False


_OLDER_JSON = {"kaniko:cmd": "text behind a JSON array: another form since BuildKit 0.15"}


@pytest.mark.parametrize("row", rows("build/recorded", **_OLDER_JSON))
def test_recorded_files(row: dict) -> None:
    assert difference(row["dockerfile"]) is None


@pytest.mark.parametrize("row", rows("build/recorded"))
def test_what_buildkit_built_is_planned(row: dict) -> None:
    if "error" in row["expect"].get("buildkit", {"error": ""}):
        pytest.skip("BuildKit refused this file, or a step of it failed")
    parsed = parse(row["dockerfile"])
    meta, stages = plan_stages(parsed)
    args = {pair.name: pair.value or "" for arg in meta for pair in arg.pairs} | row.get("build_args", {})
    assert link_stages(stages, args, parsed.escape)
    assert target_stage(stages, row.get("target") or "")
