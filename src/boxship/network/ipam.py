"""Addresses as numbers, and which one a container gets. Pure; on the hot path (no ipaddress: it costs 8 ms)."""

import _socket

from boxship.errors import InvalidArgument, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def number(ip: str) -> int:
    """An IPv4 address as an integer. Raises InvalidArgument."""
    try:
        return int.from_bytes(_socket.inet_pton(_socket.AF_INET, ip), "big")
    except (OSError, ValueError):
        raise InvalidArgument(f"invalid IPv4 address: {ip}", hint="write it as four numbers: 172.17.0.2") from None


def dotted(value: int) -> str:
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def parse_subnet(subnet: str) -> "tuple[int, int]":
    """(network, prefix length) of 'A.B.C.D/P'; host bits are cleared. Raises InvalidArgument."""
    ip, slash, length = subnet.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or int(length) > 32:
        raise InvalidArgument(f"invalid subnet: {subnet}", hint="write it as an address and a length: 172.30.0.0/16")
    prefixlen = int(length)
    return number(ip) & mask(prefixlen), prefixlen


def mask(prefixlen: int) -> int:
    return 0xFFFFFFFF << (32 - prefixlen) & 0xFFFFFFFF


def gateway(subnet: str) -> str:
    """The first address: the bridge's own."""
    return dotted(parse_subnet(subnet)[0] + 1)


def broadcast(ip: str, prefixlen: int) -> str:
    return dotted(number(ip) | ~mask(prefixlen) & 0xFFFFFFFF)


def overlap(one: str, other: str) -> bool:
    first, first_length = parse_subnet(one)
    second, second_length = parse_subnet(other)
    shorter = mask(min(first_length, second_length))
    return first & shorter == second & shorter


def next_address(subnet: str, used: "Iterable[str]", last: str = "") -> str:
    """The first free address after `last`, going round, as Docker does: an address just given up rests for a while.

    Network, broadcast and gateway address are never given. Raises Unavailable when all are in use.
    """
    network, prefixlen = parse_subnet(subnet)
    first, end = network + 2, network | ~mask(prefixlen) & 0xFFFFFFFF
    taken = {number(ip) for ip in used}
    start = number(last) + 1 if last else first
    if not first <= start < end:
        start = first
    for part in (range(start, end), range(first, start)):
        for candidate in part:
            if candidate not in taken:
                return dotted(candidate)
    raise Unavailable(
        "no available IPv4 addresses on this network's address pools: bridge",
        hint=f"remove containers, or set a larger subnet than {subnet} under [network] in boxship.toml",
    )


def mac_of(ip: str) -> str:
    """02:42 and the four bytes of the address: two containers of one network can't have the same."""
    return f"02:42:{number(ip).to_bytes(4, 'big').hex(':')}"
