"""What the writer of json-file logs leaves on disk."""

import json
import os
import pathlib
from typing import Any

import pytest

from boxship.engine.logdrivers import json_file
from tests.tables import rows

_NO_TEXT = "the writer makes no record without a text, a stream and a time"
_NO_ATTRIBUTES = "the writer knows no extra attributes"
_WHEN = "2026-01-02T03:04:05.123456789Z"


def _skips() -> dict[str, str]:
    return {"stream": _NO_TEXT, "time": _NO_TEXT, "nothing": _NO_TEXT, "attrs": _NO_ATTRIBUTES, "attrs-tag": _NO_ATTRIBUTES}


@pytest.mark.parametrize("case", rows("engine/json_log_line", **_skips()))
def test_table(case: dict[str, Any]) -> None:
    text = bytes.fromhex(case["log_hex"]) if "log_hex" in case else case["log"].encode()
    want = case["expect"]["prefix"]
    if "stream" not in case:
        want = want.replace(',"time":', ',"stream":"stdout","time":')
    found = json_file.frame(text, "stdout", _WHEN)
    want = f'{want}"{_WHEN}"}}\n'
    assert json.loads(found) == json.loads(want)
    if case["id"] != "bad-utf8":  # U+FFFD itself instead of its escape: it reads the same
        assert found == want


def records(path: pathlib.Path) -> list[tuple[str, str]]:
    found = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert all(list(record) == ["log", "stream", "time"] for record in found)
    return [(record["stream"], record["log"]) for record in found]


@pytest.mark.parametrize(
    "text",
    [
        b"one\n", b"one\ntwo\nthree\n", b"\n\n\n", b'q"uote\n', b"back\\slash\n", b"\\n\n", b"\\\n", b"a\\nb\nc\\\n", b"tab\tand\x00\x1b[0m\n",
        "ü 🚀 \u2028 \u2029\n".encode(), b'","stream":"stderr","time":"\n', b'"}\n{"log":"x\n', b"<a>&</a>\n", b"cr\r\n",
    ],
)  # fmt: skip
def test_every_text_comes_back(tmp_path: pathlib.Path, text: bytes) -> None:
    writer = json_file.Writer(str(tmp_path / "log"))
    writer.write(1, text)
    writer.close()
    found = records(tmp_path / "log")
    assert [log.encode() for _, log in found] == [line + b"\n" for line in text.split(b"\n")[:-1]]
    assert {stream for stream, _ in found} == {"stdout"}


def test_lines_in_pieces_and_two_streams(tmp_path: pathlib.Path) -> None:
    writer = json_file.Writer(str(tmp_path / "log"))
    for stream, data in ((1, b"a"), (2, b"x\ny"), (1, b"b\nc"), (2, b"\n"), (1, b"")):
        writer.write(stream, data)
    writer.close()
    assert records(tmp_path / "log") == [("stderr", "x\n"), ("stdout", "ab\n"), ("stderr", "y\n"), ("stdout", "c")]


def test_a_long_line_is_kept_in_parts(tmp_path: pathlib.Path) -> None:
    writer = json_file.Writer(str(tmp_path / "log"))
    for _ in range(5):
        writer.write(1, b"x" * 8000)
    writer.write(1, b"\n")
    writer.close()
    found = [log for _, log in records(tmp_path / "log")]
    assert [len(log) for log in found] == [16384, 16384, 40001 - 2 * 16384]
    assert "".join(found) == "x" * 40000 + "\n"


def test_rotation_keeps_the_newest(tmp_path: pathlib.Path) -> None:
    writer = json_file.Writer(str(tmp_path / "log"), max_size=1000, max_files=3)
    for number in range(200):
        writer.write(1, b"line %d\n" % number)
    writer.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert (tmp_path / "log.1").stat().st_size < 1200
    found = [log for name in ("log.2", "log.1", "log") for _, log in records(tmp_path / name)]
    assert found[-1] == "line 199\n"
    assert found == [f"line {number}\n" for number in range(200 - len(found), 200)]


def test_one_file_is_emptied(tmp_path: pathlib.Path) -> None:
    writer = json_file.Writer(str(tmp_path / "log"), max_size=500, max_files=1)
    for number in range(50):
        writer.write(1, b"line %d\n" % number)
    writer.close()
    assert os.listdir(tmp_path) == ["log"]
    assert (tmp_path / "log").stat().st_size < 600


def test_a_writer_goes_on_where_another_stopped(tmp_path: pathlib.Path) -> None:
    for text in (b"first\n", b"second\n"):
        writer = json_file.make(str(tmp_path / "log"), {"max-size": 1 << 20, "max-file": 2})
        writer.write(2, text)
        writer.close()
    assert records(tmp_path / "log") == [("stderr", "first\n"), ("stderr", "second\n")]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640
