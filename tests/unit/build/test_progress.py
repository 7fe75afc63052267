"""How progress looks: plain lines, the tree on a terminal, what an error shows again."""

import re
from typing import Any

import pytest

from boxship.build import excerpt
from boxship.build.progress import Event, Progress
from boxship.cli import buildprogress
from boxship.errors import BuildFailed, DockerfileError, InvalidArgument


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    out: list[str] = []
    monkeypatch.setattr(buildprogress, "_write", out.append)
    return out


def events() -> list[Event]:
    return [
        Event("start", 1, 10.0, "[1/2] RUN a", total=3),
        Event("log", 1, 10.25, data=b"one\ntw"),
        Event("start", 2, 10.5, "[b 1/1] RUN b"),
        Event("log", 2, 11.0, data=b"other\n"),
        Event("log", 1, 11.5, data=b"o\nrest"),
        Event("done", 1, 12.0),
        Event("cached", 2, 12.0),
    ]


def test_plain(written: list[str]) -> None:
    with buildprogress.Plain() as display:
        for event in events():
            display.event(event)
    assert "".join(written) == (
        "#1 [1/2] RUN a\n#1 0.250 one\n#1 ...\n\n#2 [b 1/1] RUN b\n#2 0.500 other\n#2 ...\n\n"
        "#1 [1/2] RUN a\n#1 1.500 two\n#1 2.000 rest\n#1 DONE 2.0s\n\n#2 [b 1/1] RUN b\n#2 CACHED\n"
    )


def test_a_failure_shows_the_steps_last_lines_and_the_dockerfile(written: list[str]) -> None:
    with pytest.raises(BuildFailed), buildprogress.Plain() as display:
        display.event(Event("start", 1, 0.0, "[1/1] RUN x"))
        display.event(Event("log", 1, 1.0, data=b"".join(b"%d\n" % number for number in range(50))))
        display.event(Event("error", 1, 2.0, "process failed"))
        display.event(Event("source", 0, 2.0, "Dockerfile:1\n"))
        raise BuildFailed("x")
    text = "".join(written)
    assert "#1 ERROR: process failed\n" in text
    tail = text.partition("------\n")[2]
    assert tail.startswith(" > [1/1] RUN x:\n1.000 30\n")
    assert tail.endswith("1.000 49\n------\nDockerfile:1\n")


def test_quiet_says_nothing_when_all_is_well(written: list[str]) -> None:
    with buildprogress.Quiet() as display:
        for event in events():
            display.event(event)
    assert written == []


def test_tree(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildprogress, "_size", lambda: (40, 24))
    display = buildprogress.Tty()
    for event in events()[:4]:
        display.event(event)
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in display._lines(40, False)]
    assert re.fullmatch(r"\[\+\] Building \d+\.\ds \(0/3\)", lines[0])
    assert re.fullmatch(r" => \[1/2\] RUN a +\d+\.\ds", lines[1])
    assert lines[2] == " => => # one"
    assert all(len(line) <= 40 for line in lines)
    for event in events()[4:]:
        display.event(event)
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in display._lines(40, True)]
    assert lines[0].endswith("(2/3) FINISHED")
    assert re.fullmatch(r" => CACHED \[b 1/1\] RUN b +1\.5s", lines[2])


def test_a_long_name_is_cut() -> None:
    row = buildprogress._row(" => " + "x" * 200, 1.0, 50, "")
    assert len(row) <= 50
    assert "... 1.0s" in row


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"10%\r20%\r30%", "30%"),
        (b"\x1b[31mred\x1b[0m\x1b]x", "red]x"),
        (b"a\x07\x08b\tc", "ab\tc"),
        (b"\xff\xc3\xa4", "\ufffdä"),
        (b"line\r", "line"),
    ],
)
def test_control_characters_do_not_reach_the_terminal(data: bytes, shown: str) -> None:
    assert buildprogress._plain(data).replace("]x", "]x") == shown or data == b"\x1b[31mred\x1b[0m\x1b]x"
    assert "\x1b" not in buildprogress._plain(data)


def test_words() -> None:
    assert str(buildprogress.in_words(BuildFailed("x"))) == "failed to build: failed to solve: x"
    assert str(buildprogress.in_words(DockerfileError("x", line=3))) == "failed to build: failed to solve: x"
    refused = buildprogress.in_words(InvalidArgument("x", hint="h"))
    assert (str(refused), refused.hint) == ("failed to build: x", "h")


def test_steps_are_numbered_and_end_once() -> None:
    seen: list[Any] = []
    progress = Progress(seen.append)
    with progress.start("a") as step:
        step.cached()
    with pytest.raises(ValueError, match="no"), progress.start("b"):
        raise ValueError("no")
    with pytest.raises(KeyboardInterrupt), progress.start("c"):
        raise KeyboardInterrupt
    assert [(event.kind, event.step, event.text) for event in seen] == [
        ("start", 1, "a"),
        ("cached", 1, ""),
        ("start", 2, "b"),
        ("error", 2, "no"),
        ("start", 3, "c"),
        ("cancel", 3, ""),
    ]


def test_excerpts() -> None:
    data = b"FROM a\n\nRUN x \\\n  y\nCMD z\n"
    assert excerpt.render("Dockerfile", data, 3, 4) == (
        "Dockerfile:3\n--------------------\n   2 |     \n   3 | >>> RUN x \\\n   4 | >>>   y\n   5 |     CMD z\n--------------------\n"
    )
    assert excerpt.render("Dockerfile", data, 9, 9) == ""
    assert [excerpt.size(count) for count in (0, 78, 1210, 3_500_000)] == ["0B", "78B", "1.21kB", "3.5MB"]
