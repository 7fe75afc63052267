"""What `make demo` and `make bases` do once the environment is there, on a store of the test's own."""

import re
import shutil
import subprocess

import pytest

from tests import stores

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]


def _script(store: stores.Store, *words: str) -> str:
    done = subprocess.run(
        words, cwd=stores.CHECKOUT, env=store.env, stdin=subprocess.DEVNULL, timeout=280, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {' '.join(words)}\nexit code {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def installed() -> str:
    python = stores.CHECKOUT / ".venv" / "bin" / "python"
    if not python.exists() or not (python.parent / "boxship").exists():
        pytest.skip("make install was not run")
    return str(python)


def test_demo(store: stores.Store, installed: str) -> None:
    del installed
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed: apt-get install -y mmdebstrap")
    first = _script(store, "scripts/demo.sh")
    assert re.search(r"^(#\d+ [\d.]+ )?hello world$", first, re.M)
    assert re.search(r"^hello world again$", first, re.M)
    assert "CACHED" in first
    assert "RUN executes during the build process: that printed 'hello world'" in first
    # typed again, it says truly that nothing was built
    again = _script(store, "scripts/demo.sh")
    assert "even the first build took everything from the cache" in again


def test_bases(store: stores.Store, installed: str) -> None:
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed: apt-get install -y mmdebstrap")
    for _ in range(2):
        _script(store, installed, "tests/bases.py", "--put")
    listed = store.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert sorted(listed) == ["alpine:edge", "ubuntu:18.04"]
    label = store.run("image", "inspect", "--format", '{{index .Config.Labels "org.boxship.stand-in"}}', "alpine:edge").stdout
    assert label.strip()
