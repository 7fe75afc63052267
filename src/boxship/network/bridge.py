"""The bridge of one store, and the nf_tables table that stands beside it.

The table's chains never change; a published port is one element in one of its maps (see `portmap`):

    raw         prerouting -300   what comes from the bridge and speaks of 127.0.0.0/8 is dropped: route_localnet, which lets
                                  the host reach a published port on 127.0.0.1, would otherwise open the host's loopback
    prerouting  nat -100          destination looked up in the maps; not for 127.0.0.0/8, which no neighbour may reach
    output      nat -100          the same for what the host itself sends
    forward     filter 0          out of the bridge: all; into it: answers, published ports, neighbours; nothing else
    postrouting nat 100           masquerade what leaves the subnet, what a container sends to a published port of its own
                                  network (hairpin), and what the host sends from 127.0.0.1

The rules name the bridge and the subnet; a comment on the table and the alias of the bridge say which (`_stamp`), so that
`ensure` sees with two questions to the kernel that nothing is to be done.
"""

from errno import EEXIST, ENODEV, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT

from boxship.errors import BoxshipError, Conflict, Forbidden, InvalidArgument, KernelError, Unavailable, Unsupported
from boxship.linux import nftables as nft
from boxship.linux import rtnetlink
from boxship.network import ipam
from boxship.network.sandbox import write_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from boxship.linux.netlink import Message

# (protocol . port) and (address . protocol . port) -> container's address . port
PORTS = "ports"
ADDRESS_PORTS = "address_ports"

_RULES_VERSION = 1
_ATTEMPTS = 3

# what dockerd and iptables-nft use
_FOREIGN_TABLE = "filter"
_FOREIGN_CHAINS = ("DOCKER-USER", "FORWARD")

_LOOPBACK = bytes([127, 0, 0, 0])

_PRIORITY_RAW = -300
_PRIORITY_DSTNAT = -100
_PRIORITY_SRCNAT = 100


class BridgeInfo:
    """`fresh` says that the rules were made just now: ports published before must be published again."""

    __slots__ = ("fresh", "gateway", "ifindex", "prefixlen", "subnet")

    def __init__(self, ifindex: int, subnet: str, fresh: bool) -> None:
        self.ifindex = ifindex
        self.subnet = subnet
        self.gateway = ipam.gateway(subnet)
        self.prefixlen = ipam.parse_subnet(subnet)[1]
        self.fresh = fresh


def names(tag: str) -> "tuple[str, str]":
    """(bridge, table) of the store with that tag (config.store_tag)."""
    return (f"bx{tag}", f"boxship_{tag}") if tag else ("boxship0", "boxship")


# Which subnet


def _pools() -> "Iterable[str]":
    # Docker's default-address-pools, in its order
    for second in range(17, 32):
        yield f"172.{second}.0.0/16"
    for third in range(0, 256, 16):
        yield f"192.168.{third}.0/20"


def choose_subnet(settings: "dict[str, Any]", addresses: "Iterable[str]", routes: "Iterable[str]") -> str:
    """The subnet of the default bridge: settings["network"]["subnet"], else Docker's first pool that the host does not use.

    `addresses` and `routes` are the host's, as 'A.B.C.D/P'; default routes do not count. Raises InvalidArgument for a
    setting that is no subnet, Unavailable when every pool overlaps something.
    """
    section = settings.get("network", {})
    wanted = section.get("subnet") if isinstance(section, dict) else None
    if wanted is not None:
        return _configured(wanted)
    taken = [each for each in (*addresses, *routes) if not each.endswith("/0")]
    for pool in _pools():
        if not any(ipam.overlap(pool, each) for each in taken):
            return pool
    raise Unavailable(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        hint='name a free subnet in boxship.toml: [network] subnet = "10.200.0.0/16"',
    )


def _configured(wanted: object) -> str:
    if not isinstance(wanted, str):
        raise InvalidArgument(f"network.subnet must be a text: {wanted}", hint='subnet = "172.30.0.0/16"')
    network, prefixlen = ipam.parse_subnet(wanted)
    if not 8 <= prefixlen <= 29:
        raise InvalidArgument(f"network.subnet is too large or too small: {wanted}", hint="use a length from 8 to 29")
    return f"{ipam.dotted(network)}/{prefixlen}"


# The rules


def _destination_rules(table: str, chain: str) -> "list[Message]":
    port = [nft.meta(nft.META_L4PROTO, nft.REG32), nft.payload(nft.TRANSPORT_HEADER, 2, 2, nft.REG32 + 1)]
    by_port = [*nft.daddr_is_local(), *port, nft.lookup(PORTS), nft.dnat()]
    by_address = [
        nft.payload(nft.NETWORK_HEADER, 16, 4, nft.REG32),
        nft.meta(nft.META_L4PROTO, nft.REG32 + 1),
        nft.payload(nft.TRANSPORT_HEADER, 2, 2, nft.REG32 + 2),
        nft.lookup(ADDRESS_PORTS),
        nft.dnat(),
    ]
    return [nft.add_rule(table, chain, by_address), nft.add_rule(table, chain, by_port)]


