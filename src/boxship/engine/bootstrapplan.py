"""What `boxship bootstrap` will make: the user's words checked against the host's apt and its mirror, before anything is made.

Of the mirror only the heads of Release files are read: whether a suite exists, whose it is, and of which date. Their
signatures are left to apt.
"""

import contextlib
import email.utils
import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from boxship.engine import aptsources
from boxship.engine.aptsources import Source
from boxship.errors import InvalidArgument, Unavailable, Unsupported

_PACKAGE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:=~/")
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
