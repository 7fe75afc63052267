"""A Docker daemon of the test's own, to ask it what it gives: its own folders, no bridge, no firewall rules."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest

from tests import bases


class Docker:
    def __init__(self, socket: str) -> None:
        self.socket = socket

    def run(self, *words: str, check: bool = True, **options: object) -> "subprocess.CompletedProcess[str]":
        env = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        done = subprocess.run(  # type: ignore[call-overload]
            ["docker", "-H", f"unix://{self.socket}", *words], capture_output=True, text=True, timeout=120, env=env, check=False, **options
        )
        assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def put_busybox(self) -> None:
        changes = [word for change in bases.changes("busybox") for word in ("--change", change)]
        self.run("import", *changes, str(bases.tarball("busybox")), "busybox")


@contextlib.contextmanager
def serve() -> Iterator[Docker]:
    """Skips the test where there is no dockerd, or it does not start."""
    for program in ("dockerd", "docker"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install -y docker.io")
    folder = tempfile.mkdtemp(prefix="dockerd-", dir="/var/tmp")
    own = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host=unix://{folder}/sock"]
    with open(f"{folder}/log", "wb") as log:
        daemon = subprocess.Popen(["dockerd", *own, "--bridge=none", "--iptables=false", "--ip-masq=false"], stdout=log, stderr=log)
    try:
        docker = Docker(f"{folder}/sock")
        _await(daemon, docker, folder)
        yield docker
        # what was left running would outlive the daemon
        left = docker.run("ps", "-aq").stdout.split()
        if left:
            docker.run("rm", "-f", *left)
    finally:
        daemon.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(30)
        daemon.kill()
        daemon.wait()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _await(daemon: "subprocess.Popen[bytes]", docker: Docker, folder: str) -> None:
    deadline = time.monotonic() + 40
    while docker.run("version", check=False).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = pathlib.Path(folder, "log").read_text(errors="replace").splitlines()[-1:]
            pytest.skip(f"this machine cannot run dockerd: {last}")
        time.sleep(0.1)


def _unmount(folder: str) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in reversed([point for point in points if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
