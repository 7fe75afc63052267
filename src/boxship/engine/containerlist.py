"""Containers as the documents of Docker's GET /containers/json. On the hot path (`ps`).

Two hundred stopped containers cost one SELECT and one listdir: only what runs is looked at closer.
"""

import time

from boxship import fastjson
from boxship.engine import imagefind, mountpoints, networks, record, recovery, timestamps
from boxship.errors import InvalidArgument
from boxship.runtime import active
from boxship.state import containers
from boxship.state import networks as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store
    from boxship.state.containers import Container
    from boxship.state.networks import Network, Port

    Document = dict[str, Any]
    States = dict[str, Document]


class Life:
    """What a container is doing: its row, and while it runs what its shim has written down. Times in nanoseconds, 0: never."""

    __slots__ = ("code", "error", "finished", "oom", "pid", "restarting", "restarts", "running", "started")

    def __init__(self, row: "Container") -> None:
        self.running = False
        self.restarting = False
        self.pid = 0
        self.started = row.started
        self.finished = row.finished
        self.code = row.exit_code
        self.oom = row.oom_killed
        self.restarts = row.restart_count
        self.error = row.error

    def name(self) -> str:
        """Docker's State.Status."""
        if self.restarting:
            return "restarting"
        if self.running:
            return "running"
        return "exited" if self.started else "created"

    def words(self, now: int) -> str:
        """The STATUS column."""
        if self.restarting:
            return f"Restarting ({self.code}) {timestamps.span(now - self.finished)} ago"
        if self.running:
            return f"Up {timestamps.span(now - self.started)}"
        if not self.started:
            return "Created"
        return f"Exited ({self.code}) {timestamps.span(now - self.finished)} ago" if self.finished else ""


def life(store: "Store", row: "Container", running: "States") -> Life:
    """`running`: what recovery.sweep has returned; an empty state is one that is just being started."""
    found = Life(row)
    state = running.get(row.id)
    if not state:
        return found
    ended = active.read_document(record.exit_path(store.paths, row.id))
    if ended is not None and (state.get("restarting") or ended.get("started") == state.get("started")):
        # the shim still clears up, or waits to start it again
        found.started, found.finished = ended["started"], ended["finished"]
        found.code, found.oom, found.restarts = ended["code"], ended["oom"], ended["restarts"]
        # as with Docker, one that will start again counts as running
        found.running = found.restarting = bool(ended["again"])
    elif state.get("pid"):
        found.running = True
        found.pid, found.started = state["pid"], state["started"]
        found.restarts = state.get("restarts") or 0
        found.code, found.oom, found.error = 0, False, ""
    return found


def list_containers(
    store: "Store", all: bool = False, filters: "Any" = None, limit: int = 0, size: bool = False  # noqa: A002
) -> "list[Document]":
    """Newest first; `limit` counts those in any state. Raises InvalidArgument for a filter that makes no sense, NotFound."""
    running = recovery.sweep(store)
    rows = containers.all_containers(store.db)
    chosen = None
    if filters:
        from boxship.engine.containerfilters import Chosen

        chosen = Chosen(store, filters, rows)
        rows = chosen.rows
        all = all or chosen.all_states  # noqa: A001
    build = Builder(store)
    found: list[Document] = []
    for row in rows:
        if limit > 0 and len(found) == limit:
            break
        now_is = life(store, row, running)
        if not now_is.running and not all and limit <= 0:
            continue
        document = build.summary(row, now_is)
        if chosen is None or chosen.matches(document, now_is):
            if size:
                document.update(sizes(store, row))
            found.append(document)
    return found


def document(store: "Store", row: "Container", running: "States", size: bool = False) -> "Document":
    """Docker's GET /containers/ID/json."""
    from boxship.engine import containerinspect

    return containerinspect.document(store, row, life(store, row, running), size)


def sizes(store: "Store", row: "Container") -> "Document":
    """SizeRw: what it has written; SizeRootFs: that and its image."""
    from boxship.engine import diskuse
    from boxship.state import images

    written = diskuse.used(f"{store.paths.containers}/{row.id}/upper")
    image = images.get(store.db, row.image_id)
    return {"SizeRw": written, "SizeRootFs": written + (image.size if image else 0)}


