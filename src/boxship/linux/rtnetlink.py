"""rtnetlink(7): links, addresses, routes.

    with Route() as route:
        route.send(bridge("br0"))
        index = route.index("br0")
        route.send(address(index, "172.17.0.1", 16), change_link(index, up=True))      # one send(2)

Requests are values made by pure functions; only `Route` talks to the kernel.
"""

import _socket
from errno import ENODEV
from struct import Struct

from boxship.errors import KernelError
from boxship.linux.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    attribute,
    attributes,
    malformed,
    nested,
    read_text,
    read_u32,
    text,
    u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.linux.netlink import Message

AF_INET = 2
AF_INET6 = 10
_AF_BRIDGE = 7

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_GETROUTE = 26
RTM_NEWNEIGH = 28

IFF_UP = 0x1

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_MASTER = 10
_IFLA_PROTINFO = 12
_IFLA_OPERSTATE = 16
_IFLA_LINKINFO = 18
_IFLA_IFALIAS = 20
_IFLA_NET_NS_FD = 28
_IFLA_EXT_MASK = 29
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_IFLA_BRPORT_MODE = 4
_IF_OPER_UP = b"\x06"  # RFC 2863
_RTEXT_FILTER_SKIP_STATS = 8  # statistics are most of a link's answer

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_BROADCAST = 4

_NDA_LLADDR = 2
_NTF_MASTER = 0x4
_NUD_NOARP = 0x40

_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_RT_SCOPE_UNIVERSE = 0
_RTN_UNICAST = 1

_IFINFO = Struct("=BxHiII")
_IFADDR = Struct("=BBBBI")
_RTMSG = Struct("=BBBBBBBBI")
_NDMSG = Struct("=BxHiHBB")


# Requests


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _link(kind: int, flags: int, index: int, up: bool, parts: "list[bytes]", words: str, subject: str) -> "Message":
    mask = IFF_UP if up else 0
    return kind, flags, _IFINFO.pack(0, 0, index, mask, mask) + b"".join(parts), words, subject


def bridge(name: str, mac: str = "") -> "Message":
    """A new bridge, still down. With `mac` its address stays the same whatever ports come and go."""
    parts = [text(_IFLA_IFNAME, name), nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"))]
    if mac:
        parts.append(attribute(_IFLA_ADDRESS, mac_bytes(mac)))
    return _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, False, parts, "NEWLINK", name)


def veth(
    name: str, *, peer: str, peer_ns: int = -1, peer_mac: str = "", master: int = 0, up: bool = True, mtu: int = 0
) -> "Message":
    """A new veth pair, its peer made straight in the namespace of the descriptor `peer_ns`.

    Moving the peer afterwards would wait for an RCU grace period (28 ms against 2). The peer comes down: the kernel
    refuses IFF_UP for it, as its pair is not complete yet.
    """
    size = [u32(_IFLA_MTU, mtu)] if mtu else []
    other = [_IFINFO.pack(0, 0, 0, 0, 0), text(_IFLA_IFNAME, peer), *size]
    if peer_ns >= 0:
        other.append(u32(_IFLA_NET_NS_FD, peer_ns))
    if peer_mac:
        other.append(attribute(_IFLA_ADDRESS, mac_bytes(peer_mac)))
    data = nested(_IFLA_INFO_DATA, nested(_VETH_INFO_PEER, *other))
    parts = [text(_IFLA_IFNAME, name), nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth"), data), *size]
    if master:
        parts.append(u32(_IFLA_MASTER, master))
    return _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, up, parts, "NEWLINK", name)


def change_link(
    index: int, *, up: bool = False, name: str = "", mtu: int = 0, mac: str = "", alias: str = "", master: int = 0
) -> "Message":
    """Changes what is given and leaves the rest."""
    parts = []
    if name:
        parts.append(text(_IFLA_IFNAME, name))
    if mtu:
        parts.append(u32(_IFLA_MTU, mtu))
    if mac:
        parts.append(attribute(_IFLA_ADDRESS, mac_bytes(mac)))
    if alias:
        parts.append(text(_IFLA_IFALIAS, alias))
    if master:
        parts.append(u32(_IFLA_MASTER, master))
    return _link(RTM_NEWLINK, 0, index, up, parts, "NEWLINK", f"index {index}")


def delete_link(index: int) -> "Message":
    return _link(RTM_DELLINK, 0, index, False, [], "DELLINK", f"index {index}")


def address(index: int, ip: str, prefixlen: int, broadcast: str = "") -> "Message":
    """An IPv4 or IPv6 address for the interface `index`."""
    family, raw = _address_bytes(ip)
    parts = [attribute(_IFA_LOCAL, raw), attribute(_IFA_ADDRESS, raw)]
    if broadcast:
        parts.append(attribute(_IFA_BROADCAST, _address_bytes(broadcast)[1]))
    body = _IFADDR.pack(family, prefixlen, 0, 0, index) + b"".join(parts)
    return RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, "NEWADDR", f"{ip}/{prefixlen}"


def default_route(gateway: str, index: int) -> "Message":
    family, raw = _address_bytes(gateway)
    head = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0)
    body = head + attribute(_RTA_GATEWAY, raw) + u32(_RTA_OIF, index)
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, "NEWROUTE", f"default via {gateway}"


def bridge_entry(index: int, mac: str) -> "Message":
    """Tell the bridge that `mac` is found behind its port `index`, whatever it has learnt before."""
    body = _NDMSG.pack(_AF_BRIDGE, 0, index, _NUD_NOARP, _NTF_MASTER, 0) + attribute(_NDA_LLADDR, mac_bytes(mac))
    return RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, "NEWNEIGH", mac


