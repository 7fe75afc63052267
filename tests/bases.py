"""Base images for machines that reach no image registry: what `make demo`, `make bases` and the tests build upon.

    python tests/bases.py [--put] [NAME…]     ubuntu:18.04, alpine:edge, busybox; --put: into the store, by `boxship import`

ubuntu:18.04 and alpine:edge are stand-ins: Debian, made by mmdebstrap from the host's own mirror, under the names that
the examples' FROM lines use. alpine:edge has an `apk` (tests/data/stand-in/apk) that maps the packages' names and calls apt-get.
The root file systems are kept as tar files in $XDG_CACHE_HOME/boxship-bases (root: /var/cache/boxship-bases), for they
take half a minute to make and hold the host's certificates: they never go into a commit.
"""

import argparse
import contextlib
import fcntl
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator

from boxship.engine import bootstrap, bootstrapplan, standin
from boxship.errors import BoxshipError

HERE = pathlib.Path(__file__).resolve().parent
PARTS = HERE / "data" / "stand-in"
STAND_INS = ("ubuntu:18.04", "alpine:edge")
NAMES = (*STAND_INS, "busybox")
CHANGES = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

Say = Callable[[str], None]


def cache() -> pathlib.Path:
    """The folder of the kept tar files, made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or ("/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache"))
    folder = pathlib.Path(base) / "boxship-bases"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(stem: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The kept file STEM.tar; made under another name and renamed, so that a kill leaves none that is not whole."""
    path = cache() / f"{stem}.tar"
    if not path.exists():
        partial = path.with_suffix(".partial")
        make(partial)
        partial.rename(path)
    return path


def _key(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()[:12]


def _overlay(name: str) -> dict[str, tuple[bytes, int]]:
    """The files that make Debian answer to the name: the apk of alpine:edge, and Python's ensurepip."""
    if not name.startswith("alpine:"):
        return {}
    # Debian's python3 has no ensurepip; this folder is on the path of each Python 3 that Debian packages
    return {
        "sbin/apk": ((PARTS / "apk").read_bytes(), 0o755),
        "usr/lib/python3/dist-packages/ensurepip/__init__.py": (b"", 0o644),
        "usr/lib/python3/dist-packages/ensurepip/__main__.py": ((PARTS / "ensurepip.py").read_bytes(), 0o644),
    }


def stand_in(name: str, say: Say | None = None) -> pathlib.Path:
    """The root file system of a stand-in. Raises BoxshipError (mmdebstrap is missing, the mirror is away)."""
    plan = bootstrapplan.make_plan(_host_distribution())
    host = _key(plan._replace(epoch=0), standin.files())
    with _locked(cache()):

        def make_base(path: pathlib.Path) -> None:
            if say:
                say(f"making a stand-in from {plan.sources[0].uri} by mmdebstrap (half a minute, once)")
            scratch = cache() / f"work-{os.getpid()}"
            scratch.mkdir(exist_ok=True)
            try:
                bootstrap.write_tar(plan, str(scratch / "base.tar"), stand_in=True)
                (scratch / "base.tar").rename(path)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

        base = _once(f"base-{host}", make_base)
        overlay = _overlay(name)
        if not overlay:
            return base

        def make_variant(path: pathlib.Path) -> None:
            shutil.copyfile(base, path)
            bootstrap.append(str(path), int(base.stat().st_mtime), overlay)

        return _once(f"{name.replace(':', '-')}-{host}-{_key(overlay)}", make_variant)


def _host_distribution() -> str:
    with open("/etc/os-release", encoding="utf-8") as file:
        return next(line.strip()[3:].strip('"') for line in file if line.startswith("ID="))


def busybox() -> pathlib.Path:
    """The root file system of a tiny image: Debian's static busybox with all its names. Raises BoxshipError."""
    program = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)
    if program is None:
        raise BoxshipError("busybox is not installed", hint="type: apt-get install -y busybox-static")
    content = pathlib.Path(program).read_bytes()
    with _locked(cache()):
        return _once(f"busybox-{hashlib.sha256(content).hexdigest()[:12]}", lambda path: _write_busybox(program, content, path))


_BUSYBOX_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nstaff:x:50:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\n",
}


def _write_busybox(program: str, content: bytes, path: pathlib.Path) -> None:
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for folder in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "var"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        for name, text in {"bin/busybox": content, **{key: value.encode() for key, value in _BUSYBOX_FILES.items()}}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(info, io.BytesIO(text))
        for name in names:
            if name != "busybox":
                info = tarfile.TarInfo(f"bin/{name}")
                info.type, info.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(info)


def tarball(name: str, say: Say | None = None) -> pathlib.Path:
    """The root file system that stands for `name`, one of NAMES."""
    return busybox() if name == "busybox" else stand_in(name, say)


def changes(name: str) -> list[str]:
    """The image's configuration as Dockerfile instructions, for `boxship import --change`."""
    if name == "busybox":
        return [*CHANGES, 'CMD ["sh"]']
    label = f"LABEL {standin.LABEL}={_host_distribution()}"
    return [*CHANGES, 'CMD ["/bin/sh"]' if name.startswith("alpine") else 'CMD ["/bin/bash"]', label]


def config(name: str) -> dict[str, object]:
    """The same as a document: what a registry serves."""
    path = CHANGES[0].removeprefix("ENV ")
    if name == "busybox":
        return {"Env": [path], "Cmd": ["sh"]}
    shell = "/bin/sh" if name.startswith("alpine") else "/bin/bash"
    return {"Env": [path], "Cmd": [shell], "Labels": {standin.LABEL: _host_distribution()}}


def machine() -> str:
    return os.uname().machine


def command() -> str:
    """The boxship of this environment, else the first on PATH."""
    beside = pathlib.Path(sys.executable).parent / "boxship"
    return str(beside) if beside.exists() else "boxship"


def put(name: str, say: Say | None = None) -> None:
    """Into the store of BOXSHIP_ROOT, where it is not there yet. Raises BoxshipError."""
    boxship = command()
    if subprocess.run([boxship, "image", "inspect", name], capture_output=True, check=False).returncode == 0:
        return
    path = tarball(name, say)
    flags = [word for change in changes(name) for word in ("--change", change)]
    done = subprocess.run([boxship, "import", *flags, str(path), name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BoxshipError(f"importing {name} failed: {done.stderr.strip()}")
    if say and name == "busybox":
        say("busybox is the busybox of this machine")
    elif say:
        say(f"{name} is a stand-in: {_host_distribution()} under that name, labelled {standin.LABEL}")


def main() -> int:
    parser = argparse.ArgumentParser(description="base images for machines that reach no image registry")
    parser.add_argument("--put", action="store_true", help="import them into the store")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(STAND_INS)}")
    arguments = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for name in arguments.names or STAND_INS:
        if name not in NAMES:
            parser.error(f"no such base: {name}; there are {', '.join(NAMES)}")
        try:
            if arguments.put:
                put(name, say)
            else:
                print(tarball(name, say))
        except BoxshipError as error:
            say(f"{error}" + (f"\n{error.hint}" if error.hint else ""))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
