"""The repository itself: what is written here also arrives at whoever clones and installs it."""

import subprocess

import pytest

from tests.stores import CHECKOUT


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        pytest.skip("this machine cannot say: git is missing, or this is no clone")
    return done.stdout.split()


def test_no_source_is_ignored() -> None:
    """An ignored file is in no commit, and hatchling leaves it out of the wheel: a pattern without / matches any folder."""
    names = [str(path.relative_to(CHECKOUT)) for top in ("src", "tests", "scripts", "examples") for path in (CHECKOUT / top).rglob("*.py")]
    assert names
    assert _git("check-ignore", "--no-index", *names) == []
