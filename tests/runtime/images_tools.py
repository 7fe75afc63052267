"""A real registry on loopback, and stores of our own below a temporary directory."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from boxship.config import Paths
from boxship.engine.store import Store
from boxship.state.db import connect


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def new_store(base: pathlib.Path, name: str = "store") -> Store:
    paths = Paths(str(base / name), str(base / f"{name}-run"))
    return Store(paths, connect(paths))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def registry(base: pathlib.Path) -> Iterator[str]:
    """host:port of a docker-registry with empty storage."""
    program = need("docker-registry")
    port = free_port()
    (base / "registry").mkdir()
    config = base / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {base}/registry}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with open(base / "registry.log", "wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise AssertionError((base / "registry.log").read_text())
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def run(*words: str, **more: Any) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def inspect(reference: str) -> dict[str, Any]:
    """What skopeo sees."""
    return json.loads(run("skopeo", "inspect", "--tls-verify=false", reference))  # type: ignore[no-any-return]
