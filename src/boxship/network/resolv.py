"""A container's /etc/resolv.conf, made from the host's and from --dns, --dns-search, --dns-option. Pure (resolv.conf(5))."""

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOST_FILE = "/etc/resolv.conf"
# systemd-resolved keeps the servers behind its stub here (systemd-resolved.service(8))
SYSTEMD_FILE = "/run/systemd/resolve/resolv.conf"

_STUB = "127.0.0.53"
_DEFAULT_SERVERS = ("8.8.8.8", "8.8.4.4")


class _Host:
    __slots__ = ("options", "other", "search", "servers")

    def __init__(self) -> None:
        self.servers: list[str] = []
        self.search: list[str] = []
        self.options: list[str] = []
        self.other: list[str] = []


def _is_address(word: str) -> bool:
    family = _socket.AF_INET6 if ":" in word else _socket.AF_INET
    try:
        _socket.inet_pton(family, word.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def _parse(text: str) -> _Host:
    found = _Host()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver":
            found.servers += [word for word in values[:1] if _is_address(word)]
        elif keyword in ("search", "domain"):
            found.search = values  # the last one counts
        elif keyword == "options":
            found.options += values
        else:
            found.other.append(" ".join(words))
    return found


def host_file(text: str) -> str:
    """Which file of the host to start from, given the text of /etc/resolv.conf: systemd's own when that names only its stub."""
    return SYSTEMD_FILE if _parse(text).servers == [_STUB] else HOST_FILE


def _reachable(server: str) -> bool:
    # loopback is the container's own; and an IPv6 server can't be reached from a network without IPv6
    return not server.startswith("127.") and ":" not in server


def container_file(
    host_text: str,
    *,
    dns: "Sequence[str]" = (),
    search: "Sequence[str]" = (),
    options: "Sequence[str]" = (),
    bridge: bool = True,
) -> str:
    """The text of the container's file. Without `bridge` (--network host) the host's servers are kept as they are.

    `dns`, `search` and `options` replace the host's; a search of '.' alone means none. Where no server is left, Google's
    are used, as Docker does.
    """
    host = _parse(host_text)
    servers = list(dns) or [server for server in host.servers if not bridge or _reachable(server)]
    if not servers and bridge:
        servers = list(_DEFAULT_SERVERS)
    domains = [domain for domain in (search or host.search) if domain != "."]
    return _render(servers, domains, options or host.options, host.other)


def _render(servers: "Iterable[str]", domains: "Sequence[str]", options: "Sequence[str]", other: "Iterable[str]") -> str:
    lines = [f"nameserver {server}" for server in servers]
    if domains:
        lines.append(f"search {' '.join(domains)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in (*lines, *other))
