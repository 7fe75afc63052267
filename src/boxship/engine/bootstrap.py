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
import email.utils
import fcntl
import io
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from boxship.engine import aptsources, standin
from boxship.engine.aptsources import Source
from boxship.errors import BoxshipError, InvalidArgument, Unavailable, Unsupported
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
_PACKAGE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:=~/")
_OF_NO_USE = ("I: finding ", "I: main() ", "I: reading ", "I: skipping ", "I: removing ")
_TIMEOUT = 15  # seconds to answer for a Release file
_RELEASE_MAX = 4 << 20


class Plan(NamedTuple):
    """What will be made: known to be possible before anything is."""

    name: str
    suite: str
    sources: tuple[Source, ...]
    include: tuple[str, ...]
    epoch: int
    environment: tuple[tuple[str, str], ...]
    apt_options: tuple[str, ...]


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


# -- the plan ----------------------------------------------------------------------------------------------------------


def make_plan(target: str, include: Iterable[str] = (), *, etc: str = "/etc") -> Plan:
    """Check the user's words against the host's apt and its mirror. Raises InvalidArgument, Unavailable."""
    system = _os_release(f"{etc}/os-release")
    name, suite = _split_target(target, system)
    packages = _check_packages(include)
    sources = aptsources.read(f"{etc}/apt")
    if not sources:
        raise Unsupported(
            "this machine has no apt sources to bootstrap from", hint="use an image from a registry: boxship pull debian:bookworm"
        )
    _need_mmdebstrap()
    apt = _apt_settings()
    proxies = [(key, apt[key]) for key in ("http_proxy", "https_proxy") if apt.get(key) and not os.environ.get(key)]
    wanted = aptsources.for_suite(sources, suite, system.get("VERSION_CODENAME", ""))
    kept, dates = _ask_mirror(wanted, suite, name, dict(proxies))
    if not any(suite in source.suites for source in kept):
        known = ", ".join(f"{name}:{each}" for each in aptsources.suites(sources))
        raise InvalidArgument(f"no such suite on this machine's package mirror: {suite}", hint=f"the host itself uses {known}")
    if any(source.uri.startswith("https:") for source in kept) and "ca-certificates" not in packages:
        packages.append("ca-certificates")
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = int(epoch) if epoch.isdigit() else max(dates, default=int(time.time()))
    options = tuple(f'Acquire::{key} "false"' for key in ("Check-Valid-Until", "Check-Date") if apt.get(key) == "false")
    return Plan(name, suite, tuple(kept), tuple(packages), moment, tuple(proxies), options)


def _os_release(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            pairs = [line.strip().partition("=")[::2] for line in file if "=" in line]
    except OSError:
        return {}
    return {key: " ".join(shlex.split(value)) for key, value in pairs}


def _split_target(target: str, system: dict[str, str]) -> tuple[str, str]:
    name, colon, suite = target.partition(":")
    own = system.get("ID", "")
    if not name or name != own:
        hint = f"write {own}:SUITE, and -t NAME for another name" if own else "bootstrap needs a Debian-like system"
        raise InvalidArgument(f"the package sources of this machine are not those of: {target}", hint=hint)
    if not colon or suite == system.get("VERSION_ID", ""):
        suite = system.get("VERSION_CODENAME", "")
    # a suite becomes part of a URL and of a command line
    if not suite or not suite[0].isalnum() or not suite.replace("-", "").replace(".", "").isalnum():
        raise InvalidArgument(f"invalid suite: {target}", hint=f"write {own}:{system.get('VERSION_CODENAME', 'SUITE')}")
    return name, suite


def _check_packages(include: Iterable[str]) -> list[str]:
    packages = [name for words in include for name in words.replace(",", " ").split()]
    for name in packages:
        if not name[0].isalnum() or not _PACKAGE_CHARACTERS.issuperset(name):
            raise InvalidArgument(f"invalid package name: {name}", hint="as for apt-get install: --include curl,git")
    return packages


def _need_mmdebstrap() -> None:
    if not shutil.which("mmdebstrap"):
        raise Unavailable("mmdebstrap is not installed", hint="type: apt-get install -y mmdebstrap")


def _apt_settings() -> dict[str, str]:
    """What the host's apt needs to reach its mirror, by our names. {} when apt-config can't be asked."""
    asked = {
        "http_proxy": "Acquire::http::Proxy",
        "https_proxy": "Acquire::https::Proxy",
        "Check-Valid-Until": "Acquire::Check-Valid-Until",
        "Check-Date": "Acquire::Check-Date",
    }
    words = [word for number, key in enumerate(asked.values()) for word in (f"V{number}", key)]
    try:
        answer = subprocess.run(["apt-config", "shell", *words], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in answer.splitlines():
        name, _, value = line.partition("=")
        found[list(asked)[int(name[1:])]] = " ".join(shlex.split(value))
    return {key: value for key, value in found.items() if value and value != "DIRECT"}


def _ask_mirror(sources: Sequence[Source], suite: str, name: str, proxies: dict[str, str]) -> tuple[list[Source], list[int]]:
    """Keep the archives that have their suites and are the distribution's own; with the dates of their Release files."""
    kept: list[Source] = []
    dates: list[int] = []
    for source in sources:
        good = []
        for each in source.suites:
            fields = _release(source.uri, each, proxies)
            if fields is None or (fields.get("origin") and not _same(fields["origin"], name)):
                continue
            good.append(each)
            with contextlib.suppress(ValueError, TypeError):
                dates.append(int(email.utils.parsedate_to_datetime(fields["date"]).timestamp()) if "date" in fields else 0)
        if good:
            kept.append(source._replace(suites=tuple(good)))
    return kept, [date for date in dates if date > 0]


def _same(origin: str, name: str) -> bool:
    return origin.strip().lower().split() == [name] or origin.strip().lower().startswith(f"{name} ")


def _release(uri: str, suite: str, proxies: dict[str, str]) -> dict[str, str] | None:
    """The head of a suite's InRelease file, names in lower case. None: there is no such suite. {}: nobody can say.

    Only existence, origin and date are taken from it, so its signature is left to apt.
    """
    if not uri.startswith(("http://", "https://")):
        return {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({**urllib.request.getproxies(), **_named(proxies)}))
    try:
        with opener.open(f"{uri.rstrip('/')}/dists/{suite}/InRelease", timeout=_TIMEOUT) as answer:
            text = answer.read(_RELEASE_MAX).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return None if error.code in (403, 404, 410) else {}
    except (OSError, ValueError):
        return {}
    heads = (line.partition(":") for line in text.splitlines()[:40] if line[:1].isalpha() and ":" in line)
    return {key.lower(): value.strip() for key, _, value in heads}


def _named(proxies: dict[str, str]) -> dict[str, str]:
    return {key.removesuffix("_proxy"): value for key, value in proxies.items()}


# -- the tree ----------------------------------------------------------------------------------------------------------


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
