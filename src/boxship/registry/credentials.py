"""Who we are at a registry: ~/.docker/config.json, DOCKER_AUTH_CONFIG and the docker-credential-* helpers.

The file is Docker's (cli/config): `auths` by registry, `credsStore` for all registries, `credHelpers` for some. A helper
is an optional program on PATH that speaks the protocol of docker-credential-helpers: the registry on its input, JSON
on its output. A helper that fails leaves us anonymous, as in Docker, and its reason is kept for the hint.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from boxship.errors import InvalidArgument

HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io"))
_FILE_MAX = 1 << 20
_ANSWER_MAX = 1 << 20
_HELPER_SECONDS = 60


class Credentials:
    """A user and password, an identity token to be exchanged, or a registry token to be sent as it is."""

    __slots__ = ("identity_token", "password", "registry_token", "username")

    def __init__(self, username: str = "", password: str = "", identity_token: str = "", registry_token: str = "") -> None:
        self.username = username
        self.password = password
        self.identity_token = identity_token
        self.registry_token = registry_token

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)

    def __repr__(self) -> str:
        # never the secrets: this ends up in tracebacks and logs
        return f"Credentials(username={self.username!r})"

    def basic(self) -> str | None:
        """The value of an Authorization header, None without a user."""
        if not self.username:
            return None
        from base64 import b64encode

        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


# helper name and registry -> (status, output)
Runner = Callable[[str, str], tuple[int, bytes]]


def run_helper(name: str, registry: str) -> tuple[int, bytes]:
    """Ask docker-credential-NAME for a registry's credentials. Raises OSError and subprocess.TimeoutExpired."""
    import subprocess

    done = subprocess.run(
        [f"docker-credential-{name}", "get"], input=registry.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
    )
    return done.returncode, done.stdout[:_ANSWER_MAX]