class Builder:
    """Makes summaries; what they share is read once, and only when one needs it."""

    __slots__ = ("_addresses", "_images", "_networks", "_ports", "now", "store")

    def __init__(self, store: "Store") -> None:
        self.store = store
        self.now = time.time_ns()
        self._images: dict[str, str] = {}
        self._addresses: dict[str, tuple[str, str]] | None = None
        self._ports: dict[str, list[Port]] | None = None
        self._networks: dict[str, Network | None] = {}

    def summary(self, row: "Container", now_is: Life) -> "Document":
        config, host = fastjson.loads(row.config), fastjson.loads(row.host_config)
        mode = networks.mode(host)
        return {
            "Id": row.id,
            "Names": [f"/{row.name}"],
            "Image": self._image(row),
            "ImageID": row.image_id,
            "Command": command(config),
            "Created": row.created // 1_000_000_000,
            "Ports": port_list(config, self.ports(row.id)) if now_is.pid and mode == networks.BRIDGE else [],
            "Labels": config.get("Labels") or {},
            "State": now_is.name(),
            "Status": now_is.words(self.now),
            "HostConfig": {"NetworkMode": mode},
            "NetworkSettings": {"Networks": {mode: self.endpoint(row.id, now_is)}},
            "Mounts": mounts(self.store, row.id, config, host),
        }

    def _image(self, row: "Container") -> str:
        """The name it was made under, as long as that still means the same image."""
        name = row.image_name
        if name not in self._images:
            try:
                image = imagefind.find(self.store.db, name)
            except InvalidArgument:
                image = None
            self._images[name] = image.id if image else ""
        return name if self._images[name] == row.image_id else row.image_id

    def ports(self, container_id: str) -> "list[Port]":
        if self._ports is None:
            self._ports = leases.all_ports(self.store.db)
        return self._ports.get(container_id) or []

    def endpoint(self, container_id: str, now_is: Life) -> "Document":
        """Docker's EndpointSettings; without an address when it does not run, or has none."""
        network = address = None
        if now_is.running:
            if self._addresses is None:
                self._addresses = leases.all_addresses(self.store.db)
            network, address = self._addresses.get(container_id) or (None, None)
        return endpoint(self._network(network) if network else None, address or "")

    def _network(self, name: str) -> "Network | None":
        if name not in self._networks:
            self._networks[name] = leases.get(self.store.db, name)
        return self._networks[name]


def endpoint(network: "Network | None", address: str) -> "Document":
    gateway, length, mac = "", 0, ""
    if network is not None and address:
        from boxship.network import ipam

        gateway, mac = network.gateway, ipam.mac_of(address)
        length = int(network.subnet.partition("/")[2])
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": mac,
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": gateway,
        "IPAddress": address,
        "IPPrefixLen": length,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def words(config: "Document") -> "list[str]":
    return [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]


def command(config: "Document") -> str:
    """The COMMAND column: arguments with a blank are shown in single quotes."""
    first, *rest = words(config) or [""]
    return " ".join([first, *(f"'{word}'" if " " in word else word for word in rest)])


def exposed(config: "Document") -> "list[tuple[int, str]]":
    """ExposedPorts as (number, protocol)."""
    found = []
    for port in config.get("ExposedPorts") or {}:
        number, _, proto = port.partition("/")
        if number.isdigit():
            found.append((int(number), proto or "tcp"))
    return sorted(found)


def port_list(config: "Document", published: "list[Port]") -> "list[Document]":
    found: list[Document] = [
        {"IP": port.host_ip, "PrivatePort": port.container_port, "PublicPort": port.host_port, "Type": port.proto}
        for port in published
    ]
    taken = {(port.container_port, port.proto) for port in published}
    found += [{"PrivatePort": number, "Type": proto} for number, proto in exposed(config) if (number, proto) not in taken]
    return found


def mounts(store: "Store", container_id: str, config: "Document", host: "Document") -> "list[Document]":
    """Docker's Mounts; the database is asked only where there can be some."""
    if not (host.get("Binds") or host.get("Mounts") or config.get("Volumes")):
        return []
    return mountpoints.documents(mountpoints.of_container(store, container_id, config, host))