def hairpin(index: int) -> "Message":
    """Let the bridge send frames back over the port `index` on which they came."""
    body = _IFINFO.pack(_AF_BRIDGE, 0, index, 0, 0) + nested(_IFLA_PROTINFO, attribute(_IFLA_BRPORT_MODE, b"\x01"))
    return RTM_SETLINK, 0, body, "SETLINK", f"index {index}"


def get_link(name: str) -> "Message":
    """Since Linux 6.8 the kernel first works off what the link watcher has still to do for this interface."""
    parts = [text(_IFLA_IFNAME, name), u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)]
    return _link(RTM_GETLINK, 0, 0, False, parts, "GETLINK", name)


def _address_bytes(ip: str) -> "tuple[int, bytes]":
    family = AF_INET6 if ":" in ip else AF_INET
    return family, _socket.inet_pton(family, ip)


# Answers


class Link:
    """An interface. `master` is the index of the bridge it is a port of, or 0; `kind` is '' for hardware;
    `forwarding` says that its operational state is up: only then does a bridge pass frames over it."""

    __slots__ = ("alias", "flags", "forwarding", "index", "kind", "mac", "master", "mtu", "name")

    def __init__(self, payload: bytes) -> None:
        if len(payload) < _IFINFO.size:
            raise malformed("link")
        _family, _type, index, flags, _change = _IFINFO.unpack_from(payload)
        self.index = int(index)
        self.flags = int(flags)
        found = attributes(payload[_IFINFO.size :])
        self.name = read_text(found, _IFLA_IFNAME)
        self.alias = read_text(found, _IFLA_IFALIAS)
        self.forwarding = found.get(_IFLA_OPERSTATE) == _IF_OPER_UP
        self.mtu = read_u32(found, _IFLA_MTU)
        self.master = read_u32(found, _IFLA_MASTER)
        self.mac = found.get(_IFLA_ADDRESS, b"").hex(":")
        self.kind = read_text(attributes(found.get(_IFLA_LINKINFO, b"")), _IFLA_INFO_KIND)

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


def _ip_text(family: int, raw: bytes) -> str:
    try:
        return _socket.inet_ntop(family, raw)
    except (OSError, ValueError):
        raise malformed("address") from None


def parse_address(payload: bytes) -> "tuple[int, str]":
    """(interface index, 'ADDRESS/PREFIX') of a NEWADDR message."""
    if len(payload) < _IFADDR.size:
        raise malformed("address")
    family, prefixlen, _flags, _scope, index = _IFADDR.unpack_from(payload)
    found = attributes(payload[_IFADDR.size :])
    # on a point-to-point link IFA_ADDRESS is the other end (rtnetlink(7)); IPv6 has no IFA_LOCAL
    return index, f"{_ip_text(family, found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b''))}/{prefixlen}"


def parse_route(payload: bytes) -> "tuple[str, str, int] | None":
    """(destination 'A/P', gateway or '', interface index) of a unicast route in any table; None for other kinds."""
    if len(payload) < _RTMSG.size:
        raise malformed("route")
    family, length, _src, _tos, _table, _protocol, _scope, kind, _flags = _RTMSG.unpack_from(payload)
    if kind != _RTN_UNICAST:
        return None
    found = attributes(payload[_RTMSG.size :])
    blank = bytes(16 if family == AF_INET6 else 4)
    gateway = found.get(_RTA_GATEWAY)
    destination = f"{_ip_text(family, found.get(_RTA_DST, blank))}/{length}"
    return destination, _ip_text(family, gateway) if gateway else "", read_u32(found, _RTA_OIF)


class Route(Netlink):
    """rtnetlink of the network namespace in which the caller stands now."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE, "rtnetlink")

    def __enter__(self) -> "Route":
        return self

    def send(self, *messages: "Message") -> None:
        """All of them in one send(2); raises KernelError for the first that failed, after all were tried."""
        self.talk(list(messages))

    def find(self, name: str) -> "Link | None":
        """The interface of that name, None when there is none."""
        try:
            reply = self.talk([get_link(name)])[0]
        except KernelError as error:
            if error.errno == ENODEV:
                return None
            raise
        if not reply:
            raise malformed("link")
        return Link(reply[0])

    def index(self, name: str) -> int:
        """Raises KernelError(ENODEV) when there is no such interface."""
        found = self.find(name)
        if found is None:
            raise KernelError("rtnetlink GETLINK", ENODEV, name)
        return found.index

    def links(self, master: int = 0) -> "list[Link]":
        """All interfaces, or the ports of the bridge `master`."""
        parts = [u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)]
        if master:
            parts.append(u32(_IFLA_MASTER, master))
        found = [Link(each) for each in self.dump(_link(RTM_GETLINK, 0, 0, False, parts, "GETLINK", ""))]
        return [link for link in found if not master or link.master == master]

    def addresses(self, family: int = AF_INET) -> "list[tuple[int, str]]":
        """(interface index, 'ADDRESS/PREFIX') of every address."""
        body = _IFADDR.pack(family, 0, 0, 0, 0)
        return [parse_address(each) for each in self.dump((RTM_GETADDR, 0, body, "GETADDR", ""))]

    def routes(self, family: int = AF_INET) -> "list[tuple[str, str, int]]":
        """(destination, gateway or '', interface index) of every unicast route; the default route is 0.0.0.0/0."""
        body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        found = [parse_route(each) for each in self.dump((RTM_GETROUTE, 0, body, "GETROUTE", ""))]
        return [route for route in found if route is not None]
