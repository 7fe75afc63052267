"""Docker and podman beside Boxship: engines of a test's own behind one face, and what can be told apart in a container.

All three speak Docker's command line, so a test says what it wants once. None of them touches what the machine has of them: own
daemon, data and configuration below a temporary folder, no bridge, no firewall rules.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import stores

# what engines put there themselves, and the file systems that are not the image's
_THEIRS = {"proc", "sys", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv", "run"}
# mount points are made in the first, and docker gives the folders of a new volume new times
_TOUCHED = {"etc", "data", "data/sub"}


@dataclasses.dataclass
class Engine:
    """`words` before every command; `run_flags` and `build_flags` for what this machine does not let the peer do."""

    name: str
    words: tuple[str, ...]
    env: dict[str, str]
    run_flags: tuple[str, ...] = ("--network", "none")
    build_flags: tuple[str, ...] = ()
    plain_http: tuple[str, ...] = ()

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of a command that ends with this exit code."""
        done = subprocess.run(
            [*self.words, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, (
            f"{self.name} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def fails(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run([*self.words, *arguments], env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode != 0, done.stdout
        return done

    def pull(self, reference: str) -> str:
        return self("pull", *self.plain_http, reference)

    def push(self, reference: str, *flags: str) -> str:
        return self("push", *self.plain_http, *flags, reference)

    def build(self, folder: pathlib.Path, tag: str, *flags: str) -> None:
        self("build", *self.build_flags, *flags, "-t", tag, str(folder))

    def inspect(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("image", "inspect", image))[0]
        return found

    def image_id(self, image: str) -> str:
        return "sha256:" + str(self.inspect(image)["Id"]).removeprefix("sha256:")

    def output(self, image: str, code: int = 0) -> list[str]:
        """What the image's own program prints before it ends with this exit code."""
        told = self("run", "--rm", "--hostname", "inside", *self.run_flags, image, code=code)
        # podman tells a program that it is in a container, and which terminal there is
        return [line for line in told.splitlines() if not line.startswith(("container=", "TERM="))]

    def facts(self, image: str, code: int) -> "Facts":
        """All of it; `code` is what its program ends with."""
        told = self.inspect(image)
        config, layers = comparable(told["Config"]), told["RootFS"]["Layers"]
        return Facts(self.image_id(image), self.output(image, code), self.files(image), config, layers, told["Size"])

    def files(self, image: str) -> dict[str, "File"]:
        """The tree as a container sees it, without what the engine puts there."""
        ident = self("run", "-d", *self.run_flags, "-u", "0", "--entrypoint", "/bin/sleep", image, "1000").strip().splitlines()[-1]
        try:
            pid = int(json.loads(self("container", "inspect", ident))[0]["State"]["Pid"])
            return tree(f"/proc/{pid}/root")
        finally:
            self("rm", "-f", "-v", *(("-t", "0") if self.name == "podman" else ()), ident)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What an image is to those who use it."""

    image_id: str
    output: list[str]
    files: "dict[str, File]"
    config: dict[str, Any]
    layers: list[str]
    size: int


@dataclasses.dataclass(frozen=True)
class File:
    """All that a layer says of a file. `same_as`: the other names of it."""

    kind: str
    mode: str
    owner: tuple[int, int]
    mtime: int
    content: str = ""
    device: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    same_as: tuple[str, ...] = ()


def tree(root: "pathlib.Path | str", skip: "set[str] | frozenset[str]" = frozenset(_THEIRS)) -> dict[str, File]:
    """Every file below `root` by its path."""
    names: dict[tuple[int, int], list[str]] = {}
    found: dict[str, os.stat_result] = {}
    pending = ["."]
    while pending:
        path = pending.pop()
        info = os.lstat(f"{root}/{path}")
        found[path] = info
        if stat.S_ISDIR(info.st_mode):
            below = (os.path.normpath(f"{path}/{name}") for name in os.listdir(f"{root}/{path}"))
            pending += [name for name in below if name not in skip]
        elif info.st_nlink > 1:
            names.setdefault((info.st_dev, info.st_ino), []).append(path)
    del found["."]  # a root directory that no layer speaks of has mode 0755 with docker and 0555 with podman
    return {path: _file(root, path, info, names) for path, info in sorted(found.items())}


def _file(root: "pathlib.Path | str", path: str, info: os.stat_result, names: dict[tuple[int, int], list[str]]) -> File:
    where = f"{root}/{path}"  # not joined as paths are: /proc/PID/root is a link, and `.` below it is what it leads to
    content = ""
    if stat.S_ISREG(info.st_mode):
        content = hashlib.sha256(pathlib.Path(where).read_bytes()).hexdigest()
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(where)
    kept = [name for name in os.listxattr(where, follow_symlinks=False) if not name.startswith("trusted.overlay.")]
    return File(
        stat.filemode(info.st_mode)[0],
        oct(stat.S_IMODE(info.st_mode)),
        (info.st_uid, info.st_gid),
        0 if path in _TOUCHED else int(info.st_mtime),
        content,
        info.st_rdev,
        tuple((name, os.getxattr(where, name, follow_symlinks=False)) for name in sorted(kept)),
        tuple(sorted(set(names.get((info.st_dev, info.st_ino), ())) - {path})),
    )


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[pathlib.Path]:
    """A folder on a real disk (overlay needs one) with a short path (podman's run root may have 50 characters)."""
    made = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    try:
        yield made
    finally:
        _unmount(made)
        _remove_cgroups(made.name)
        shutil.rmtree(made, ignore_errors=True)


def _unmount(base: pathlib.Path) -> None:
    """dockerd leaves a mount in its exec-root, podman one on its storage."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in reversed([point for point in points if point == str(base) or point.startswith(f"{base}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def _remove_cgroups(name: str) -> None:
    """The parent that the containers' cgroups had: engines leave it."""
    for top in (f"/sys/fs/cgroup/{name}", *glob.glob(f"/sys/fs/cgroup/*/{name}")):
        for below, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(below)


def _environment(**more: str) -> dict[str, str]:
    ours = ("BOXSHIP_", "DOCKER_", "CONTAINERS_", "BUILDAH_")
    return {**{key: value for key, value in os.environ.items() if not key.startswith(ours)}, "LC_ALL": "C.UTF-8", **more}


@contextlib.contextmanager
def boxship() -> Iterator[Engine]:
    with stores.make() as store:
        yield Engine("boxship", (stores.command(),), store.env)


@contextlib.contextmanager
def docker() -> Iterator[Engine]:
    """A daemon of our own with Docker's usual storage driver; skips where it does not start."""
    need("dockerd", "docker")
    with _folder("bx-docker-") as base:
        socket = f"unix://{base}/docker.sock"
        (base / "daemon.json").write_text("{}")
        words = ["dockerd", "-H", socket, "--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid"]
        words += [
            "--config-file",
            f"{base}/daemon.json",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            f"--cgroup-parent=/{base.name}",
        ]
        env = _environment(DOCKER_HOST=socket, DOCKER_CONFIG=f"{base}/config", DOCKER_BUILDKIT="0", DOCKER_CLI_HINTS="false")
        with open(base / "log", "wb") as log:
            daemon = subprocess.Popen(words, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            _wait_for(daemon, env, base / "log")
            yield Engine("docker", ("docker",), env, build_flags=("--network", "none"))
        finally:
            _end(daemon, base)


def _wait_for(daemon: "subprocess.Popen[bytes]", env: dict[str, str], log: pathlib.Path) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run(["docker", "version"], env=env, capture_output=True, check=False).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"this machine cannot start dockerd: {log.read_text(errors='replace')[-300:]}")
        time.sleep(0.1)


def _end(daemon: "subprocess.Popen[bytes]", base: pathlib.Path) -> None:
    """The daemon ends its containerd; whatever of the two is left then is killed by its number."""
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
    with contextlib.suppress(OSError, ValueError):
        pid = int((base / "exec/containerd/containerd.pid").read_text())
        if str(base) in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def podman() -> Iterator[Engine]:
    """Own storage and settings. runc, for crun 1.8 refuses a machine where cgroup v2 holds one controller and v1 the others."""
    need("podman", "runc")
    with _folder("bx-podman-") as base:
        limits = min(20000, _hard_nofile())
        settings = {
            "storage.conf": f'[storage]\ndriver = "overlay"\ngraphroot = "{base}/root"\nrunroot = "{base}/run"\n',
            "registries.conf": 'unqualified-search-registries = ["docker.io"]\n',
            # root without CAP_SYS_RESOURCE can't raise limits as podman does by default
            "containers.conf": f'[containers]\ndefault_ulimits = ["nofile={limits}:{limits}", "nproc=32768:32768"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nlock_type = "file"\n',
            "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
        }
        for name, text in settings.items():
            (base / name).write_text(text)
        env = _environment(
            CONTAINERS_CONF=f"{base}/containers.conf",
            CONTAINERS_STORAGE_CONF=f"{base}/storage.conf",
            CONTAINERS_REGISTRIES_CONF=f"{base}/registries.conf",
            TMPDIR=f"{base}",
        )
        yield Engine(
            "podman",
            ("podman", "--tmpdir", f"{base}/tmp"),
            env,
            ("--network", "none", "--cgroup-parent", f"/{base.name}"),
            ("--isolation", "chroot", "--signature-policy", f"{base}/policy.json"),
            ("--tls-verify=false",),
        )


def _hard_nofile() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def comparable(config: dict[str, Any]) -> dict[str, Any]:
    """An image's Config as the three show it alike: without what is empty, without what a build leaves behind."""
    left_out = ("Hostname", "Domainname", "Image", "ArgsEscaped")
    out = {key: value for key, value in config.items() if value and key not in left_out}
    if "Labels" in out:
        out["Labels"] = {key: value for key, value in out["Labels"].items() if not re.match(r"io\.buildah\.", key)}
    return out
