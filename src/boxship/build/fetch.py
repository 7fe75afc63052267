"""Downloads of ADD and of a context: HTTP and HTTPS only, also behind redirects and the environment's proxies."""

from __future__ import annotations

import email.utils
import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from boxship.build.graph import UrlSource
from boxship.build.ops.copy import Loose
from boxship.errors import BuildFailed
from boxship.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 18
_TIMEOUT = 60
_MODE = 0o600  # what Docker gives to every download (Dockerfile reference, ADD)


def fetch(source: UrlSource, path: str, check: Callable[[], None]) -> Loose:
    """Download to the new file `path`. `check` is called now and then and may raise. Raises BuildFailed."""
    mtime = download(source.url, path, check)
    return Loose(source.filename, path, _MODE, mtime)


def download(url: str, path: str, check: Callable[[], None]) -> int:
    """The Last-Modified time in nanoseconds, 0 when the server gives none."""
    try:
        with _open(url) as answer, open(path, "xb") as file:
            while chunk := answer.read(_CHUNK):
                check()
                file.write(chunk)
            # read() does not tell a body that ended early (http.client's documentation of IncompleteRead)
            if answer.length:
                raise BuildFailed(f"download ended early: {_shown(url)}", hint="try again")
            modified = answer.headers.get("Last-Modified")
    except urllib.error.HTTPError as error:
        raise BuildFailed(f"{_shown(url)}: invalid response status {error.code}", hint="open the address in a browser") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise BuildFailed(f"failed to fetch {_shown(url)}: {reason}", hint="is the address right, and the server up?") from None
    parsed = email.utils.parsedate_to_datetime(modified) if modified and _is_date(modified) else None
    return int(parsed.timestamp()) * 1_000_000_000 if parsed else 0


def _open(url: str) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", f"boxship/{__version__}"), ("Accept-Encoding", "identity")]
    answer = opener.open(url, timeout=_TIMEOUT)
    if not isinstance(answer, http.client.HTTPResponse):
        raise BuildFailed(f"failed to fetch {_shown(url)}: unsupported protocol scheme", hint="use http or https")
    return answer


def _is_date(text: str) -> bool:
    try:
        email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _shown(url: str) -> str:
    """Without a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:xxxxx@{parts.netloc.rpartition('@')[2]}"))
