"""What counts for a cache key, and what does not."""

import os
from pathlib import Path

import pytest

from boxship.build import graph, keys
from boxship.build.context import Context, Stamps
from boxship.build.record import record
from tests.unit.build.test_plan_tables import made


def run_key(text: str, parent: str = "p", **args: str) -> str:
    vertex = made(f"FROM busybox\n{text}", build_args=args).vertices[-1]
    return keys.of(vertex.op, parent, {}).digest


def test_arguments_count_once_declared() -> None:
    assert run_key("RUN x", a="1") == run_key("RUN x", a="2")
    assert run_key("ARG a\nRUN x", a="1") != run_key("ARG a\nRUN x", a="2")
    assert run_key("RUN x\nARG a\n", a="1") == run_key("RUN x\nARG a\n", a="2")


def test_proxies_do_not_count_unless_declared() -> None:
    assert run_key("RUN x", http_proxy="1") == run_key("RUN x", http_proxy="2")
    assert run_key("ARG http_proxy\nRUN x", http_proxy="1") != run_key("ARG http_proxy\nRUN x", http_proxy="2")


def test_environment_user_and_directory_count_metadata_does_not() -> None:
    plain = run_key("RUN x")
    assert plain == run_key("LABEL a=b\nEXPOSE 1\nCMD y\nRUN x")
    others = [run_key("ENV a=b\nRUN x"), run_key("USER u\nRUN x"), run_key("SHELL [\"/s\"]\nRUN x"), run_key("RUN x", parent="q")]
    assert len({plain, *others}) == 5


def content(directory: Path) -> str:
    context = Context(str(directory), [], Stamps({}, lambda: 0))
    try:
        top = context.find("/")
        assert top is not None
        return keys.content(context, [("", top)], owners=False)
    finally:
        context.close()


def test_content_counts_times_do_not(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    first = content(tmp_path)
    os.utime(tmp_path / "d/f", (1, 1))
    os.utime(tmp_path / "d", (1, 1))
    assert content(tmp_path) == first
    seen = {first}
    (tmp_path / "d/f").write_text("y")
    seen.add(content(tmp_path))
    (tmp_path / "d/f").chmod(0o600)
    seen.add(content(tmp_path))
    (tmp_path / "d/f").rename(tmp_path / "d/g")
    seen.add(content(tmp_path))
    (tmp_path / "l").unlink()
    (tmp_path / "l").symlink_to("d/g")
    seen.add(content(tmp_path))
    assert len(seen) == 5


def test_parts_stay_readable() -> None:
    key = keys.of(made("FROM busybox\nENV a=b\nRUN x\n").vertices[-1].op, "p", {"s": "d"})
    assert key.parts["parent"] == "p"
    assert "a=b" in key.parts["env"]
    assert key.parts["inputs"] == {"s": "d"}


@record
class Pair:
    left: int
    right: str = "r"


def test_record_is_a_frozen_value() -> None:
    assert Pair(1) == Pair(1, "r") == Pair(left=1)
    assert Pair(1) != Pair(2)
    assert len({Pair(1), Pair(1)}) == 1
    assert repr(Pair(1)) == "Pair(left=1, right='r')"
    with pytest.raises(AttributeError):
        Pair(1).left = 2  # type: ignore[misc]
    for wrong in ({}, {"left": 1, "other": 2}):
        with pytest.raises(TypeError):
            Pair(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Pair(1, "a", 2)  # type: ignore[call-arg]


def test_record_keeps_the_fields_of_values() -> None:
    assert graph.TreeSource("/a").vertex is None
    assert graph.TreeSource("/a", 3) == graph.TreeSource(path="/a", vertex=3)
