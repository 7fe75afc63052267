"""Sockets to registries: pools, TLS, proxies, time-outs. One request in, one raw answer out; no policy.

TLS trusts what the system trusts (SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own variables) and what lies in Docker's
/etc/docker/certs.d/HOST: *.crt are authorities, NAME.cert with NAME.key is our own certificate.
"""

import os
import ssl
import threading
from typing import TYPE_CHECKING

from boxship.errors import RegistryError, Unsupported
from boxship.registry import faults
from boxship.registry.headers import clean
from boxship.registry.hosts import is_loopback, split_port
from boxship.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    import urllib3

USER_AGENT = f"boxship/{__version__}"
CONNECT_SECONDS = 30.0
# a registry may take its time to store a large layer
READ_SECONDS = 180.0
_CERTS = "/etc/docker/certs.d"
# for interpreters whose OpenSSL looks elsewhere than the distribution writes
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PARALLEL = 16


def tls_context(host: str, verify: bool, certs: str) -> ssl.SSLContext:
    """The TLS set-up for one registry."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_FILE"):
        for bundle in _BUNDLES:
            if os.path.exists(bundle):
                context.load_verify_locations(bundle)
                break
    _add_own_certificates(context, f"{certs}/{host}")
    return context


def _add_own_certificates(context: ssl.SSLContext, folder: str) -> None:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        try:
            if name.endswith(".crt"):
                context.load_verify_locations(path)
            elif name.endswith(".cert"):
                context.load_cert_chain(path, f"{path[:-5]}.key")
        except OSError as error:
            text = clean(error.strerror or str(error)).lower()
            raise RegistryError(f"can't load certificate {path}: {text}", hint="each NAME.cert needs its NAME.key") from None


def bypasses_proxy(netloc: str, rules: str) -> bool:
    """Whether NO_PROXY says to go straight: *, names with their subdomains, addresses, networks, each with a port or not.

    Loopback always goes straight, as in Go's httpproxy, which Docker uses.
    """
    from ipaddress import ip_address, ip_network

    if is_loopback(netloc):
        return True
    name, port = split_port(netloc.lower())
    for text in rules.lower().split(","):
        rule = text.strip()
        if rule == "*":
            return True
        if "/" in rule:
            try:
                if ip_address(name) in ip_network(rule, strict=False):
                    return True
            except ValueError:
                pass
            continue
        rule_name, rule_port = split_port(rule)
        if not rule_name or (rule_port and rule_port != port):
            continue
        bare = rule_name.removeprefix("*").removeprefix(".")
        if name.endswith(f".{bare}") or (name == bare and not rule_name.startswith((".", "*"))):
            return True
    return False


def proxy_for(scheme: str, netloc: str, environment: "Mapping[str, str]") -> str | None:
    """The proxy that the environment names for a URL, None for none."""

    def value(name: str) -> str:
        return environment.get(name) or environment.get(name.upper()) or ""

    proxy = value(f"{scheme}_proxy")
    # in a CGI program HTTP_PROXY is a header of the request (httpoxy, CVE-2016-5386)
    if scheme == "http" and "REQUEST_METHOD" in environment and not environment.get("http_proxy"):
        proxy = ""
    if not proxy or bypasses_proxy(netloc, value("no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class Connections:
    """Pools of connections, one set per TLS set-up and proxy. Safe for threads."""

    def __init__(self, read_seconds: float = READ_SECONDS, connect_seconds: float = CONNECT_SECONDS, certs: str = _CERTS) -> None:
        self._certs = certs
        self._read = read_seconds
        self._connect = connect_seconds
        self._pools: dict[tuple[str, bool, str | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def _pool(self, scheme: str, netloc: str, verify: bool) -> "urllib3.PoolManager":
        proxy = proxy_for(scheme, netloc, os.environ)
        key = (netloc if scheme == "https" else "", verify, proxy)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._make(scheme, netloc, verify, proxy)
            return pool

    def _make(self, scheme: str, netloc: str, verify: bool, proxy: str | None) -> "urllib3.PoolManager":
        import urllib3

        context = tls_context(netloc, verify, self._certs) if scheme == "https" else None
        if not verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if proxy is None:
            return urllib3.PoolManager(maxsize=_PARALLEL, ssl_context=context, blocksize=1 << 17)
        if not proxy.startswith(("http://", "https://")):
            raise Unsupported(f"unsupported proxy: {proxy.partition('://')[0]}", hint="HTTPS_PROXY takes http:// and https:// URLs")
        return urllib3.ProxyManager(
            proxy, maxsize=_PARALLEL, ssl_context=context, blocksize=1 << 17, proxy_headers=_proxy_login(proxy)
        )

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: "bytes | IO[bytes] | None" = None,
        *,
        verify: bool = True,
        seconds: float | None = None,
    ) -> "urllib3.BaseHTTPResponse":
        """One request, no redirect, no repeat; the body of the answer is not read yet. Raises faults.ConnectFault.

        `seconds` shortens both time-outs.
        """
        from urllib.parse import urlsplit

        import urllib3

        parts = urlsplit(url)
        # "identity": digests and ranges are those of the bytes as they are stored
        limit = urllib3.Timeout(connect=min(seconds or self._connect, self._connect), read=min(seconds or self._read, self._read))
        full = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        try:
            return self._pool(parts.scheme, parts.netloc, verify).urlopen(
                method, url, body=body, headers=full, redirect=False, retries=False, preload_content=False, timeout=limit
            )
        except urllib3.exceptions.LocationParseError as error:
            raise faults.ConnectFault(f"invalid registry URL: {clean(str(error))}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise faults.from_exception(method, url, error) from None
        except ValueError as error:
            # a header that http.client will not send
            raise faults.ConnectFault(f"invalid request to the registry: {clean(str(error))}") from None

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()


def _proxy_login(proxy: str) -> dict[str, str] | None:
    from urllib.parse import unquote, urlsplit

    import urllib3

    parts = urlsplit(proxy)
    if parts.username is None:
        return None
    return urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