def _maps(table: str) -> "list[Message]":
    target = nft.TYPE_IPV4_ADDR, nft.TYPE_INET_SERVICE
    port = nft.TYPE_INET_PROTO, nft.TYPE_INET_SERVICE
    return [
        nft.add_map(table, PORTS, port, target, 1),
        nft.add_map(table, ADDRESS_PORTS, (nft.TYPE_IPV4_ADDR, *port), target, 2),
    ]


def _chains(table: str) -> "list[Message]":
    return [
        nft.add_chain(table, "raw", nft.FILTER, nft.HOOK_PREROUTING, _PRIORITY_RAW),
        nft.add_chain(table, "prerouting", nft.NAT, nft.HOOK_PREROUTING, _PRIORITY_DSTNAT),
        nft.add_chain(table, "output", nft.NAT, nft.HOOK_OUTPUT, _PRIORITY_DSTNAT),
        nft.add_chain(table, "forward", nft.FILTER, nft.HOOK_FORWARD, 0),
        nft.add_chain(table, "postrouting", nft.NAT, nft.HOOK_POSTROUTING, _PRIORITY_SRCNAT),
    ]


def _filter_rules(table: str, name: str) -> "list[Message]":
    into, out_of = nft.oifname_is(name), nft.iifname_is(name)
    accept, drop = nft.verdict(nft.NF_ACCEPT), nft.verdict(nft.NF_DROP)
    return [
        nft.add_rule(table, "raw", [*out_of, *nft.daddr_in(_LOOPBACK, 8), drop]),
        nft.add_rule(table, "raw", [*out_of, *nft.saddr_in(_LOOPBACK, 8), drop]),
        nft.add_rule(table, "forward", [*into, *nft.ct_state(nft.CT_ESTABLISHED_RELATED), accept]),
        nft.add_rule(table, "forward", [*into, *nft.ct_status(nft.IPS_DST_NAT), accept]),
        nft.add_rule(table, "forward", [*into, nft.meta(nft.META_IIFNAME), nft.unequal(nft.ifname(name)), drop]),
    ]


def _address_rules(table: str, name: str, subnet: str) -> "list[Message]":
    network, prefixlen = ipam.parse_subnet(subnet)
    ours = nft.saddr_in(network.to_bytes(4, "big"), prefixlen)
    into, masquerade = nft.oifname_is(name), nft.masquerade()
    return [
        nft.add_rule(table, "prerouting", [*nft.daddr_in(_LOOPBACK, 8), nft.verdict(nft.NFT_RETURN)]),
        *_destination_rules(table, "prerouting"),
        *_destination_rules(table, "output"),
        nft.add_rule(table, "postrouting", [*ours, *nft.oifname_is_not(name), masquerade]),
        nft.add_rule(table, "postrouting", [*into, *ours, *nft.ct_status(nft.IPS_DST_NAT), masquerade]),
        nft.add_rule(table, "postrouting", [*into, *nft.saddr_in(_LOOPBACK, 8), masquerade]),
    ]


def ruleset(name: str, table: str, subnet: str) -> "list[Message]":
    """Everything but the table itself."""
    return [*_maps(table), *_chains(table), *_filter_rules(table, name), *_address_rules(table, name, subnet)]


# Making it so


def _stamp(name: str, subnet: str) -> str:
    return f"boxship {_RULES_VERSION} {name} {subnet}"


def ensure(name: str, table: str, subnet: str) -> BridgeInfo:
    """Bridge, address, rules, and the host's settings that they need; quick when all is there already.

    Any number of processes may call it at once. Raises Conflict when the name belongs to something else or to a bridge
    of another subnet that containers use, Forbidden, Unsupported or KernelError when the kernel refuses.
    """
    try:
        with rtnetlink.Route() as route, nft.Nftables() as rules:
            stamp = _stamp(name, subnet)
            link = route.find(name)
            if link is not None and link.alias != stamp and not _half_made(link, subnet):
                _discard(route, link)
                link = None
            fresh = _ensure_table(rules, name, table, subnet)
            if link is None or link.alias != stamp or not link.up:
                link = _ensure_link(route, name, subnet)
            _ensure_foreign(rules, name)
            return BridgeInfo(link.index, subnet, fresh)
    except KernelError as error:
        raise _in_words(error, name) from error


def _in_words(error: KernelError, name: str) -> BoxshipError:
    if error.errno == EPERM:
        return Forbidden(f"no permission to set up the network {name}", hint="run as root, or use --network host")
    if error.errno in (EOPNOTSUPP, EPROTONOSUPPORT):
        return Unsupported(
            f"this kernel can't make the network {name}: {error}",
            hint="it needs bridge, veth and nf_tables with nat; --network host works without them",
        )
    return error


