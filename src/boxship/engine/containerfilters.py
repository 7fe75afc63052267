"""The filters of `ps` (moby daemon/list.go). Imported when there are some."""

from boxship import fastjson
from boxship.engine import imagefind, matching
from boxship.errors import BoxshipError, InvalidArgument
from boxship.state import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.containerlist import Life
    from boxship.engine.store import Store
    from boxship.state.containers import Container
    from boxship.state.images import Image

    Document = dict[str, Any]

_KNOWN = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network", "publish",
    "since", "status", "volume",
)  # fmt: skip
STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTHS = ("none", "starting", "healthy", "unhealthy")


class Chosen:
    """`rows` are those that before and since leave; `matches` tells of each. `all_states`: the filters ask for stopped ones."""

    __slots__ = ("_exited", "_expose", "_filters", "_images", "_publish", "all_states", "rows")

    def __init__(self, store: "Store", filters: "dict[str, list[str]]", rows: "list[Container]") -> None:
        """Raises InvalidArgument, and NotFound for a container of before or since that is not there."""
        matching.check(filters, _KNOWN)
        for value in filters.get("status") or ():
            if value not in STATES:
                raise InvalidArgument(f"invalid filter 'status={value}'", hint=f"use one of {', '.join(STATES)}")
        for value in filters.get("health") or ():
            if value not in HEALTHS:
                raise InvalidArgument(f"invalid value for health ({value}): must be one of {', '.join(HEALTHS)}")
        self._filters = filters
        self._exited = [_number(value) for value in filters.get("exited") or ()]
        self._publish = _ports("publish", filters)
        self._expose = _ports("expose", filters)
        self.all_states = bool(filters.get("status"))
        self.rows = _between(store, filters, rows)
        if matching.boolean(filters, "is-task", False):
            self.rows = []  # these belong to Swarm's services
        self._images = _descendants(store, filters["ancestor"], self.rows) if filters.get("ancestor") else None

    def matches(self, document: "Document", now_is: "Life") -> bool:
        filters = self._filters
        name = document["Names"][0]
        return (
            (matching.match(filters, "name", name) or matching.match(filters, "name", name[1:]))
            and matching.prefix(filters, "id", document["Id"])
            and matching.match_pairs(filters, "label", document["Labels"])
            and matching.exact(filters, "status", document["State"])
            # no health check is run here, and that is what Docker calls none
            and matching.exact(filters, "health", "none")
            and (not self._exited or (now_is.code in self._exited and not now_is.running and now_is.started > 0))
            and (self._images is None or document["ImageID"] in self._images)
            and self._has_volume(document["Mounts"])
            and self._has_network(document["NetworkSettings"]["Networks"])
            and self._has_port(document["Ports"])
        )

    def _has_volume(self, mounts: "list[Document]") -> bool:
        values = self._filters.get("volume")
        return not values or any(
            mount["Destination"] in values or (mount.get("Name") or mount.get("Source")) in values for mount in mounts
        )

    def _has_network(self, networks: "dict[str, Document]") -> bool:
        values = self._filters.get("network")
        return not values or any(value in networks for value in values)

    def _has_port(self, ports: "list[Document]") -> bool:
        if not self._publish and not self._expose:
            return True
        return any(
            (port.get("PublicPort"), port["Type"]) in self._publish or (port["PrivatePort"], port["Type"]) in self._expose
            for port in ports
        )


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidArgument(f"invalid filter 'exited={value}'", hint="give an exit code") from None


def _ports(name: str, filters: "dict[str, list[str]]") -> "set[tuple[int, str]]":
    """PORT[-PORT][/PROTOCOL] -> (number, protocol) of each."""
    found: set[tuple[int, str]] = set()
    for value in filters.get(name) or ():
        if ":" in value:
            raise InvalidArgument(f"filter for '{name}' should not contain ':': {value}")
        numbers, _, proto = value.partition("/")
        first, dash, last = numbers.partition("-")
        ends = [first, last if dash else first]
        if not all(end.isascii() and end.isdigit() and int(end) < 1 << 16 for end in ends) or int(ends[0]) > int(ends[1]):
            raise InvalidArgument(f"error while looking up for {name} {value}: invalid port", hint="such as 80/udp or 8000-8010")
        found.update((number, proto.lower() or "tcp") for number in range(int(ends[0]), int(ends[1]) + 1))
    return found


def _between(store: "Store", filters: "dict[str, list[str]]", rows: "list[Container]") -> "list[Container]":
    """`rows` are sorted, newest first."""
    from boxship.engine import containers

    order = {row.id: index for index, row in enumerate(rows)}
    first, end = 0, len(rows)
    for value in filters.get("before") or ():
        first = max(first, order.get(containers.find(store, value).id, -1) + 1)
    for value in filters.get("since") or ():
        end = min(end, order.get(containers.find(store, value).id, end))
    return rows[first:end]


def _descendants(store: "Store", names: "list[str]", rows: "list[Container]") -> "set[str]":
    """Ids of those images of the rows that are one of the named, or were built from it. Unknown names match nothing."""
    ancestors = [image for image in (_image(store, name) for name in names) if image is not None]
    found = set()
    for image_id in {row.image_id for row in rows}:
        image = images.get(store.db, image_id)
        if image is not None and any(_descends(store, image, ancestor) for ancestor in ancestors):
            found.add(image_id)
    return found


def _image(store: "Store", name: str) -> "Image | None":
    try:
        return imagefind.find(store.db, name)
    except BoxshipError:
        return None


def _descends(store: "Store", image: "Image", ancestor: "Image") -> bool:
    """An image made from another begins with its layers and its history."""
    if image.id == ancestor.id:
        return True
    below = [layer.chain_id for layer in layers.of_image(store.db, ancestor.id)]
    if [layer.chain_id for layer in layers.of_image(store.db, image.id)][: len(below)] != below:
        return False
    story, older = _history(image), _history(ancestor)
    return len(story) > len(older) and story[: len(older)] == older


def _history(image: "Image") -> "list[Document]":
    history: list[Document] = fastjson.loads(image.config).get("history") or []
    return history
