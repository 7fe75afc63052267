"""`boxship bootstrap`: a base image from the host's own package mirror, for machines that reach no image registry.

mmdebstrap(1) is the one external program that Boxship ever starts by itself, and only here: unpacking and configuring
a distribution's packages is not our trade. Everything that can be wrong with the user's words (an unknown suite, a bad
package name, a missing mmdebstrap) is found before the first side effect. The image is the same from run to run as
long as the mirror is: SOURCE_DATE_EPOCH is the date of the newest Release file where the caller sets none.

A *stand-in* is such an image that carries another one's name where no registry can be reached. It is labelled
`org.boxship.stand-in`, and gets the host's certificates and pip settings, so that the package installers inside
reach what the host reaches.
"""

import contextlib
import fcntl
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from boxship.engine import aptsources, standin
from boxship.engine.bootstrapplan import Plan, make_plan
from boxship.errors import BoxshipError, InvalidArgument, Unavailable
from boxship.oci import reference as references

if TYPE_CHECKING:
    from boxship.engine.store import Store

Progress = Callable[[str], None]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What official base images leave out too: nobody reads manuals in a container.
_NO_DOCS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
# These belong to _apt or to root, by whether _apt may enter the scratch folder: made root's.
_OF_APT = ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial")
_OF_NO_USE = ("I: finding ", "I: main() ", "I: reading ", "I: skipping ", "I: removing ")


def bootstrap(
    store: "Store",
    target: str,
    tag: str | None = None,
    include: Iterable[str] = (),
    progress: Progress | None = None,
    *,
    stand_in: bool = False,
) -> str:
    """Make the image `target` ("debian:bookworm", or "debian" for the host's own suite) and return its ID.

    It is named `tag` when one is given. `progress` gets one line of text at a time. Raises InvalidArgument for an
    unknown distribution, suite or package name, Unavailable when mmdebstrap is missing or fails.
    """
    from boxship.engine import images

    plan = make_plan(target, include)
    named = references.tag_target(tag or f"{plan.name}:{plan.suite}").familiar()
    with _scratch(store.paths.tmp) as folder:
        path = f"{folder}/base.tar"
        write_tar(plan, path, progress, stand_in=stand_in)
        if progress:
            progress(f"importing as {named}")
        with open(path, "rb") as stream:
            message = f"bootstrapped from {plan.name}:{plan.suite}"
            image_id: str = images.import_image(store, stream, named, message, image_changes(plan, stand_in=stand_in))
    return image_id


def image_changes(plan: Plan, *, stand_in: bool = False) -> list[str]:
    """The image's configuration, as instructions of a Dockerfile."""
    changes = [f"ENV PATH={_PATH}", 'CMD ["bash"]']
    if stand_in:
        changes.append(f'LABEL {standin.LABEL}="{plan.name}:{plan.suite}"')
    return changes


def write_tar(plan: Plan, path: str, progress: Progress | None = None, *, stand_in: bool = False) -> None:
    """Make the root file system as an uncompressed tar at `path`. Raises Unavailable when mmdebstrap fails."""
    recommends = ('APT::Install-Recommends "false"',) if stand_in else ()
    argv = [
        *("mmdebstrap", "--variant=minbase", "--format=tar", "--skip=output/dev"),
        *(f"--include={name}" for name in plan.include),
        *(f"--dpkgopt={option}" for option in (*_NO_DOCS, "force-unsafe-io")),
        *(f"--aptopt={option}" for option in (*plan.apt_options, 'Acquire::Languages "none"', *recommends)),
        # mmdebstrap leaves the host's in the tree
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        *(plan.suite, path, "-"),
    ]
    _run_mmdebstrap(argv, plan, os.path.dirname(path), progress)
    _give_to_root(path, _OF_APT)
    append(path, plan.epoch, {**_own_files(plan), **(standin.files() if stand_in else {})})


