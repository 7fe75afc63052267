"""What a command may import before it asks the engine: each module here costs every run of it."""

import os
import pathlib
import subprocess
import sys

import pytest

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"

# the interpreter's own, there with -I -S before anything is imported, and what `os` brings
START = {
    "__main__", "_abc", "_codecs", "_collections_abc", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_io", "_signal",
    "_stat", "_thread", "_warnings", "_weakref", "abc", "builtins", "codecs", "encodings", "encodings.aliases", "encodings.ascii",
    "encodings.utf_8", "genericpath", "io", "marshal", "os", "os.path", "posix", "posixpath", "stat", "sys", "time", "winreg",
    "zipimport", "_locale", "encodings.utf_8_sig", "ntpath",
}  # fmt: skip
BASE = {
    "boxship",
    "gc",
    "boxship.errors",
    "boxship.cli",
    "boxship.cli.main",
    "boxship.cli.catalog",
    "boxship.cli.flags",
    "boxship.cli.commands",
}
ENGINE = {"boxship.engine", "boxship.engine.containers", "boxship.engine.store"}
WORDS = {"boxship.cli.streams", "boxship.cli.units"}

# a stand-in for the engine, which has a test of its own for what it imports
PROBE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
class Engine:
    open_store = staticmethod(lambda root: None)
    list_containers = staticmethod(lambda store, **_: ROWS)
    remove = staticmethod(lambda store, name, **_: None)
ROWS = [{"Id": "1" * 64, "Names": ["/a"], "Image": "b", "ImageID": "sha256:2", "Command": "c", "Created": 1, "Status": "Up",
         "State": "running", "Ports": [{"PrivatePort": 80, "PublicPort": 80, "Type": "tcp", "IP": "::"}], "Labels": {}}]
import boxship
engine = type(sys)("boxship.engine")
engine.__path__ = []
engine.containers = engine.store = Engine
sys.modules.update({"boxship.engine": engine, "boxship.engine.containers": Engine, "boxship.engine.store": Engine})
from boxship.cli.main import run
code = run(sys.argv[1:], "boxship")
sys.stderr.write("\\n".join(sorted(sys.modules)))
sys.exit(code)
"""


def modules_of(*argv: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE, str(SRC), *argv],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("argv", "more"),
    [
        (["ps"], {"boxship.cli.commands.ps", "boxship.cli.render", "boxship.cli.table", "boxship.cli.containerrows"}),
        (["ps", "-aq"], {"boxship.cli.commands.ps", "boxship.cli.render", "boxship.cli.table"}),
        (["rm", "-f", "a"], {"boxship.cli.commands.rm", "boxship.cli.several"}),
        (["rm", "--help"], {"boxship.cli.commands.rm", "boxship.cli.several", "boxship.cli.help"}),
        (["--version"], {"boxship.version"}),
    ],
)
def test_only_what_is_needed(argv, more):
    assert modules_of(*argv) - START <= BASE | ENGINE | WORDS | more


REQUEST = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from boxship.cli import containerflags
from boxship.cli.flags import Call, Command, read
values, given, args = read(Command("", containerflags.RUN_FLAGS, interspersed=False), sys.argv[1:])
containerflags.create_request(Call("docker", "run", values, given, args))
sys.stderr.write("\\n".join(sorted(sys.modules)))
"""


def request_modules(*argv: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", REQUEST, str(SRC), *argv],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()) - START


READING = {
    "boxship", "boxship.errors", "boxship.cli", "boxship.cli.flags", "boxship.cli.containerflags", "boxship.cli.envfiles",
}  # fmt: skip


def test_a_plain_run_reads_its_flags_with_next_to_nothing():
    assert request_modules("--rm", "-it", "--name", "x", "-v", "/a:/b", "busybox", "true") <= READING


def test_a_run_pays_for_the_flags_it_has():
    values = {"boxship.cli.values", "boxship.cli.units"}
    assert request_modules("-e", "A=b", "-m", "1g", "busybox") <= READING | values
    assert request_modules("-p", "80:80", "busybox") <= READING | values | {"boxship.cli.ports"}
    assert request_modules("-p", "127.0.0.1:80:80", "busybox") <= READING | values | {"boxship.cli.ports", "_socket"}


# each costs 1-7 ms; what they are used for has a cheap way (see docs/dev/architecture.md)
BANNED = set(
    "argparse contextlib ctypes dataclasses datetime enum hashlib ipaddress json logging pathlib random re secrets shutil signal "
    "socket subprocess tempfile textwrap threading typing".split()
)
REAL = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from boxship.cli.main import run
run(sys.argv[1:], "boxship")
sys.stderr.write("\\n".join(["", *sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    "argv",
    [["run", "--help"], ["exec", "--help"], ["start", "--help"], ["rm", "nope"], ["run", "--pull", "never", "nope"]],
    ids=" ".join,
)
def test_the_real_engine_is_as_frugal(argv, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", REAL, str(SRC), "--root", str(tmp_path / "store"), *argv],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "BOXSHIP_RUN": str(tmp_path / "run")},
    )
    loaded = set(done.stderr.splitlines())
    assert "boxship.engine.containers" in loaded
    assert not loaded & BANNED
