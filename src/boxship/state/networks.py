"""Networks, and the addresses and ports that running containers hold."""

from boxship.errors import Conflict, Unavailable
from boxship.state.db import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db


class Network:
    """A bridge: `subnet` and `gateway` as text, `last_ip` the address handed out last, as a number."""

    __slots__ = ("bridge", "gateway", "last_ip", "name", "subnet")

    def __init__(self, name: str, bridge: str, subnet: str, gateway: str, last_ip: int) -> None:
        self.name = name
        self.bridge = bridge
        self.subnet = subnet
        self.gateway = gateway
        self.last_ip = last_ip


def get(db: "Db", name: str) -> "Network | None":
    row = db.execute("SELECT name, bridge, subnet, gateway, last_ip FROM networks WHERE name = ?", (name,)).fetchone()
    return Network(*row) if row else None


def add(db: "Db", network: Network) -> None:
    db.execute(
        "INSERT INTO networks (name, bridge, subnet, gateway, last_ip) VALUES (?, ?, ?, ?, ?)",
        (network.name, network.bridge, network.subnet, network.gateway, network.last_ip),
    )


def remove(db: "Db", name: str) -> None:
    db.execute("DELETE FROM networks WHERE name = ?", (name,))


def number(address: str) -> int:
    """ "172.17.0.1" -> its 32 bits."""
    value = 0
    for part in address.split("."):
        value = value << 8 | int(part)
    return value


def text(value: int) -> str:
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def lease(db: "Db", network: Network, container_id: str) -> str:
    """The next free address for a container, inside a transaction. Raises Unavailable when the subnet is full."""
    candidate = _next(db, network)
    db.execute("INSERT INTO endpoints (container_id, network, ip) VALUES (?, ?, ?)", (container_id, network.name, candidate))
    return text(candidate)


def lease_for_build(db: "Db", network: Network, pid: int, start_time: int) -> str:
    """The same for a process that builds; see `build_leases` for giving back those of dead ones."""
    candidate = _next(db, network)
    db.execute(
        "INSERT INTO build_endpoints (network, ip, pid, start_time) VALUES (?, ?, ?, ?)", (network.name, candidate, pid, start_time)
    )
    return text(candidate)


def build_leases(db: "Db") -> "list[tuple[str, int, int, int]]":
    """(network, address as a number, pid, start time) of every build's address."""
    return list(db.execute("SELECT network, ip, pid, start_time FROM build_endpoints"))


def release_build(db: "Db", network: str, ip: int) -> None:
    db.execute("DELETE FROM build_endpoints WHERE network = ? AND ip = ?", (network, ip))


def _next(db: "Db", network: Network) -> int:
    """Addresses rotate, as Docker's do: a new one is not the last one freed."""
    base, _, bits = network.subnet.partition("/")
    size = 1 << 32 - int(bits)
    first, last = number(base) + 1, number(base) + size - 2
    names = (network.name, network.name)
    taken = {
        row[0]
        for row in db.execute(
            "SELECT ip FROM endpoints WHERE network = ? UNION SELECT ip FROM build_endpoints WHERE network = ?", names
        )
    }
    taken.add(number(network.gateway))
    candidate = max(network.last_ip, first - 1)
    for _ in range(size):
        candidate = candidate + 1 if candidate < last else first
        if candidate not in taken:
            break
    else:
        raise Unavailable(f"no address left in network {network.name}: {network.subnet}")
    db.execute("UPDATE networks SET last_ip = ? WHERE name = ?", (candidate, network.name))
    network.last_ip = candidate
    return candidate


def address(db: "Db", container_id: str) -> "tuple[str, str] | None":
    """(network, address) of a container that holds one."""
    row = db.execute("SELECT network, ip FROM endpoints WHERE container_id = ?", (container_id,)).fetchone()
    return (row[0], text(row[1])) if row else None


def all_addresses(db: "Db") -> "dict[str, tuple[str, str]]":
    return {row[0]: (row[1], text(row[2])) for row in db.execute("SELECT container_id, network, ip FROM endpoints")}


class Port:
    __slots__ = ("container_port", "host_ip", "host_port", "proto")

    def __init__(self, proto: str, host_ip: str, host_port: int, container_port: int) -> None:
        self.proto = proto
        self.host_ip = host_ip
        self.host_port = host_port
        self.container_port = container_port


def take_port(db: "Db", container_id: str, port: Port) -> None:
    """Inside a transaction. Raises Conflict when a container of ours has it (in any overlapping address)."""
    try:
        db.execute(
            "INSERT INTO ports (proto, host_port, host_ip, container_id, container_port) VALUES (?, ?, ?, ?, ?)",
            (port.proto, port.host_port, port.host_ip, container_id, port.container_port),
        )
    except IntegrityError:
        raise Conflict(f"Bind for {port.host_ip}:{port.host_port} failed: port is already allocated") from None


def ports(db: "Db", container_id: str) -> "list[Port]":
    rows = db.execute(
        "SELECT proto, host_ip, host_port, container_port FROM ports WHERE container_id = ?"
        " ORDER BY container_port, proto, host_port",
        (container_id,),
    )
    return [Port(*row) for row in rows]


def all_ports(db: "Db") -> "dict[str, list[Port]]":
    found: dict[str, list[Port]] = {}
    rows = db.execute(
        "SELECT container_id, proto, host_ip, host_port, container_port FROM ports ORDER BY container_port, proto, host_port"
    )
    for container_id, *rest in rows:
        found.setdefault(container_id, []).append(Port(*rest))
    return found


def release(db: "Db", container_id: str) -> None:
    """Give back the address and the ports."""
    db.execute("DELETE FROM endpoints WHERE container_id = ?", (container_id,))
    db.execute("DELETE FROM ports WHERE container_id = ?", (container_id,))
