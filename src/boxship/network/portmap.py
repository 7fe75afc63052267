"""Published ports: an element in one of the bridge's maps, and a socket that keeps others from taking the port.

The reservation is bound but does not listen: what is meant for the container never reaches it, and what is not (over ::1,
or after someone flushed the rules) is refused at once instead of hanging. It must be held as long as the container lives.
IPv4 only.
"""

import _socket
import os
from errno import EADDRINUSE, EADDRNOTAVAIL, EBUSY, EEXIST, ENOENT
from struct import Struct

from boxship.errors import BoxshipError, Conflict, InvalidArgument, KernelError, Unavailable, Unsupported
from boxship.linux import nftables as nft
from boxship.network import ipam
from boxship.network.bridge import ADDRESS_PORTS, PORTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    # protocol, host address ('' or 0.0.0.0 for every one), host port, container's address, container's port
    Published = tuple[str, str, int, str, int]
    Elements = dict[str, dict[bytes, bytes]]  # map name -> key -> data

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_NUMBERS = {number: name for name, number in _PROTOCOLS.items()}

# every part of a concatenation is padded to four bytes
_PORT_KEY = Struct(">B3xH2x")
_ADDRESS_KEY = Struct(">IB3xH2x")
_TARGET = Struct(">IH2x")

_ATTEMPTS = 3


def _protocol(name: str) -> int:
    number = _PROTOCOLS.get(name)
    if number is None:
        raise InvalidArgument(f"invalid protocol: {name}", hint="use tcp, udp or sctp")
    return number


def _port(port: int) -> int:
    if not 0 < port < 1 << 16:
        raise InvalidArgument(f"invalid port: {port}", hint="ports go from 1 to 65535")
    return port


def _every(host_ip: str) -> bool:
    return host_ip in ("", "0.0.0.0")


def _elements(published: "Iterable[Published]") -> "Elements":
    found: Elements = {PORTS: {}, ADDRESS_PORTS: {}}
    for protocol, host_ip, host_port, container_ip, container_port in published:
        number = _protocol(protocol)
        data = _TARGET.pack(ipam.number(container_ip), _port(container_port))
        if ":" in host_ip:
            raise Unsupported(f"publishing on an IPv6 address is not supported yet: {host_ip}", hint="use an IPv4 address")
        if _every(host_ip):
            found[PORTS][_PORT_KEY.pack(number, _port(host_port))] = data
        else:
            found[ADDRESS_PORTS][_ADDRESS_KEY.pack(ipam.number(host_ip), number, _port(host_port))] = data
    return found


def publish(table: str, published: "Iterable[Published]") -> None:
    """Lead these ports to their containers, all or none. An element left over from a container that is gone is replaced:
    whose port it is was decided in the database. Raises KernelError."""
    wanted = {name: elements for name, elements in _elements(published).items() if elements}
    if not wanted:
        return
    with nft.Nftables() as rules:
        batch = []
        for name, elements in wanted.items():
            batch += nft.add_elements(table, name, list(elements.items()))
        try:
            rules.commit(batch)
        except KernelError as error:
            if error.errno not in (EEXIST, EBUSY):
                raise
            _replace(rules, table, wanted)


def _replace(rules: nft.Nftables, table: str, wanted: "Elements") -> None:
    for attempt in range(_ATTEMPTS):
        batch = []
        for name, elements in wanted.items():
            there = rules.elements(table, name)
            stale = [key for key, data in there if key in elements and elements[key] != data]
            batch += nft.delete_elements(table, name, stale)
            batch += nft.add_elements(table, name, list(elements.items()))
        try:
            rules.commit(batch)
            return
        except KernelError as error:
            if error.errno not in (EEXIST, EBUSY, ENOENT) or attempt == _ATTEMPTS - 1:
                raise


def unpublish(table: str, published: "Iterable[Published]") -> None:
    """Take these ports back where they still lead to these containers. Costs some 17 ms however many there are: collect
    them, and do not make anybody wait. What is not there, table or element, is no error."""
    unwanted = {name: elements for name, elements in _elements(published).items() if elements}
    if not unwanted:
        return
    with nft.Nftables() as rules:
        for _attempt in range(_ATTEMPTS):
            try:
                _delete(rules, table, unwanted)
                return
            except KernelError as error:
                # someone else took the same away since we looked, or there is no table
                if error.errno != ENOENT:
                    raise


def _delete(rules: nft.Nftables, table: str, unwanted: "Elements") -> None:
    batch = []
    for name, elements in unwanted.items():
        keys = [key for key, data in rules.elements(table, name) if elements.get(key) == data]
        batch += nft.delete_elements(table, name, keys)
    if batch:
        rules.commit(batch)