def _ensure_table(rules: nft.Nftables, name: str, table: str, subnet: str) -> bool:
    """True when it was made now."""
    stamp = _stamp(name, subnet)
    for _attempt in range(_ATTEMPTS):
        comment = rules.table_comment(table)
        if comment == stamp:
            return False
        batch = [] if comment is None else [nft.delete_table(table)]
        batch.append(nft.add_table(table, new=True, comment=stamp))
        try:
            rules.commit(batch + ruleset(name, table, subnet))
            return True
        except KernelError as error:
            # another process made it, or took it away, since we looked
            if error.errno not in (EEXIST, ENOENT):
                raise
    raise Unavailable(f"the firewall table keeps changing: {table}", hint="try again")


def _ensure_link(route: rtnetlink.Route, name: str, subnet: str) -> rtnetlink.Link:
    _tolerate(route, rtnetlink.bridge(name, ipam.mac_of(ipam.gateway(subnet))), EEXIST)
    made = route.find(name)
    if made is None:
        raise KernelError("rtnetlink GETLINK", ENODEV, name)
    gateway, prefixlen = ipam.gateway(subnet), ipam.parse_subnet(subnet)[1]
    _tolerate(route, rtnetlink.address(made.index, gateway, prefixlen, ipam.broadcast(gateway, prefixlen)), EEXIST)
    _host_settings(name)
    # the alias comes last: it tells the others that all before is done
    route.send(rtnetlink.change_link(made.index, up=True), rtnetlink.change_link(made.index, alias=_stamp(name, subnet)))
    return made


def _half_made(link: rtnetlink.Link, subnet: str) -> bool:
    return link.kind == "bridge" and not link.alias and link.mac == ipam.mac_of(ipam.gateway(subnet))


def _discard(route: rtnetlink.Route, link: rtnetlink.Link) -> None:
    """Take away our bridge of another subnet or version, unless containers use it."""
    if not link.alias.startswith("boxship "):
        raise Conflict(f"network interface is not ours: {link.name}", hint=f"remove it (ip link delete {link.name}) or rename it")
    if route.links(master=link.index):
        raise Conflict(
            f"network interface is in use with another subnet: {link.name}: {link.alias.rpartition(' ')[2]}",
            hint="stop the containers on it first",
        )
    _tolerate(route, rtnetlink.delete_link(link.index), ENODEV)


def _tolerate(route: rtnetlink.Route, message: "Message", expected: int) -> None:
    try:
        route.send(message)
    except KernelError as error:
        if error.errno != expected:
            raise


def _host_settings(name: str) -> None:
    _forwarding()
    # 127.0.0.1:PORT of the host leads into the bridge; the raw chain keeps the other direction shut
    write_sysctl(f"ipv4/conf/{name}/route_localnet", b"1")
    # without it a container could reach the host over its link-local address, past every rule
    write_sysctl(f"ipv6/conf/{name}/disable_ipv6", b"1")


def _forwarding() -> None:
    with open("/proc/sys/net/ipv4/ip_forward", "rb") as file:
        if file.read().strip() == b"1":
            return
    write_sysctl("ipv4/ip_forward", b"1")


def _ensure_foreign(rules: nft.Nftables, name: str) -> None:
    """Where another engine's FORWARD chain drops by default (dockerd makes it so), our own accepts do not help: a packet
    passes only if every base chain lets it. Puts two rules into DOCKER-USER, which dockerd leaves alone, or into FORWARD.

    They are built as iptables-nft would, or it could not list the chain any more.
    """
    forward = rules.chain(_FOREIGN_TABLE, "FORWARD")
    if forward is None or forward.hook != nft.HOOK_FORWARD or forward.policy != nft.NF_DROP:
        return
    user = rules.chain(_FOREIGN_TABLE, "DOCKER-USER")
    chain = forward.name if user is None else user.name
    comment = f"boxship {name}"
    if any(found == comment for _handle, found in rules.rules(_FOREIGN_TABLE, chain)):
        return
    accept = [nft.counter(), nft.verdict(nft.NF_ACCEPT)]
    rules.commit(
        [
            nft.add_rule(_FOREIGN_TABLE, chain, [*match, *accept], comment=comment, insert=True)
            for match in (nft.oifname_is(name), nft.iifname_is(name))
        ]
    )


# Taking it away


def remove(name: str, table: str) -> None:
    """Bridge, table, and our rules in other tables. What is not there is no error. Does not ask whether it is in use."""
    with rtnetlink.Route() as route, nft.Nftables() as rules:
        batch: list[Message] = []
        for chain in _FOREIGN_CHAINS:
            for handle, comment in rules.rules(_FOREIGN_TABLE, chain):
                if comment == f"boxship {name}":
                    batch.append(nft.delete_rule(_FOREIGN_TABLE, chain, handle))
        if rules.table_comment(table) is not None:
            batch.append(nft.delete_table(table))
        if batch:
            rules.commit(batch)
        link = route.find(name)
        if link is not None and link.kind == "bridge" and link.alias.startswith("boxship "):
            _tolerate(route, rtnetlink.delete_link(link.index), ENODEV)
