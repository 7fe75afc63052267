"""Ports, working directories, environments, build arguments."""

import re

import pytest

from boxship.build.dockerfile.environment import BuildArgs, env_map, proxy_env, set_env, with_args
from boxship.build.dockerfile.values import exposed_ports, workdir
from boxship.errors import DockerfileError
from tests.tables import rows


@pytest.mark.parametrize("row", rows("dockerfile/expose"))
def test_expose(row: dict) -> None:
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError, match=re.escape(row["expect"]["error"]) or None):
            exposed_ports(row["ports"])
        return
    assert exposed_ports(row["ports"]) == row["expect"]["exposed"]


@pytest.mark.parametrize("word", ["x", "1-", "2-1", "65536", "1/icmp", "/tcp", "1-2:1-3", "[::1:80:80", "-1", "1" * 30])
def test_bad_ports(word: str) -> None:
    with pytest.raises(DockerfileError, match="invalid"):
        exposed_ports([word])


@pytest.mark.parametrize("row", rows("dockerfile/workdir_path"))
def test_workdir(row: dict) -> None:
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError, match=row["expect"]["error"]):
            workdir(row["current"], row["workdir"])
        return
    assert workdir(row["current"], row["workdir"]) == row["expect"]["result"]


def test_workdir_is_clean() -> None:
    assert workdir("/a/b", "../c/./d//") == "/a/c/d"
    assert workdir("", "//a") == "/a"
    assert workdir("/", "../..") == "/"


@pytest.mark.parametrize("row", rows("dockerfile/env_merge"))
def test_env_merge(row: dict) -> None:
    want = row["expect"]
    if "set" in row:
        assert set_env(row["env"], *row["set"]) == want["env"]
    elif "args" in row:
        assert with_args(row["env"], [tuple(pair) for pair in row["args"]]) == want["map"]
    else:
        assert proxy_env(row["build_args"]) == want["proxy"]


def test_args_without_value_add_nothing_and_the_first_wins() -> None:
    assert with_args(["a=1"], [("b", None), ("c", "1"), ("c", "2")]) == {"a": "1", "c": "1"}
    assert env_map(["a=b=c"]) == {"a": "b=c"}


@pytest.mark.parametrize("row", rows("dockerfile/build_args"))
def test_build_args(row: dict) -> None:
    want = row["expect"]
    args = BuildArgs(row["build_args"])
    for name, value in row["before_from"].items():
        args.add_meta(name, value)
    for name, value in row["in_stage"].items():
        args.add_stage(name, value)
    if "stage_args" in want:
        assert args.stage_args() == want["stage_args"]
    if "warned_unused" in want:
        assert args.unused() == want["warned_unused"]
        assert [name for name in row["build_args"] if not args.in_cache_key(name)] == want["cache_key_skips"]
    if "cache_command" in want:
        assert args.cache_command(row["run_args"], row["command"]) == want["cache_command"]


def test_from_lines_see_the_command_line_first() -> None:
    args = BuildArgs({"A": "given", "Z": "z"})
    args.add_meta("A", "default")
    args.add_meta("B", None)
    args.add_meta("C", "c")
    assert args.meta_args() == {"A": "given", "C": "c"}
    args.add_stage("C", None)
    assert args.stage_args() == {"C": "c"}
    args.next_stage()
    assert args.stage_args() == {}
