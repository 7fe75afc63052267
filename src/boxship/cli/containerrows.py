"""The fields of `ps`, out of the documents of Docker's GET /containers/json. Hot path."""

from boxship.cli.flags import quoted
from boxship.cli.render import Listing, ago, ellipsis, label_list, local_time, short_id
from boxship.cli.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]

TITLES = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "CreatedAt": "CREATED AT",
    "State": "STATE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
RAW = (
    ("container_id", "ID"),
    ("image", "Image"),
    ("command", "Command"),
    ("created_at", "CreatedAt"),
    ("state", "State"),
    ("status", "Status"),
    ("names", "Names"),
    ("labels", "Labels"),
    ("ports", "Ports"),
)


def listing(*, cut: bool, size: bool) -> Listing:
    """`cut`: ids, commands and names shortened as usual; `size`: with the column of sizes."""
    fields: dict[str, Any] = {
        "ID": lambda row: short_id(row["Id"]) if cut else row["Id"],
        "Image": lambda row: image(row, cut=cut),
        "Command": lambda row: quoted(ellipsis(row["Command"], 20) if cut else row["Command"]),
        "RunningFor": lambda row: ago(row["Created"]),
        "CreatedAt": lambda row: local_time(row["Created"]),
        "Status": lambda row: row["Status"],
        "State": lambda row: row["State"],
        "Ports": lambda row: ports(row.get("Ports") or []),
        "Names": lambda row: names(row["Names"], cut=cut),
        "Size": sizes,
        "Labels": lambda row: label_list(row.get("Labels")),
        "Label": lambda row, name: (row.get("Labels") or {}).get(name, ""),
        "Mounts": lambda row: mounts(row, cut=cut),
        "LocalVolumes": lambda row: str(sum(mount.get("Driver") == "local" for mount in row.get("Mounts") or [])),
        "Networks": lambda row: ",".join((row.get("NetworkSettings") or {}).get("Networks") or {}),
        "Platform": lambda row: None,
    }
    columns = [*COLUMNS, "Size"] if size else COLUMNS
    raw = (*RAW, ("size", "Size")) if size else RAW
    return Listing("*formatter.ContainerContext", fields, TITLES, columns, raw)


def image(row: "Row", *, cut: bool) -> str:
    name: str = row["Image"]
    if not name:
        return "<no image>"
    if not cut:
        return name
    ident = short_id(row.get("ImageID") or "")
    if ident and short_id(name) == ident:
        return ident
    return name.partition("@")[0]


def names(full: "list[str]", *, cut: bool) -> str:
    """Without the slash before; when cut, the container's own: links give it others."""
    bare = [name.removeprefix("/") for name in full]
    return next((name for name in bare if "/" not in name), "") if cut else ",".join(bare)


def mounts(row: "Row", *, cut: bool) -> str:
    found = [mount.get("Name") or mount.get("Source", "") for mount in row.get("Mounts") or []]
    return ",".join(ellipsis(name, 15) if cut else name for name in found)


def sizes(row: "Row") -> str:
    written = format_size(row.get("SizeRw") or 0, 3)
    whole = row.get("SizeRootFs") or 0
    return f"{written} (virtual {format_size(whole, 3)})" if whole else written


def ports(documents: "list[Row]") -> str:
    """Neighbours that map to themselves as one range; the others one by one, after them."""
    order = sorted((port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port["Type"]) for port in documents)
    done: list[str] = []
    mapped: list[str] = []
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for private, address, public, kind in order:
        if address and public != private:
            mapped.append(f"{_join(address, str(public))}->{private}/{kind}")
            continue
        key = (address, kind)
        first, last = groups.get(key, (private, private))
        if key in groups and private != last + 1:
            done.append(_group(key, first, last))
            first = private
        groups[key] = (first, private)
    done += [_group(key, first, last) for key, (first, last) in groups.items()]
    return ", ".join(done + mapped)


def _group(key: "tuple[str, str]", first: int, last: int) -> str:
    address, kind = key
    text = str(first) if first == last else f"{first}-{last}"
    return f"{_join(address, text)}->{text}/{kind}" if address else f"{text}/{kind}"


def _join(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
