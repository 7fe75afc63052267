"""Small static C programs that tests run inside containers: tests/data/probe/NAME.c."""

import pathlib
import shutil
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).resolve().parent / "data" / "probe"


def build(name: str, folder: pathlib.Path) -> pathlib.Path:
    """The compiled program in `folder`; skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is installed: apt-get install -y gcc libc6-dev")
    target = folder / name
    subprocess.run([compiler, "-static", "-O1", "-Wall", "-o", str(target), str(SOURCES / f"{name}.c")], check=True)
    return target
