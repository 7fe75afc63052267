"""Requests to one registry's endpoint: scheme, authorization, redirects, repeats. What is asked is client's business.

    request  ->  Authorization for this endpoint and scope, if known
    401      ->  the challenge is answered once, the request repeated
    3xx      ->  followed; credentials stay behind when scheme, host or port change
    temporary fault (408, 5xx, a lost connection)  ->  repeated after a pause, a few times

Every body that is read here is read with a bound.
"""

import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from boxship.errors import RegistryError
from boxship.registry import faults, headers
from boxship.registry.auth import Authorizer, Lookup
from boxship.registry.connections import Connections
from boxship.registry.faults import ConnectFault

if TYPE_CHECKING:
    import urllib3

    from boxship.registry.hosts import Endpoint

_REDIRECTS = 10
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.25
_ERROR_MAX = 64 << 10
# Docker's limit for a TLS handshake
_PROBE_SECONDS = 10.0
_WARNINGS_MAX = 16

Body = bytes | Callable[[], IO[bytes]] | None


class Answer:
    """A response whose body is still to be read, and the URL that gave it. Close it, or read it to its end."""

    __slots__ = ("raw", "url")

    def __init__(self, raw: "urllib3.BaseHTTPResponse", url: str) -> None:
        self.raw = raw
        self.url = url

    @property
    def status(self) -> int:
        return self.raw.status

    def header(self, name: str) -> str:
        return self.raw.headers.get(name, "")

    def challenges(self) -> list[str]:
        return list(self.raw.headers.getlist("WWW-Authenticate"))

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end. Raises ConnectFault when the connection breaks."""
        import urllib3

        try:
            return bytes(self.raw.read(size))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise faults.from_exception("GET", self.url, error) from None

    def body(self, limit: int, what: str) -> bytes:
        """The whole body, of `limit` bytes at most. Raises RegistryError for a larger one."""
        data = self.read(limit + 1)
        while data and len(data) <= limit:
            more = self.read(limit + 1 - len(data))
            if not more:
                break
            data += more
        self.close()
        if len(data) > limit:
            raise RegistryError(f"the registry's {what} is larger than {limit} bytes: {headers.redact(self.url)}")
        return data

    def discard(self) -> None:
        """Finish with a short body so that its connection can be used again; drop a long one."""
        try:
            self.read(_ERROR_MAX)
        except ConnectFault:
            pass
        self.close()

    def close(self) -> None:
        # a body read to its end has given its connection back already
        if not self.raw.closed:
            self.raw.close()
        self.raw.release_conn()


class Transport:
    """Requests for all registries of one client. Safe for threads."""

    def __init__(self, lookup: Lookup, connections: Connections | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connections = connections or Connections()
        self._auth = Authorizer(self._connections, lookup)
        self._sleep = sleep
        self._schemes: dict[str, str] = {}
        self.warnings: list[str] = []

    def close(self) -> None:
        self._connections.close()

    def request(
        self,
        endpoint: "Endpoint",
        method: str,
        target: str,
        scopes: tuple[str, ...],
        *,
        fields: Mapping[str, str] | None = None,
        body: Body = None,
        attempts: int = _ATTEMPTS,
        verified: bool = False,
    ) -> Answer:
        """The answer to one request, status below 400. `target` is a path below the endpoint or a whole URL.

        `verified`: a digest guards the content, so that it may come over any transport. Raises faults.HttpFault and
        faults.ConnectFault.
        """
        for attempt in range(1, attempts + 1):
            try:
                return self._authorized(endpoint, method, target, scopes, dict(fields or {}), body, verified)
            except faults.HttpFault as fault:
                if attempt == attempts or not faults.is_temporary(fault.status, fault.codes):
                    raise
            except ConnectFault as fault:
                if attempt == attempts or not fault.again:
                    raise
            self.pause(attempt)
        raise AssertionError("unreachable")

    def _authorized(
        self,
        endpoint: "Endpoint",
        method: str,
        target: str,
        scopes: tuple[str, ...],
        fields: dict[str, str],
        body: Body,
        verified: bool,
    ) -> Answer:
        for again in (True, False):
            scheme = self._scheme(endpoint)
            url = target if "://" in target else endpoint.url(scheme, target)
            grant = self._auth.header(endpoint, scheme, scopes)
            answer = self._follow(endpoint, scheme, method, url, fields, body, grant, verified)
            self._note_warning(answer)
            if answer.status < 400:
                return answer
            if answer.status == 401 and again and self._is_own(endpoint, scheme, answer.url):
                asked = answer.challenges()
                fault = self._fault(method, answer)
                if self._auth.answer(endpoint, scheme, scopes, asked, grant):
                    continue
                raise fault
            raise self._fault(method, answer)
        raise AssertionError("unreachable")

    def _fault(self, method: str, answer: Answer) -> faults.HttpFault:
        try:
            body = answer.read(_ERROR_MAX)
        except ConnectFault:
            body = b""
        answer.close()
        reason = answer.raw.reason or ""
        return faults.from_answer(method, answer.url, answer.status, reason, body, answer.challenges())

    def _scheme(self, endpoint: "Endpoint") -> str:
        """The scheme that an insecure registry or one on loopback speaks. Found out once for each host."""
        if len(endpoint.schemes) == 1:
            return endpoint.schemes[0]
        known = self._schemes.get(endpoint.host)
        if known is None:
            known = self._schemes[endpoint.host] = self._probe(endpoint)
        return known

    def _probe(self, endpoint: "Endpoint") -> str:
        for scheme in endpoint.schemes:
            url = endpoint.url(scheme, "/v2/")
            try:
                answer = Answer(self._connections.send("GET", url, {}, verify=endpoint.verify, seconds=_PROBE_SECONDS), url)
            except ConnectFault:
                continue
            text = answer.read(_ERROR_MAX) if answer.status == 400 else b""
            answer.discard()
            # what servers of TLS say to those who speak none (Go, nginx, Apache)
            if scheme == "https" or not (b"HTTPS" in text or b"SSL" in text):
                return scheme
        return "http"

    def pause(self, attempt: int) -> None:
        """Wait before another try, longer each time; `attempt` counts from 1."""
        self._sleep(_PAUSE_SECONDS * 3 ** (attempt - 1))

    @staticmethod
    def _is_own(endpoint: "Endpoint", scheme: str, url: str) -> bool:
        try:
            return headers.origin(url) == headers.origin(endpoint.url(scheme, ""))
        except ValueError:
            return False

    def _follow(
        self,
        endpoint: "Endpoint",
        scheme: str,
        method: str,
        url: str,
        fields: dict[str, str],
        body: Body,
        grant: str | None,
        verified: bool,
    ) -> Answer:
        for _ in range(_REDIRECTS):
            own = self._is_own(endpoint, scheme, url)
            sent = {**fields, "Authorization": grant} if grant and own else fields
            # no certificate is asked of an insecure registry; of every other host one is
            verify = endpoint.verify or urlsplit(url).netloc != endpoint.host
            answer = Answer(self._send(method, url, sent, body, verify), url)
            location = answer.header("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            answer.discard()
            target = urljoin(url, location)
            check_redirect(url, target, verified=verified)
            if answer.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise RegistryError(f"stopped after {_REDIRECTS} redirects: {headers.redact(url)}")

    def _send(self, method: str, url: str, fields: dict[str, str], body: Body, verify: bool) -> "urllib3.BaseHTTPResponse":
        if not callable(body):
            return self._connections.send(method, url, fields, body, verify=verify)
        with body() as stream:
            return self._connections.send(method, url, fields, stream, verify=verify)

    def _note_warning(self, answer: Answer) -> None:
        for value in answer.raw.headers.getlist("Warning"):
            text = headers.clean(headers.warning_text(value))
            if text and text not in self.warnings and len(self.warnings) < _WARNINGS_MAX:
                self.warnings.append(text)


def check_redirect(url: str, target: str, *, verified: bool) -> None:
    """Raise RegistryError for a redirect to what is no web address, or off TLS with content that no digest guards."""
    try:
        here, there = headers.origin(url), headers.origin(target)
    except ValueError:
        here, there = ("", "", 0), ("", "", 0)
    if there[0] not in ("http", "https") or not there[1]:
        raise RegistryError(f"the registry redirects to what is no web address: {headers.clean(headers.redact(target), 200)}")
    if here[0] == "https" and there[0] == "http" and not verified:
        raise RegistryError(f"refused to follow a redirect from https to http: {headers.redact(target)}")
