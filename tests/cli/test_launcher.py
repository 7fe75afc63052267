"""scripts/boxship: which interpreter and which package it takes, and the name it speaks by."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "boxship"
LIB = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
# the real file: an interpreter behind a shim or a link into a virtual environment would find another prefix
PYTHON = os.path.realpath(sys.executable)


def launch(path, *argv, **env):
    return subprocess.run(
        [str(path), *argv],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **env},
        timeout=60,
    )


@pytest.fixture
def prefix(tmp_path):
    """An environment as pip makes one: bin/boxship, bin/python3, lib/.../boxship."""
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env" / LIB).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "env/bin/boxship")
    (tmp_path / "env/bin/python3").symlink_to(PYTHON)
    (tmp_path / "env" / LIB / "boxship").symlink_to(ROOT / "src" / "boxship")
    return tmp_path / "env"


def test_installed(prefix):
    done = launch(prefix / "bin/boxship", "--version")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("Boxship version ")


def test_it_never_loads_site(prefix):
    (prefix / LIB / "evil.pth").write_text("import sys; sys.exit('site was loaded')\n")
    assert launch(prefix / "bin/boxship", "--version").returncode == 0


def test_a_link_named_docker_speaks_as_docker(prefix, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere/docker"
    link.symlink_to(prefix / "bin/boxship")
    assert launch(link, "rm").stderr.startswith("docker: 'docker rm' requires at least 1 argument")
    # found on PATH, and through a relative link
    (tmp_path / "elsewhere/d2").symlink_to("docker")
    assert launch("d2", "rm", PATH=f"{tmp_path}/elsewhere:/usr/bin:/bin").stderr.startswith("d2: 'd2 rm' requires")


def test_a_foreign_python_beside_a_link_is_not_taken(prefix, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/python3").write_text("#!/bin/sh\necho foreign\nexit 9\n")
    (tmp_path / "other/python3").chmod(0o755)
    (tmp_path / "other/docker").symlink_to(prefix / "bin/boxship")
    assert launch(tmp_path / "other/docker", "--version").returncode == 0


def test_a_development_environment_links_to_the_checkout(tmp_path):
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env" / LIB).mkdir(parents=True)
    (tmp_path / "env/bin/boxship").symlink_to(SCRIPT)
    (tmp_path / "env/bin/python3").symlink_to(PYTHON)
    (tmp_path / "env" / LIB / "boxship").symlink_to(ROOT / "src" / "boxship")
    (tmp_path / "env" / LIB / "evidence.py").write_text("")
    assert launch(tmp_path / "env/bin/boxship", "--version").returncode == 0


def test_arguments_arrive_whole(prefix):
    done = launch(prefix / "bin/boxship", "a b*'\"\n$x")
    assert "unknown command: boxship a b*'\"\n$x" in done.stderr


def test_old_python(prefix, tmp_path):
    """The Python part must be understood by old interpreters, whose version is all that is wrong with them."""
    source = SCRIPT.read_text()
    fake = tmp_path / "fake.py"
    fake.write_text(source.replace("import sys\n", "import sys\nsys.version_info = (3, 8, 0)\n", 1))
    done = subprocess.run([sys.executable, "-I", "-S", str(fake)], capture_output=True, check=False, text=True)
    assert done.returncode == 125
    assert done.stderr.startswith("fake.py: Python 3.11 or newer is needed, this is 3.8: ") and "\nhint: " in done.stderr


def test_not_linux(tmp_path):
    fake = tmp_path / "fake.py"
    fake.write_text(SCRIPT.read_text().replace("import sys\n", "import sys\nsys.platform = 'darwin'\n", 1))
    done = subprocess.run([sys.executable, "-I", "-S", str(fake)], capture_output=True, check=False, text=True)
    assert done.returncode == 125
    assert done.stderr == "fake.py: containers need the Linux kernel, this is darwin\nhint: run it in a Linux virtual machine\n"


def test_no_python_at_all(tmp_path):
    lonely = tmp_path / "boxship"
    shutil.copy(SCRIPT, lonely)
    done = subprocess.run(["/bin/sh", str(lonely)], capture_output=True, check=False, text=True, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (127, "boxship: no python3 on PATH\nhint: install Python 3.11 or newer\n")


def test_a_reader_that_goes_away(prefix):
    done = subprocess.run(
        ["/bin/bash", "-c", f"{prefix}/bin/boxship --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stderr == "" and done.stdout.strip() in ("0", "141")


def test_full_disk(prefix):
    with open("/dev/full", "w") as full:
        done = subprocess.run([f"{prefix}/bin/boxship", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "boxship: standard output: No space left on device\n")


def test_python_minus_m():
    done = subprocess.run(
        [sys.executable, "-m", "boxship", "rm"],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 1 and done.stderr.startswith("boxship: 'boxship rm' requires at least 1 argument")