def _run_mmdebstrap(argv: list[str], plan: Plan, scratch: str, progress: Progress | None) -> None:
    environment = {**os.environ, **dict(plan.environment), "SOURCE_DATE_EPOCH": str(plan.epoch), "TMPDIR": scratch}
    last: list[str] = []
    try:
        with _sources_file(plan) as source_list:
            process = subprocess.Popen(
                argv, env=environment, stdin=source_list, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"mmdebstrap could not be started: {error.strerror}") from error
    with _stopped_with_us(process):
        for line in process.stderr or ():
            text = line.strip()
            last = [*last[-19:], text]
            if progress and text.startswith("I: ") and text.endswith("...") and not text.startswith(_OF_NO_USE):
                progress(text[3:-3])
        code = process.wait()
    if code != 0:
        raise _failure(last, code)


def _failure(last: list[str], code: int) -> BoxshipError:
    errors = [text[3:] for text in last if text.startswith("E: ")] or [text for text in last if text] or [f"exit code {code}"]
    if errors[0].startswith("Unable to locate package "):
        name = errors[0].rpartition(" ")[2]
        return InvalidArgument(f"no such package: {name}", hint="apt-cache search WORD finds names for --include")
    return Unavailable(f"mmdebstrap failed: {errors[0]}", hint="is the package mirror reachable? type: apt-get update")


def _sources_file(plan: Plan) -> Any:
    file = tempfile.TemporaryFile()
    file.write(aptsources.render(plan.sources).encode())
    file.seek(0)
    return file


@contextlib.contextmanager
def _stopped_with_us(process: "subprocess.Popen[str]") -> Iterator[None]:
    """On Ctrl-C or an error of ours the whole session of mmdebstrap is told to clean up and end."""
    try:
        yield
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def append(path: str, epoch: int, files: dict[str, tuple[bytes, int]]) -> None:
    """Add files (path without leading slash: content, mode) to a tar, with the folders they need, dated `epoch`.

    A file that is there already stays as it is.
    """
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as tar:
        present = {os.path.normpath(name) for name in tar.getnames()}
        if "dev" not in present:
            tar.addfile(_member("dev", 0o755, epoch, tarfile.DIRTYPE))
        for name, (content, mode) in sorted(files.items()):
            if name in present:
                continue
            for parent in _parents(name):
                if parent not in present:
                    present.add(parent)
                    tar.addfile(_member(parent, 0o755, epoch, tarfile.DIRTYPE))
            info = _member(name, mode, epoch, tarfile.REGTYPE)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _give_to_root(path: str, names: Iterable[str]) -> None:
    """Change the owner and group of members of a tar, in place."""
    with tarfile.open(path) as tar:
        places = [member.offset_data - tarfile.BLOCKSIZE for member in tar if os.path.normpath(member.name) in names]
    with open(path, "r+b") as file:
        for place in places:
            file.seek(place)
            header = bytearray(file.read(tarfile.BLOCKSIZE))
            # tar(5): uid, gid; the checksum is the sum of the header's bytes with spaces in the checksum's place
            header[108:124] = b"0000000\0" * 2
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            file.seek(place)
            file.write(header)


def _parents(name: str) -> list[str]:
    words = name.split("/")[:-1]
    return ["/".join(words[: end + 1]) for end in range(len(words))]


def _member(name: str, mode: int, epoch: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"./{name}")
    info.mode, info.mtime, info.type = mode, epoch, kind
    return info


def _own_files(plan: Plan) -> dict[str, tuple[bytes, int]]:
    """The keys of the mirror, and the file that keeps packages from starting services (invoke-rc.d: 101 is "no")."""
    files = {"usr/sbin/policy-rc.d": (b"#!/bin/sh\nexit 101\n", 0o755)}
    for keyring in sorted({name for source in plan.sources for name in source.keyrings}):
        files[keyring.lstrip("/")] = (_content(keyring), 0o644)
    return files


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise BoxshipError(f"cannot read {path}: {reason}", hint="the apt sources of this machine name it") from error


@contextlib.contextmanager
def _scratch(parent: str) -> Iterator[str]:
    """A folder of the store's tmp, locked for as long as we live, so that nobody takes it for remains."""
    os.makedirs(parent, 0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="bootstrap-", dir=parent)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
