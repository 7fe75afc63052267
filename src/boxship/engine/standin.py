"""What a stand-in gets from the host: its certificates and pip settings, at the paths where Debian's tools look for them.

A stand-in is a bootstrapped image that carries another one's name where no registry can be reached. What is copied
here goes into that image when it is made, and nowhere else.
"""

import configparser
import contextlib
import glob
import os
import urllib.parse
from collections.abc import Sequence

from boxship.errors import BoxshipError

LABEL = "org.boxship.stand-in"
_CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# Where update-ca-certificates(8), which runs when the image's ca-certificates is installed, does not overwrite it.
_HOST_BUNDLE = "etc/ssl/certs/host-bundle.crt"
_USEFUL = ("index-url", "extra-index-url", "trusted-host", "find-links", "proxy", "retries", "timeout")


def files() -> dict[str, tuple[bytes, int]]:
    """Path without leading slash: content and mode."""
    found: dict[str, tuple[bytes, int]] = {}
    bundle = next((path for path in (os.environ.get("SSL_CERT_FILE"), f"/{_CA_BUNDLE}") if path and os.path.isfile(path)), None)
    if bundle:
        found[_CA_BUNDLE] = found[_HOST_BUNDLE] = (_read(bundle), 0o644)
    for path in sorted(glob.glob("/usr/local/share/ca-certificates/*.crt")):
        found[path.lstrip("/")] = (_read(path), 0o644)
    found["etc/pip.conf"] = (_pip_conf(pip_settings(), f"/{_HOST_BUNDLE}" if bundle else None), 0o644)
    return found


def pip_settings(environment: dict[str, str] | None = None, files: Sequence[str] | None = None) -> dict[str, str]:
    """The host's [global] pip settings that make sense in an image: files first, PIP_* variables over them.

    What points at the host's own disk (a folder of wheels, a certificate) is left out.
    """
    environment = dict(os.environ) if environment is None else environment
    home = environment.get("HOME", "/root")
    settings: dict[str, str] = {}
    for path in files if files is not None else ("/etc/pip.conf", f"{home}/.pip/pip.conf", f"{home}/.config/pip/pip.conf"):
        parser = configparser.RawConfigParser(strict=False)
        with contextlib.suppress(OSError, configparser.Error):
            parser.read(path, encoding="utf-8")
            settings.update(parser.items("global") if parser.has_section("global") else ())
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST", "FIND_LINKS", "PROXY", "RETRIES", "DEFAULT_TIMEOUT"):
        if environment.get(f"PIP_{name}"):
            settings[{"DEFAULT_TIMEOUT": "timeout"}.get(name, name.lower().replace("_", "-"))] = environment[f"PIP_{name}"]
    words = {name: [word for word in settings.get(name, "").split() if not _local(word)] for name in _USEFUL}
    return {name: " ".join(value) for name, value in words.items() if value}


def _local(word: str) -> bool:
    return word.startswith(("/", ".", "~")) or urllib.parse.urlsplit(word).scheme == "file"


def _pip_conf(settings: dict[str, str], bundle: str | None) -> bytes:
    # The names that stand-ins carry are of systems whose pip may install beside the system's packages (PEP 668).
    lines = ["[global]", "break-system-packages = true", "disable-pip-version-check = true", "root-user-action = ignore"]
    lines += [f"cert = {bundle}"] if bundle else []
    lines += [f"{name} = {value}" for name, value in settings.items()]
    return ("\n".join(lines) + "\n").encode()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BoxshipError(f"cannot read {path}: {(error.strerror or '').lower()}") from error
