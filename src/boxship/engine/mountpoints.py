"""Docker's Binds, Volumes and Tmpfs as mount points: what is mounted where, and which volumes have to be made. On the hot path."""

import os

from boxship.errors import InvalidArgument
from boxship.state import volumes
from boxship.volumes import local, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

    Document = dict[str, Any]

class MountPoint:
    """`kind` bind, volume or tmpfs; `source` a path of the host; `name` of the volume; `options` the user's words."""

    __slots__ = ("anonymous", "destination", "kind", "name", "new", "nocopy", "options", "propagation", "read_only", "source")

    def __init__(self, kind: str, source: str, destination: str, options: "list[str]") -> None:
        self.kind = kind
        self.source = source
        self.destination = destination
        self.options = options
        self.name = ""
        self.anonymous = False
        self.new = False
        self.nocopy = "nocopy" in options
        self.read_only = "ro" in options
        self.propagation = next((option for option in options if option in mounts.PROPAGATIONS), "rprivate")


def plan(store: "Store", config: "Document", host: "Document") -> "tuple[list[MountPoint], list[str]]":
    """The mount points of a container to be created, and warnings. Makes missing bind sources, as Docker's -v does."""
    points: dict[str, MountPoint] = {}
    warnings: list[str] = []
    for spec in host.get("Binds") or []:
        point = parse_bind(spec)
        _add(points, point)
        if point.kind == "bind":
            warnings += _make_source(point.source)
    for destination, options in (host.get("Tmpfs") or {}).items():
        _add(points, _tmpfs(destination, options))
    for destination in config.get("Volumes") or {}:
        where = mounts.clean(destination)
        if where == "/":
            raise InvalidArgument("invalid specification: destination can't be '/'", hint="the image's VOLUME names the root")
        if where not in points:
            point = MountPoint("volume", "", where, [])
            point.name, point.anonymous = os.urandom(32).hex(), True
            points[where] = point
    for point in points.values():
        _place(store, point)
    return list(points.values()), warnings


def _add(points: "dict[str, MountPoint]", point: MountPoint) -> None:
    if point.destination in points:
        raise InvalidArgument(f"Duplicate mount point: {point.destination}")
    points[point.destination] = point


def parse_bind(spec: str) -> MountPoint:
    """An entry of Docker's Binds: SOURCE:DESTINATION[:OPTIONS]. Raises InvalidArgument in Docker's words."""
    found, _ = mounts.parse_bind(spec)
    options = [word for word in found["Mode"].split(",") if word]
    point = MountPoint(found["Type"], found["Source"], found["Destination"], options)
    if point.kind == "volume":
        point.name = found["Name"]
        if point.name:
            local.check_name(point.name)
        else:
            point.name, point.anonymous = os.urandom(32).hex(), True
    return point


def _tmpfs(destination: str, words: str) -> MountPoint:
    if not destination.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{destination}' mount path must be absolute")
    return MountPoint("tmpfs", "tmpfs", mounts.clean(destination), mounts.tmpfs_options(words))


def _make_source(path: str) -> "list[str]":
    """Docker makes a missing source of -v as a directory; so do we, and say so: it is a typo more often than not."""
    if os.path.lexists(path):
        return []
    try:
        os.makedirs(path, 0o755)
    except OSError as error:
        raise InvalidArgument(
            f"error while creating mount source path '{path}': {os.strerror(error.errno or 0).lower()}",
            hint="make the directory yourself, or name another for -v",
        ) from None
    return [f"{path} did not exist: made an empty directory for -v"]


def _place(store: "Store", point: MountPoint) -> None:
    if point.kind != "volume":
        return
    point.source = f"{store.paths.volumes}/{point.name}/_data"
    found = volumes.get(store.db, point.name)
    point.new = found is None
    if found is not None and found.options != "{}":
        from boxship.engine import volumes as volume_cases

        point.source = volume_cases.mounted(store, found)


def register(store: "Store", container_id: str, points: "list[MountPoint]") -> None:
    """Rows and directories of the volumes, inside the transaction that creates the container."""
    import time

    for point in points:
        if point.kind != "volume":
            continue
        if point.new:
            volumes.add(store.db, volumes.Volume(point.name, "local", "{}", "{}", point.anonymous, time.time_ns()))
            os.makedirs(point.source, 0o755, exist_ok=True)
        volumes.use(store.db, container_id, point.name, point.destination)


def of_container(store: "Store", container_id: str, config: "Document", host: "Document") -> "list[MountPoint]":
    """The mount points of a container that exists."""
    points: list[MountPoint] = []
    by_destination = {destination: name for name, destination, _ in volumes.of_container(store.db, container_id)}
    for spec in host.get("Binds") or []:
        points.append(parse_bind(spec))
        by_destination.pop(points[-1].destination, None)
    for destination, options in (host.get("Tmpfs") or {}).items():
        points.append(_tmpfs(destination, options))
    for destination, name in by_destination.items():
        point = MountPoint("volume", "", destination, [])
        point.name, point.anonymous = name, True
        points.append(point)
    for point in points:
        _place(store, point)
        point.new = False
    return points


def oci_mounts(points: "list[MountPoint]") -> "list[Document]":
    return [_oci(point) for point in points]


def _oci(point: MountPoint) -> "Document":
    if point.kind == "tmpfs":
        return {"destination": point.destination, "type": "tmpfs", "source": "tmpfs", "options": point.options}
    options = ["rbind", "ro" if point.read_only else "rw", point.propagation]
    return {"destination": point.destination, "type": "bind", "source": point.source, "options": options}


def to_fill(points: "list[MountPoint]") -> "list[list[str]]":
    """(source, destination) of volumes into which the image's content is copied, if they are empty."""
    return [[point.source, point.destination] for point in points if point.kind == "volume" and not point.nocopy]


def documents(points: "list[MountPoint]") -> "list[Document]":
    """Docker's Mounts of inspect."""
    found = []
    for point in points:
        if point.kind == "tmpfs":
            continue
        document: Document = {"Type": point.kind, "Source": point.source, "Destination": point.destination}
        if point.kind == "volume":
            document = {"Type": "volume", "Name": point.name, **document, "Driver": "local"}
        mode = ",".join(point.options)
        document.update(Mode=mode or ("z" if point.kind == "volume" else ""), RW=not point.read_only)
        document["Propagation"] = point.propagation if point.kind == "bind" else ""
        found.append(document)
    return found
