"""Which addresses stand for a registry: its mirrors, its host, plain HTTP or not. Pure but for CIDR entries.

Docker's rules (registry/config.go of moby): docker.io is served by registry-1.docker.io, loopback addresses need no
TLS, an insecure registry is tried with TLS that verifies nothing, then with plain HTTP, and mirrors are asked for
pulls only. Unlike Docker, plain HTTP comes first on loopback, and no name is looked up in DNS to see whether it is
loopback: who forges the answer would turn verification off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from boxship.errors import InvalidArgument

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_HUB_ALIASES = ("index.docker.io", _HUB_HOST)

Resolver = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to ask. `schemes` in order of trial; `verify` False for insecure registries and loopback."""

    domain: str
    host: str
    schemes: tuple[str, ...] = ("https",)
    prefix: str = ""
    mirror: bool = False
    verify: bool = True

    def url(self, scheme: str, path: str) -> str:
        return f"{scheme}://{self.host}{self.prefix}{path}"

    def __str__(self) -> str:
        return self.url(self.schemes[0], "")


def split_port(host: str) -> tuple[str, str | None]:
    """(host without brackets, port or None); the port is "" when a colon ends the text."""
    if host.startswith("["):
        inner, _, rest = host[1:].partition("]")
        return inner, rest[1:] if rest.startswith(":") else None
    if host.count(":") == 1:
        name, _, port = host.partition(":")
        return name, port
    return host, None


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine by its text: localhost, 127.0.0.0/8 or ::1."""
    from ipaddress import ip_address

    name, port = split_port(host)
    if port == "":
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def canonical_address(scheme: str, address: str) -> str:
    """The address with an explicit port and IPv6 in brackets; what is no address stays as it is."""
    name, port = split_port(address)
    if not name or (port and not port.isdigit()):
        return address
    shown = f"[{name}]" if ":" in name else name
    return f"{shown}:{port or (443 if scheme == 'https' else 80)}"


def normal_mirror(text: str) -> str:
    """The URL of a mirror, with a slash at its end. Raises InvalidArgument in Docker's words."""
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise InvalidArgument(f"invalid mirror: no scheme specified for \"{text}\": must use either 'https://' or 'http://'")
    if scheme not in ("http", "https"):
        raise InvalidArgument(
            f"invalid mirror: unsupported scheme \"{scheme}\" in \"{text}\": must use either 'https://' or 'http://'"
        )
    if "?" in text or "#" in text:
        raise InvalidArgument(f'invalid mirror: query or fragment at end of the URI "{text}"')
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise InvalidArgument(f'invalid mirror: "{text}": {error}') from None
    if not host:
        raise InvalidArgument(f'invalid mirror: no host in "{text}"')
    if parts.username is not None:
        shown = text.replace(f"{parts.netloc.rpartition('@')[0]}@", "xxxxx@")
        raise InvalidArgument(
            f'invalid mirror: username/password not allowed in URI "{shown}"', hint="put them into ~/.docker/config.json"
        )
    return text if text.endswith("/") else f"{text}/"


def _section(settings: Mapping[str, Any], domain: str) -> dict[str, Any]:
    registries = settings.get("registry", {})
    section = registries.get(domain, {}) if isinstance(registries, dict) else None
    if not isinstance(section, dict):
        raise InvalidArgument(f"invalid configuration: registry.{domain} is not a table")
    return section


def _mirrors(settings: Mapping[str, Any], domain: str) -> list[str]:
    mirrors = _section(settings, domain).get("mirrors", [])
    if not isinstance(mirrors, list) or not all(isinstance(one, str) for one in mirrors):
        raise InvalidArgument(f'invalid configuration: registry."{domain}".mirrors is not a list of URLs')
    return [normal_mirror(one) for one in mirrors]


def _addresses(name: str) -> list[str]:
    import socket

    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []


def _in_insecure_network(settings: Mapping[str, Any], host: str, resolve: Resolver) -> bool:
    """Whether an entry like registry."10.0.0.0/8" with insecure = true covers an address of `host`."""
    from ipaddress import ip_address, ip_network

    networks = []
    for key, section in settings.get("registry", {}).items():
        if "/" in key and isinstance(section, dict) and section.get("insecure") is True:
            try:
                networks.append(ip_network(key, strict=False))
            except ValueError:
                raise InvalidArgument(f"insecure registry {key} is not valid: invalid network") from None
    if not networks:
        return False
    name = split_port(host)[0]
    try:
        addresses = [ip_address(name)]
    except ValueError:
        addresses = [ip_address(text.partition("%")[0]) for text in resolve(name)]
    return any(address in network for address in addresses for network in networks)


def is_secure(settings: Mapping[str, Any], domain: str, resolve: Resolver = _addresses) -> bool:
    """Whether a registry's certificate must be verified. Raises InvalidArgument for a wrong setting."""
    insecure = _section(settings, domain).get("insecure", False)
    if not isinstance(insecure, bool):
        raise InvalidArgument(f'invalid configuration: registry."{domain}".insecure is not true or false')
    return not (insecure or is_loopback(domain) or _in_insecure_network(settings, domain, resolve))


def normal_domain(domain: str) -> str:
    """docker.io for each of Docker Hub's own names, else the domain itself."""
    return DOCKER_HUB if domain in _HUB_ALIASES else domain


def endpoints(settings: Mapping[str, Any], domain: str, *, push: bool = False) -> list[Endpoint]:
    """The servers to ask for images of `domain`, in order: mirrors (for pulls), then the registry itself."""
    domain = normal_domain(domain)
    found: list[Endpoint] = []
    for mirror in () if push else _mirrors(settings, domain):
        parts = urlsplit(mirror)
        verify = is_secure(settings, parts.netloc)
        found.append(Endpoint(domain, parts.netloc, (parts.scheme,), parts.path.rstrip("/"), mirror=True, verify=verify))
    secure = is_secure(settings, domain)
    host = _HUB_HOST if domain == DOCKER_HUB else domain
    found.append(Endpoint(domain, host, _schemes(host, secure), verify=secure))
    return found


def _schemes(host: str, secure: bool) -> tuple[str, ...]:
    if secure:
        return ("https",)
    # nobody listens in on loopback, and registries there rarely speak TLS
    return ("http", "https") if is_loopback(host) else ("https", "http")
