"""The default bridge of a store, and the leases of a container: its address and its ports."""

from boxship.errors import Conflict, Unsupported
from boxship.state import networks
from boxship.state.networks import Network, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

    Document = dict[str, Any]

BRIDGE = "bridge"


def default(store: "Store") -> Network:
    """The default bridge; chooses its subnet when it is asked for first. Inside or outside of a transaction."""
    network = networks.get(store.db, BRIDGE)
    if network is None:
        network = _choose(store)
        if store.db.in_transaction:
            networks.add(store.db, network)
        else:
            from boxship.state.db import transaction

            with transaction(store.db):
                found = networks.get(store.db, BRIDGE)
                if found is not None:
                    return found
                networks.add(store.db, network)
    return network


def _choose(store: "Store") -> Network:
    import fcntl
    import os

    from boxship.linux import rtnetlink
    from boxship.network import bridge, ipam

    # one store at a time on this machine, until the choice shows as the bridge's address: two would choose the same
    turn = os.open("/sys/class/net", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with rtnetlink.Route() as route:
            addresses = [address for _, address in route.addresses()]
            routes = [destination for destination, _, _ in route.routes()]
        subnet = bridge.choose_subnet(store.settings, addresses, routes)
        name, table = bridge.names(store.tag)
        bridge.ensure(name, table, subnet)
    finally:
        os.close(turn)
    gateway = ipam.gateway(subnet)
    return Network(BRIDGE, name, subnet, gateway, networks.number(gateway))


def mode(host: "Document") -> str:
    """bridge, none or host."""
    name = host.get("NetworkMode") or "default"
    return BRIDGE if name == "default" else str(name)


def lease(store: "Store", container_id: str, name: str, config: "Document", host: "Document") -> "Document":
    """Take an address and ports for a container, inside a transaction: the `network` document of the start message.

    Raises Conflict when a port is taken, by one of ours (the database) or by a program of the host's (the shim will find out).
    """
    chosen = mode(host)
    if chosen != BRIDGE:
        return {"mode": chosen}
    network = default(store)
    ip = networks.lease(store.db, network, container_id)
    ports = (
        [] if not host.get("PortBindings") and not host.get("PublishAllPorts") else _ports(store, container_id, name, config, host)
    )
    return {"mode": BRIDGE, "subnet": network.subnet, "gateway": network.gateway, "ip": ip, "ports": ports}


def _ports(store: "Store", container_id: str, name: str, config: "Document", host: "Document") -> "list[list[Any]]":
    from boxship.network import portmap

    taken = {port.host_port for ports in networks.all_ports(store.db).values() for port in ports}
    found: list[list[Any]] = []
    for container_port, proto, host_ip, first, last in _wanted(config, host):
        if first and first == last:
            host_port = first
        else:
            host_port, fd = portmap.reserve_free(host_ip, proto, first=first, last=last, taken=taken, endpoint=name)
            _close(fd)
        taken.add(host_port)
        try:
            networks.take_port(store.db, container_id, Port(proto, host_ip, host_port, container_port))
        except Conflict:
            raise portmap.already_allocated(name, host_ip, host_port) from None
        found.append([proto, host_ip, host_port, container_port])
    return found


def _close(fd: int) -> None:
    import os

    os.close(fd)


def _wanted(config: "Document", host: "Document") -> "list[tuple[int, str, str, int, int]]":
    """(container port, proto, host address, first and last host port or 0): fixed ones first, as Docker assigns them."""
    wanted = []
    bindings = dict(host.get("PortBindings") or {})
    if host.get("PublishAllPorts"):
        for port in config.get("ExposedPorts") or {}:
            bindings.setdefault(port, [{"HostIp": "", "HostPort": ""}])
    for port, places in bindings.items():
        number, _, proto = port.partition("/")
        if any(":" in (place.get("HostIp") or "") for place in places or []):
            raise Unsupported(f"publishing on an IPv6 address is not supported yet: {port}", hint="use an IPv4 address, or none")
        for place in places or [{"HostIp": "", "HostPort": ""}]:
            first, _, last = (place.get("HostPort") or "").partition("-")
            begin = int(first or 0)
            wanted.append((int(number), proto or "tcp", place.get("HostIp") or "0.0.0.0", begin, int(last or begin)))
    return sorted(wanted, key=_fixed_first)


def _fixed_first(one: "tuple[int, str, str, int, int]") -> "tuple[bool, int]":
    return (one[3] == 0 or one[3] != one[4], one[0])
