"""--help beside that of the real client, where one is installed: the same usage, aliases and flags, in the same layout."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from boxship.cli import catalog
from boxship.cli.help import _wrap
from tests.unit.cli.calls import cli

DOCKER = shutil.which("docker")
# written by others, and with flags that BuildKit's client has and the one here has not
NOT_COMPARED = {"bootstrap", "build"}
ADDED = {"create": {"--help"}, "run": {"--help"}}
PATHS = [[name] for name, module in catalog.COMMANDS.items() if module not in NOT_COMPARED] + [
    [group, name]
    for group, (_, commands, _) in catalog.GROUPS.items()
    for name, module in commands.items()
    if module not in NOT_COMPARED
]

needs_docker = pytest.mark.skipif(not DOCKER or os.path.islink(DOCKER), reason="no docker client to compare with")


def docker_help(argv):
    done = subprocess.run(
        [DOCKER, *argv, "--help"], capture_output=True, check=False, text=True, timeout=30, env={"PATH": "/usr/bin:/bin"}
    )
    if "28." not in subprocess.run([DOCKER, "--version"], capture_output=True, check=False, text=True).stdout:
        pytest.skip("the client is not of version 28")
    return done.stdout


def left_column(text):
    """{flag: (short, type)} of the options."""
    found = {}
    for line in text.partition("Options:\n")[2].splitlines():
        match = re.match(r"  (?:-(\w), |    )--([\w-]+) ?(\w[\w-]*)?(?:  |$)", line)
        if match:
            found[match[2]] = (match[1], match[3])
    return found


@needs_docker
@pytest.mark.parametrize("argv", PATHS, ids=" ".join)
def test_help(argv):
    try:
        code, ours, err = cli([*argv, "--help"])
    except ModuleNotFoundError:
        pytest.skip("not written yet")
    assert (code, err) == (0, "")
    theirs = docker_help(argv)
    assert ours.splitlines()[0] == theirs.splitlines()[0]
    aliases = [text.partition("Aliases:\n")[2].partition("\n")[0] for text in (ours, theirs)]
    assert aliases[0] == aliases[1]
    flags = left_column(ours)
    assert flags == left_column(theirs)
    for line in ours.partition("Options:\n")[2].splitlines():
        # lines of titles and the last word of a line may reach beyond the width
        assert len(line) <= 84


@needs_docker
def test_options_begin_in_the_same_column():
    for argv in (["run"], ["ps"], ["rm"], ["logs"]):
        columns = []
        for text in (cli([*argv, "--help"])[1], docker_help(argv)):
            lines = text.partition("Options:\n")[2].splitlines()
            columns.append({re.match(r"  (?:-\w, |    )--.*?(?:  +)(?=\S)", line).end() for line in lines if "--" in line[:8]})
        assert columns[0] == columns[1]


def test_wrapping_keeps_to_the_width():
    text = "word " * 40
    for width in (60, 80, 120):
        for line in _wrap(text.strip(), 20, width).split("\n"):
            assert len(line.strip()) <= width - 20


def test_own_commands_say_what_they_take():
    assert sys.version_info >= (3, 11)
    assert cli(["bootstrap", "--help"])[1].startswith("Usage:  docker bootstrap [OPTIONS] DISTRIBUTION[:SUITE]\n")
