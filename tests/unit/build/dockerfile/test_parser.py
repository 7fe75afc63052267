"""Text to instructions: the parse tree, lines, words, here-documents, directives."""

import pytest

from boxship.build.dockerfile import lexer
from boxship.build.dockerfile.ast import Heredoc, Instruction
from boxship.build.dockerfile.directives import detect_syntax, find_directive, read_directives
from boxship.build.dockerfile.heredoc import heredocs_of, parse_heredoc
from boxship.build.dockerfile.parser import parse
from boxship.build.dockerfile.stages import plan_stages
from boxship.build.dockerfile.text import quote
from boxship.errors import DockerfileError
from tests.tables import rows


def dump(instruction: Instruction) -> str:
    flags = f" [{' '.join(map(quote, instruction.flags))}]" if instruction.flags else ""
    if instruction.inner is not None:
        return f"({instruction.keyword.lower()}{flags} {dump(instruction.inner)})"
    return f"({instruction.keyword.lower()}{flags}{''.join(' ' + quote(word) for word in instruction.words)})"


@pytest.mark.parametrize("row", rows("dockerfile/parser_ast"))
def test_tree(row: dict) -> None:
    parsed = parse(row["dockerfile"])
    assert "".join(dump(instruction) + "\n" for instruction in parsed.instructions) == row["expect"]["ast"]


@pytest.mark.parametrize("row", rows("dockerfile/parser_reject"))
def test_refused(row: dict) -> None:
    with pytest.raises(DockerfileError) as caught:
        plan_stages(parse(row["dockerfile"]))
    assert row["expect"]["error"] in caught.value.message


# These files parse; the steps that fail need a build, so here the lines of their instructions are compared.
_FAILS_WHEN_PARSED = ("errorline:invalidenv", "errorline:invalidflag")


@pytest.mark.parametrize("row", rows("dockerfile/parser_lines"))
def test_lines(row: dict) -> None:
    want = row["expect"]["error_lines"]
    if row["id"] in _FAILS_WHEN_PARSED:
        with pytest.raises(DockerfileError) as caught:
            plan_stages(parse(row["dockerfile"]))
        assert [caught.value.line] == want
        return
    ranges = [(found.line, found.end_line) for found in parse(row["dockerfile"]).instructions]
    assert (want[0], want[-1]) in ranges


@pytest.mark.parametrize("row", rows("dockerfile/parser_words"))
def test_words(row: dict) -> None:
    assert lexer.split_words(row["input"], "\\") == row["expect"]["words"]


@pytest.mark.parametrize("row", rows("dockerfile/json_form"))
def test_json_form(row: dict) -> None:
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError):
            assert lexer.json_words(row["input"]) is not None, "an array of other things is refused, not shell form"
        return
    assert lexer.json_words(row["input"]) == row["expect"]["array"]


@pytest.mark.parametrize("row", rows("dockerfile/name_value"))
def test_name_value(row: dict) -> None:
    source = f"{row['keyword']} {row['input']}\n"
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError, match=row["expect"]["error"]):
            parse(source)
        return
    words = parse(source).instructions[0].words
    assert [list(words[at : at + 3]) for at in range(0, len(words), 3)] == row["expect"]["pairs"]


@pytest.mark.parametrize("row", rows("dockerfile/heredoc"))
def test_heredoc(row: dict) -> None:
    found = [
        [
            {"name": doc.name, "content": doc.content, "expand": doc.expand, "chomp": doc.chomp, "fd": doc.fd}
            for doc in instruction.heredocs
        ]
        for instruction in parse(row["dockerfile"]).instructions[1:]
    ]
    assert found == row["expect"]["heredocs"]


@pytest.mark.parametrize("row", rows("dockerfile/heredoc_words"))
def test_heredoc_words(row: dict) -> None:
    want = row["expect"]
    if "chomp_input" in row:
        assert Heredoc("EOF", row["chomp_input"], chomp=True).text == want["content"]
    elif "line" in row:
        assert [found.name for found in heredocs_of(row["line"])] == want["names"]
    elif "error" in want:
        with pytest.raises(DockerfileError):
            parse_heredoc(row["input"])
    else:
        found = parse_heredoc(row["input"])
        assert (found.name if found else None) == want["name"]


