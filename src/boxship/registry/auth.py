"""Answers to a registry's challenges: Basic, or a bearer token from its token server.

The distribution-spec's token flow (distribution/docs/spec/auth/token.md and oauth.md): a 401 names a realm, a service
and a scope; we ask the realm, with our credentials if we have any, and repeat the request with the token. Credentials
go to the registry they belong to and to the realm it names, nowhere else; a realm without TLS gets none from a
registry with TLS.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from boxship.errors import RegistryError, Unauthorized
from boxship.registry import faults, headers
from boxship.registry.credentials import Credentials
from boxship.registry.headers import Challenge

if TYPE_CHECKING:
    import urllib3

    from boxship.registry.connections import Connections
    from boxship.registry.hosts import Endpoint

_ANSWER_MAX = 1 << 20
_CLIENT_ID = "boxship"
# the spec's default, and a margin so that a token does not end on its way
_LIFE_SECONDS = 60
_MARGIN_SECONDS = 5
_REDIRECTS = 5

Lookup = Callable[[str], Credentials | None]


def repository_scope(path: str, actions: str) -> str:
    """The scope of a request: `actions` is "pull" or "pull,push"."""
    return f"repository:{path}:{actions}"


def merge_scopes(wanted: Iterable[str], challenged: str) -> list[str]:
    """What to ask for: our own scopes and those of the challenge, sorted, each once."""
    return sorted({*wanted, *challenged.split()})


class TokenRequest:
    """What goes to a token server. Pure, so that tests can look at it."""

    __slots__ = ("credentials", "realm", "scopes", "service")

    def __init__(self, challenge: Challenge, wanted: Iterable[str], credentials: Credentials | None) -> None:
        self.realm = challenge.parameters.get("realm", "")
        self.service = challenge.parameters.get("service", "")
        self.scopes = merge_scopes(wanted, challenge.parameters.get("scope", ""))
        self.credentials = credentials or Credentials()
        if not self.realm:
            raise RegistryError("no realm specified for token auth challenge")

    def get_url(self) -> str:
        """The URL of the GET form: service, scopes, and the account when there is one."""
        pairs = [("scope", scope) for scope in self.scopes]
        if self.service:
            pairs.insert(0, ("service", self.service))
        if self.credentials.username:
            pairs.append(("account", self.credentials.username))
        separator = "&" if urlsplit(self.realm).query else "?"
        return f"{self.realm}{separator}{urlencode(pairs)}" if pairs else self.realm

    def form(self) -> dict[str, str]:
        """The fields of the POST form that exchanges an identity token."""
        return {
            "grant_type": "refresh_token",
            "service": self.service,
            "client_id": _CLIENT_ID,
            "scope": " ".join(self.scopes),
            "refresh_token": self.credentials.identity_token,
        }


def read_token(body: bytes) -> tuple[str, float, str]:
    """(token, seconds it lives, new identity token or "") of a token server's answer. Raises RegistryError."""
    try:
        raw: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryError("unable to decode token response: not JSON") from None
    if not isinstance(raw, dict):
        raise RegistryError("unable to decode token response: not an object")
    token = raw.get("token") or raw.get("access_token")
    if not isinstance(token, str) or not token:
        raise RegistryError("authorization server did not include a token in the response")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise RegistryError("authorization server sent a token that is none")
    life = raw.get("expires_in")
    seconds = life if isinstance(life, int) and not isinstance(life, bool) and life > 0 else 0
    refresh = raw.get("refresh_token")
    return token, float(max(seconds, _LIFE_SECONDS)), refresh if isinstance(refresh, str) else ""


def check_realm(realm: str, *, secure: bool) -> None:
    """Raise RegistryError for a realm that is no web address, or one in clear text named by a registry with TLS."""
    try:
        parts = urlsplit(realm)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RegistryError(f"invalid token auth challenge realm: {headers.clean(headers.redact(realm), 200)}")
    if secure and parts.scheme != "https":
        raise RegistryError(
            f"refused to ask for a token without TLS: {headers.redact(realm)}",
            hint="the registry itself uses TLS: its token server must too",
        )


class _Grant:
    """An answer to a challenge that worked: the header, until when, and how to get the next."""

    __slots__ = ("challenge", "deadline", "header")

    def __init__(self, header: str, deadline: float, challenge: Challenge) -> None:
        self.header = header
        self.deadline = deadline
        self.challenge = challenge


