"""A registry's failures in Docker's words: from answers with an error body, and from connections that fail.

The codes are those of the distribution-spec; the sentences those of Docker's registry client (errcode) and of Go's
net package, for people know them.
"""

import json
from typing import TYPE_CHECKING, Any

from boxship.errors import NotFound, RegistryError, Unauthorized
from boxship.registry.headers import clean, parse_challenges, redact

if TYPE_CHECKING:
    from boxship.errors import BoxshipError
    from boxship.oci.reference import Reference

_MESSAGES = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "NAME_UNKNOWN": "repository name not known to registry",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "TOOMANYREQUESTS": "too many requests",
    "UNAVAILABLE": "service unavailable",
    "UNSUPPORTED": "The operation is unsupported.",
}
_TEMPORARY_CODES = frozenset(("BLOB_UPLOAD_INVALID", "TOOMANYREQUESTS", "UNKNOWN", "UNAVAILABLE"))
_TEMPORARY_STATUS = frozenset((408, 500, 502, 503, 504))
_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
# RFC 6750 section 3.1
_OAUTH_CODES = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
LOGIN_HINT = "put credentials for {} into ~/.docker/config.json, as `docker login` does"


class HttpFault(RegistryError):
    """An answer with a status of 400 or more. `codes` are the registry's own, the first one is spoken of."""

    def __init__(self, message: str, status: int, codes: list[str], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.codes = codes

    @property
    def code(self) -> str:
        return self.codes[0] if self.codes else ""


class ConnectFault(RegistryError):
    """No answer at all. `again` when the same request may well succeed soon (a reset, a time-out while reading)."""

    def __init__(self, message: str, *, again: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.again = again


def is_temporary(status: int, codes: list[str]) -> bool:
    """Whether an answer is worth a second request."""
    if status in _TEMPORARY_STATUS:
        return True
    return bool(codes) and all(code in _TEMPORARY_CODES for code in codes)


def _entries(body: bytes) -> tuple[list[dict[str, Any]], str]:
    """The `errors` of an answer, and the `details` that token servers send instead."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return [], ""
    if not isinstance(raw, dict):
        return [], ""
    errors = raw.get("errors")
    details = raw.get("details")
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return found, details if isinstance(details, str) else ""


def _words(code: str, message: str) -> str:
    return f"{code.lower().replace('_', ' ')}: {message or _MESSAGES.get(code, 'unknown error')}"


def _status_words(method: str, url: str, status: int, reason: str, body: bytes) -> str:
    named = f"{status} {reason or _REASONS.get(status, '')}".strip()
    text = clean(body.decode("utf-8", "replace"), 300)
    detail = f": {text}" if text else ""
    return f"{method} {redact(url)}: received unexpected HTTP status: {named}{detail}"


def from_answer(method: str, url: str, status: int, reason: str, body: bytes, challenges: list[str] | None = None) -> HttpFault:
    """The fault in an answer whose status is 400 or more."""
    entries, details = _entries(body)
    codes = [clean(str(entry.get("code", "UNKNOWN")), 64) for entry in entries]
    first = entries[0] if entries else {}
    message = clean(str(first.get("message") or ""))
    for challenge in parse_challenges(challenges or []):
        code = _OAUTH_CODES.get(challenge.parameters.get("error", ""))
        if challenge.scheme == "bearer" and code:
            codes.insert(0, code)
            message = clean(challenge.parameters.get("error_description", ""))
            break
    if not codes and status == 401:
        codes = ["UNAUTHORIZED"]
        message = clean(details or body.decode("utf-8", "replace"), 300)
    if not codes and status == 429:
        codes, message = ["TOOMANYREQUESTS"], clean(details)
    if codes:
        return HttpFault(_words(codes[0], message), status, codes)
    return HttpFault(_status_words(method, url, status, clean(reason, 80), body), status, codes)


def from_exception(method: str, url: str, error: Exception) -> ConnectFault:
    """The fault behind an exception of urllib3 or the socket below it."""
    import urllib3.exceptions as http

    what = f'{method.capitalize()} "{redact(url)}"'
    if isinstance(error, http.ProxyError):
        return ConnectFault(f"{what}: proxyconnect: {clean(str(error.original_error))}", hint="check HTTP_PROXY and HTTPS_PROXY")
    if isinstance(error, http.NameResolutionError):
        host = clean(str(error).partition("Failed to resolve '")[2].partition("'")[0])
        return ConnectFault(f"{what}: dial tcp: lookup {host}: no such host", hint="check the name and this machine's DNS")
    # the first is a kind of the second
    if isinstance(error, http.NewConnectionError):
        return _refused(what, url, error)
    if isinstance(error, http.ConnectTimeoutError):
        return ConnectFault(f"{what}: dial tcp: i/o timeout", hint="check the network, or set HTTPS_PROXY")
    if isinstance(error, http.SSLError):
        return _tls(what, error)
    if isinstance(error, http.TimeoutError):
        return ConnectFault(f"{what}: net/http: timeout awaiting response", again=True, hint="try again later")
    return ConnectFault(f"{what}: {clean(str(error), 200) or type(error).__name__}", again=True, hint="try again later")


def _refused(what: str, url: str, error: Exception) -> ConnectFault:
    from urllib.parse import urlsplit

    from boxship.registry.hosts import canonical_address

    parts = urlsplit(url)
    address = canonical_address(parts.scheme, parts.netloc.rpartition("@")[2])
    text = str(error).lower()
    for words in ("connection refused", "network is unreachable", "no route to host"):
        if words in text:
            return ConnectFault(f"{what}: dial tcp {address}: connect: {words}", hint=f"is the registry at {address} running?")
    return ConnectFault(f"{what}: dial tcp {address}: {clean(str(error), 200)}", hint="check the network")


def _tls(what: str, error: Exception) -> ConnectFault:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text or "RECORD_LAYER_FAILURE" in text:
        return ConnectFault(
            f"{what}: http: server gave HTTP response to HTTPS client",
            hint="for a registry without TLS set insecure = true for it in boxship.toml",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = clean(text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or "unknown reason", 200)
        return ConnectFault(
            f"{what}: tls: failed to verify certificate: x509: {reason}",
            hint="put the registry's CA into the system store, or name it with SSL_CERT_FILE",
        )
    return ConnectFault(f"{what}: tls: {clean(text, 200)}", hint="check the registry's TLS set-up")


def pull_error(ref: "Reference", fault: RegistryError, *, manifest: bool = True) -> "BoxshipError":
    """A failed pull as Docker tells it: with the image's name, where the registry says that it has none.

    `manifest`: a manifest was asked for, so that a bare 404 is about the image.
    """
    if not isinstance(fault, HttpFault):
        return fault
    host = "Docker Hub" if ref.domain == "docker.io" else ref.domain
    hint = LOGIN_HINT.format(host)
    if fault.code == "DENIED":
        text = f"pull access denied for {ref.familiar_name}, repository does not exist or may require 'docker login'"
        return NotFound(f"{text}: {fault.message}", hint=fault.hint or hint)
    if fault.code == "MANIFEST_UNKNOWN" or (manifest and fault.status == 404 and not fault.codes):
        detail = fault.message if fault.codes else _words("MANIFEST_UNKNOWN", "")
        return NotFound(f"manifest for {ref.familiar()} not found: {detail}", hint="check the name and the tag")
    if fault.code == "NAME_UNKNOWN":
        return NotFound(f"repository {ref.familiar_name} not found: {fault.message}", hint="check the name")
    return other_error(ref, fault)


def other_error(ref: "Reference", fault: RegistryError) -> "BoxshipError":
    """A failed push or listing: the registry's own words, with a class that callers can tell apart."""
    if not isinstance(fault, HttpFault):
        return fault
    host = "Docker Hub" if ref.domain == "docker.io" else ref.domain
    if fault.code in ("UNAUTHORIZED", "DENIED") or fault.status in (401, 403):
        return Unauthorized(fault.message, hint=fault.hint or LOGIN_HINT.format(host))
    if fault.code == "NAME_UNKNOWN":
        return NotFound(f"repository {ref.familiar_name} not found: {fault.message}", hint="check the name")
    if fault.code == "TOOMANYREQUESTS":
        return RegistryError(fault.message, hint="wait a while, log in, or use a mirror")
    return fault