def decode_entry(entry: Any) -> Credentials:
    """One value of `auths`. Raises InvalidArgument for anything that Docker would not read."""
    if not isinstance(entry, dict):
        raise InvalidArgument("json: cannot unmarshal auths entry: not an object")
    fields = {}
    for key in ("auth", "username", "password", "identitytoken", "registrytoken"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidArgument(f"json: cannot unmarshal {key}: not a string")
        fields[key] = value or ""
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = _decode_auth(fields["auth"])
    return Credentials(username, password, fields["identitytoken"], fields["registrytoken"])


def _decode_auth(text: str) -> tuple[str, str]:
    from base64 import b64decode

    try:
        plain = b64decode(text, validate=True).decode("utf-8")
    except ValueError:
        raise InvalidArgument("unable to decode auth field: illegal base64 data") from None
    username, colon, password = plain.partition(":")
    if not colon or not username:
        raise InvalidArgument("unable to decode auth field: must be formatted as base64(username:password)")
    return username, password.strip("\0")


def hostname(key: str) -> str:
    """The registry that a key of `auths` names: no scheme, and no /v1/ or /v2/ that old clients wrote."""
    text = key.partition("://")[2] or key
    host, _, path = text.partition("/")
    return host if path.strip("/") in ("", "v1", "v2") else text.rstrip("/")


def config_path() -> str | None:
    """Where Docker's client keeps its config.json; None when there is no home."""
    folder = os.environ.get("DOCKER_CONFIG")
    if not folder:
        home = os.path.expanduser("~")
        if not home.startswith("/"):
            return None
        folder = f"{home}/.docker"
    return f"{folder}/config.json"


class Store:
    """What config.json says about registries. Reads nothing before it is asked."""

    def __init__(self, path: str | None = None, run: Runner = run_helper) -> None:
        self._path = path or config_path()
        self._run = run
        self._config: dict[str, Any] | None = None
        self.complaints: list[str] = []

    def _load(self) -> dict[str, Any]:
        if self._config is None:
            self._config = parse_file(self._read(), self._path or "")
            extra = os.environ.get("DOCKER_AUTH_CONFIG")
            if extra:
                self._config = {**self._config, "env": parse_environment(extra)}
        return self._config

    def _read(self) -> bytes:
        if self._path is None:
            return b""
        try:
            with open(self._path, "rb") as file:
                return file.read(_FILE_MAX + 1)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise InvalidArgument(f"loading config file: {self._path}: {error.strerror}".lower()) from None

    def lookup(self, registry: str) -> Credentials | None:
        """The credentials for a registry (docker.io, host[:port], or a key of `auths`); None: anonymous.

        Raises InvalidArgument for a config.json that can't be read.
        """
        config = self._load()
        key = HUB_KEY if registry in _HUB_NAMES else registry
        from_env = _from_auths(config.get("env") or {}, key)
        if from_env:
            return from_env
        helpers = config.get("credHelpers") or {}
        helper = helpers.get(registry) or helpers.get(hostname(key)) or config.get("credsStore")
        if helper:
            return self._ask(helper, key)
        return _from_auths(config.get("auths") or {}, key)

    def _ask(self, helper: str, key: str) -> Credentials | None:
        import subprocess

        program = f"docker-credential-{helper}"
        if "/" in helper or "\0" in helper:
            raise InvalidArgument(f"invalid credential helper: {helper}", hint="a name, not a path: see config.json")
        try:
            status, output = self._run(helper, key)
        except FileNotFoundError:
            return self._complain(f"{program} is not on PATH")
        except (OSError, subprocess.TimeoutExpired) as error:
            return self._complain(f"{program}: {error}")
        text = output.decode("utf-8", "replace").strip()
        if status != 0:
            return None if "credentials not found" in text else self._complain(f"{program}: {text[:200] or f'exit {status}'}")
        return self._answer(program, text)

    def _answer(self, program: str, text: str) -> Credentials | None:
        try:
            raw = json.loads(text)
            username, secret = raw["Username"], raw["Secret"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._complain(f"{program}: its answer can't be read")
        if not isinstance(username, str) or not isinstance(secret, str):
            return self._complain(f"{program}: its answer can't be read")
        # the protocol's mark for an identity token
        return Credentials(identity_token=secret) if username == "<token>" else Credentials(username, secret)

    def _complain(self, text: str) -> Credentials | None:
        if text not in self.complaints and len(self.complaints) < 16:
            self.complaints.append(text)
        return None


def parse_file(data: bytes, path: str) -> dict[str, Any]:
    """The parts of config.json that speak of registries. Raises InvalidArgument in Docker's words."""
    if not data.strip():
        return {}
    if len(data) > _FILE_MAX:
        raise InvalidArgument(f"parsing config file ({path}): larger than {_FILE_MAX} bytes")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"parsing config file ({path}): {error}") from None
    if not isinstance(raw, dict):
        raise InvalidArgument(f"parsing config file ({path}): not an object")
    for key in ("auths", "credHelpers"):
        if raw.get(key) is not None and not isinstance(raw[key], dict):
            raise InvalidArgument(f"parsing config file ({path}): {key} is not an object")
    helpers = [*(raw.get("credHelpers") or {}).values(), raw.get("credsStore") or ""]
    if not all(isinstance(one, str) for one in helpers):
        raise InvalidArgument(f"parsing config file ({path}): a credential helper is not a string")
    return raw


def parse_environment(text: str) -> dict[str, Any]:
    """The auths in DOCKER_AUTH_CONFIG, which knows the field `auth` only. Raises InvalidArgument."""
    what = "parsing DOCKER_AUTH_CONFIG"
    try:
        raw, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what}: {error}") from None
    if text.lstrip()[end:].strip():
        raise InvalidArgument(f"{what}: does not support more than one JSON object")
    auths = raw.get("auths", {}) if isinstance(raw, dict) else None
    if not isinstance(auths, dict):
        raise InvalidArgument(f"{what}: auths is not an object")
    for entry in auths.values():
        for key in entry if isinstance(entry, dict) else ():
            if key != "auth":
                raise InvalidArgument(f'{what}: json: unknown field "{key}"')
    return auths


def _from_auths(auths: dict[str, Any], key: str) -> Credentials | None:
    """The exact key first, then keys that name the same host."""
    if key in auths:
        return decode_entry(auths[key]) or None
    names = _HUB_NAMES if key == HUB_KEY else {hostname(key)}
    for stored, entry in auths.items():
        if hostname(stored) in names:
            return decode_entry(entry) or None
    return None