class Authorizer:
    """Grants by registry and scopes, for all threads of one client."""

    def __init__(self, connections: "Connections", lookup: Lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._connections = connections
        self._lookup = lookup
        self._clock = clock
        self._grants: dict[tuple[str, str, tuple[str, ...]], _Grant] = {}
        self._identity: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def header(self, endpoint: "Endpoint", scheme: str, scopes: tuple[str, ...]) -> str | None:
        """The Authorization header for a request to `endpoint`; a token about to end is renewed first."""
        key = (scheme, endpoint.host, scopes)
        with self._lock:
            grant = self._grants.get(key)
            if grant is None:
                return None
            if self._clock() >= grant.deadline:
                grant = self._grants[key] = self._obtain(endpoint, scheme, scopes, grant.challenge)
            return grant.header

    def answer(self, endpoint: "Endpoint", scheme: str, scopes: tuple[str, ...], asked: list[str], used: str | None) -> bool:
        """Take up the challenges of a 401 that `used` met. False when there is nothing to be tried.

        Raises Unauthorized or RegistryError when the token server refuses.
        """
        challenge = headers.select_challenge(headers.parse_challenges(asked))
        if challenge is None:
            return False
        if challenge.scheme not in ("basic", "bearer"):
            raise RegistryError(f"unsupported authentication of the registry: {headers.clean(challenge.scheme, 40)}")
        key = (scheme, endpoint.host, scopes)
        with self._lock:
            known = self._grants.get(key)
            if known is not None and known.header != used:
                return True  # another thread was faster
            if used is not None and used.startswith("Basic ") and challenge.scheme == "basic":
                return False
            self._grants[key] = self._obtain(endpoint, scheme, scopes, challenge)
            return True

    def _credentials(self, endpoint: "Endpoint") -> Credentials | None:
        # a mirror is another party: what belongs to the registry is not for it
        return self._lookup(endpoint.host if endpoint.mirror else endpoint.domain)

    def _obtain(self, endpoint: "Endpoint", scheme: str, scopes: tuple[str, ...], challenge: Challenge) -> _Grant:
        credentials = self._credentials(endpoint)
        if credentials and credentials.registry_token:
            return _Grant(f"Bearer {credentials.registry_token}", float("inf"), challenge)
        if challenge.scheme == "basic":
            basic = credentials.basic() if credentials else None
            if basic is None:
                raise Unauthorized("no basic auth credentials", hint=faults.LOGIN_HINT.format(endpoint.host))
            return _Grant(basic, float("inf"), challenge)
        request = TokenRequest(challenge, scopes, credentials)
        check_realm(request.realm, secure=scheme == "https" and endpoint.verify)
        token, seconds = self._fetch(endpoint, request)
        return _Grant(f"Bearer {token}", self._clock() + seconds - _MARGIN_SECONDS, challenge)

    def _fetch(self, endpoint: "Endpoint", request: TokenRequest) -> tuple[str, float]:
        who = (request.realm, request.service)
        if request.credentials.identity_token:
            newer = self._identity.get(who)
            if newer:
                request.credentials = Credentials(request.credentials.username, request.credentials.password, newer)
            body = self._exchange(endpoint, "POST", request.realm, request.form(), None)
            if body is not None:
                token, seconds, refresh = read_token(body)
                if refresh:
                    self._identity[who] = refresh
                return token, seconds
        body = self._exchange(endpoint, "GET", request.get_url(), None, request.credentials.basic())
        if body is None:
            raise RegistryError(f"the token server does not exist: {headers.redact(request.realm)}")
        token, seconds, _ = read_token(body)
        return token, seconds

    def _exchange(
        self, endpoint: "Endpoint", method: str, url: str, form: dict[str, str] | None, authorization: str | None
    ) -> bytes | None:
        """The body of the token server's answer; None for a 404 or 405 to a POST, which not all of them know."""
        fields = {"Accept": "application/json"}
        if form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        if authorization:
            fields["Authorization"] = authorization
        data = urlencode(form).encode() if form is not None else None
        first = url
        for _ in range(_REDIRECTS):
            # the verdict on verification is the registry's; a realm elsewhere must have a valid certificate
            verify = endpoint.verify or urlsplit(url).netloc != endpoint.host
            response = self._connections.send(method, url, fields, data, verify=verify)
            body = _bounded(response)
            if method == "GET" and response.status in (301, 302, 303, 307, 308):
                url = _follow(first, url, response.headers.get("Location", ""))
                continue
            if method == "POST" and response.status in (404, 405):
                return None
            if response.status >= 400:
                raise faults.from_answer(method, url, response.status, response.reason or "", body)
            return body
        raise RegistryError(f"the token server redirects too often: {headers.redact(first)}")


def _bounded(response: "urllib3.BaseHTTPResponse") -> bytes:
    import urllib3

    try:
        body = response.read(_ANSWER_MAX + 1)
        response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise faults.from_exception("GET", response.url or "", error) from None
    if len(body) > _ANSWER_MAX:
        raise RegistryError(f"the token server's answer is larger than {_ANSWER_MAX} bytes")
    return bytes(body)


def _follow(first: str, url: str, location: str) -> str:
    """Where a token server sends us on: its own host only, for the request carries our password."""
    target = urljoin(url, location)
    try:
        here, there = headers.origin(first), headers.origin(target)
    except ValueError:
        raise RegistryError("the token server redirects to what is no URL") from None
    same_host = here[1] == there[1] and (here[2] == there[2] or (here[0], there[0]) == ("http", "https"))
    if not location or not same_host or (here[0] == "https" and there[0] != "https"):
        raise RegistryError(f"refused to follow the token server elsewhere: {headers.redact(target)}")
    return target