@pytest.mark.parametrize("row", rows("dockerfile/directives"))
def test_directives(row: dict) -> None:
    want = row["expect"]
    text = row["dockerfile"]
    if "directives" in want:
        assert [[found.name, found.value] for found in read_directives(text)] == want["directives"]
        return
    name = row["directive"]
    found = detect_syntax(text) if name == "syntax" else find_directive(name, text)
    assert (found.value.partition(" ")[0] if found else None) == want["value"]
    if found and "line_text" in want:
        assert found.value == want["line_text"]
    if found and "lines" in want:
        assert [found.line, found.line] == want["lines"]


def test_comments_blank_lines_and_heredocs_count() -> None:
    parsed = parse("# syntax=docker/dockerfile:1\n# why\n\nFROM a\nRUN one \\\n # no\n\n two\nCOPY <<X /\nx\nX\n")
    first, run, copy = parsed.instructions
    assert (first.line, first.end_line, first.comments) == (4, 4, ("why",))
    assert (run.line, run.end_line, run.words) == (5, 8, ("one  two",))
    assert (copy.line, copy.end_line) == (9, 11)
    assert parsed.directive("syntax") == "docker/dockerfile:1"
    assert [(found.code, found.line) for found in parsed.warnings] == [("NoEmptyContinuation", 8)]


def test_byte_order_mark_and_carriage_returns() -> None:
    parsed = parse(b"\xef\xbb\xbfFROM a\r\nRUN <<E\r\nx\r\nE\r\nUSER u\r\n")
    assert [found.words for found in parsed.instructions] == [("a",), ("<<E",), ("u",)]
    assert parsed.instructions[1].heredocs[0].content == "x\r\n"


def test_onbuild_carries_its_heredoc() -> None:
    outer = parse("FROM a\nONBUILD RUN <<E cat\nx\nE\n").instructions[1]
    assert outer.inner is not None
    assert (outer.inner.name, outer.inner.line, outer.inner.end_line) == ("RUN", 2, 4)
    assert outer.inner.heredocs == outer.heredocs == (Heredoc("E", "x\n"),)


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("# escape=x\nFROM a\n", 1, "invalid escape token 'x'"),
        ("# escape=`\n# escape=`\nFROM a\n", 2, "only one escape parser directive can be used"),
        ("FROM a\nRUN <<E\nx\n", 2, "unterminated heredoc"),
        ("FROM a\nRUN <<'E\nE\n", 3, ""),
        ("FROM a\nRUN " + "x" * 65536, 2, "dockerfile line greater than max allowed size of 65535"),
        ("FROM a\nRUN " + "ö" * 40000 + "\n", 2, "dockerfile line greater than max allowed size of 65535"),
        (b"FROM a\nRUN caf\xe9\n", 2, "not valid utf-8"),
        (b"FROM a\nCOPY <<E /\nok\ncaf\xe9\nE\n", 3, "not valid utf-8"),
        ("FROM a\nCMD [1]\n", 2, "arrays must be comprised of strings only"),
        ("FROM a\n" + "ONBUILD " * 5000 + "\n", 2, "Chaining ONBUILD"),
    ],
)
def test_mistakes_know_their_line(source: str | bytes, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        plan_stages(parse(source))
    assert caught.value.line == line
    assert message in caught.value.message


def test_limits_hold() -> None:
    assert len(parse("RUN " + "x" * 65531 + "\n").instructions[0].words[0]) == 65531
    with pytest.raises(DockerfileError, match="dockerfile larger than"):
        parse(b"#" * (lexer.MAX_SIZE + 1))


def test_json_too_deep_to_read_is_shell_form() -> None:
    nested = "[" * 30000 + "]" * 30000
    command = parse("CMD " + nested).instructions[0]
    assert (command.json, command.words) == (False, (nested,))


def test_a_comment_need_not_be_utf8() -> None:
    assert parse(b"# caf\xe9\nFROM a\n").instructions[0].comments == ("caf?",)