def published(table: str) -> "list[Published]":
    """What the kernel leads to containers now; [] when there is no such table."""
    found: list[Published] = []
    with nft.Nftables() as rules:
        if rules.table_comment(table) is None:
            return found
        for key, data in rules.elements(table, PORTS):
            number, port = _PORT_KEY.unpack(key)
            found.append((_NUMBERS.get(number, str(number)), "0.0.0.0", port, *_target(data)))
        for key, data in rules.elements(table, ADDRESS_PORTS):
            ip, number, port = _ADDRESS_KEY.unpack(key)
            found.append((_NUMBERS.get(number, str(number)), ipam.dotted(ip), port, *_target(data)))
    return found


def _target(data: bytes) -> "tuple[str, int]":
    ip, port = _TARGET.unpack(data)
    return ipam.dotted(ip), port


# Reservations


def already_allocated(endpoint: str, host_ip: str, host_port: int) -> Conflict:
    """Another container of ours has the port: what to raise when the database says so."""
    return Conflict(
        f"{_where(endpoint)}Bind for {host_ip or '0.0.0.0'}:{host_port} failed: port is already allocated",
        hint="stop the container that publishes it, or choose another port",
    )


def _where(endpoint: str) -> str:
    return f"driver failed programming external connectivity on endpoint {endpoint}: " if endpoint else ""


def reserve(host_ip: str, host_port: int, proto: str, *, endpoint: str = "") -> int:
    """A descriptor that holds the port, close-on-exec. `endpoint` is the container's name, for the message.

    Raises Conflict when a program has the port, Unavailable when the address is not the host's or the port is not for us.
    """
    ip = host_ip or "0.0.0.0"
    try:
        return _bind(ip, host_port, proto)
    except OSError as error:
        raise _bind_failure(error, ip, host_port, proto, endpoint) from None


def _bind_failure(error: OSError, ip: str, port: int, proto: str, endpoint: str) -> BoxshipError:
    reason = os.strerror(error.errno or 0).lower()
    message = f"{_where(endpoint)}failed to bind host port {ip}:{port}/{proto}: {reason}"
    if error.errno == EADDRINUSE:
        return Conflict(message, hint=f"see who has it: ss -lnp 'sport = {port}'; or choose another port")
    if error.errno == EADDRNOTAVAIL:
        return Unavailable(message, hint="the address must be one of this host's: ip address")
    return Unavailable(message)


def reserve_free(
    host_ip: str,
    proto: str,
    *,
    first: int = 0,
    last: int = 0,
    after: int = 0,
    taken: "Container[int]" = (),
    endpoint: str = "",
) -> "tuple[int, int]":
    """(port, descriptor) of the first free port of first..last, beginning behind `after` and going round.

    Without a range it is the kernel's own for short-lived ports (32768-60999 unless changed), as for Docker's -P. `taken`
    are the ports that our other containers have. Raises Unavailable when none is left.
    """
    if not first:
        first, last = _ephemeral_range()
    start = after + 1 if first <= after < last else first
    ip = host_ip or "0.0.0.0"
    for part in (range(start, last + 1), range(first, start)):
        for port in part:
            if port in taken:
                continue
            try:
                return port, _bind(ip, port, proto)
            except OSError as error:
                if error.errno != EADDRINUSE:
                    raise _bind_failure(error, ip, port, proto, endpoint) from None
    raise Unavailable(
        f"{_where(endpoint)}all ports are allocated: {ip}:{first}-{last}/{proto}", hint="stop a container that publishes one"
    )


def _ephemeral_range() -> "tuple[int, int]":
    with open("/proc/sys/net/ipv4/ip_local_port_range", "rb") as file:
        low, high = file.read().split()
    return int(low), int(high)


def _bind(ip: str, port: int, proto: str) -> int:
    number = _protocol(proto)
    kind = _socket.SOCK_DGRAM if proto == "udp" else _socket.SOCK_STREAM
    holder = _socket.socket(_socket.AF_INET, kind, number)
    try:
        try:
            holder.bind((ip, _port(port)))
        except OSError as error:
            if error.errno != EADDRINUSE or proto != "tcp":
                raise
            holder.close()
            holder = _bind_over_time_wait(ip, port)
        return holder.detach()
    except BaseException:
        holder.close()
        raise


def _bind_over_time_wait(ip: str, port: int) -> _socket.socket:
    """Bind although old connections of the port are in TIME_WAIT, as every server does, and yet let nobody in beside us.

    With SO_REUSEADDR alone a second socket that has it too could be bound. Listening once makes the kernel compare again,
    against us and them (inet_csk_get_port), and with the option off afterwards no other bind passes.
    """
    holder = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        holder.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        holder.bind((ip, port))
        holder.listen(0)
        holder.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
        holder.shutdown(_socket.SHUT_RDWR)  # back to bound: a port that was given by number is kept
        return holder
    except BaseException:
        holder.close()
        raise
