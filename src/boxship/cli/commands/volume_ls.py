"""volume ls"""

from boxship.cli.flags import BOOL, FILTER, LATER, Call, Command
from boxship.cli.render import FORMAT_FLAG, Listing, label_list, show
from boxship.cli.streams import err, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "[OPTIONS]",
    (
        ("cluster", "", BOOL, False, "Show cluster volumes only", LATER),
        ("filter", "f", FILTER, (), 'Show only those that meet the condition ("dangling=true")'),
        FORMAT_FLAG,
        ("quiet", "q", BOOL, False, "Show volume names only"),
    ),
    most=0,
)
_TITLES = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
}


def main(call: Call) -> int:
    from boxship.dockerapi.filters import collect
    from boxship.engine import volumes

    found = volumes.list_volumes(call.store(), filters=collect(call["filter"]) or None)
    rows = sorted(found, key=lambda row: natural(row["Name"]))
    if call["quiet"]:
        if call["format"]:
            err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        out("".join(f"{row['Name']}\n" for row in rows))
        return 0
    show(_listing(), rows, call["format"])
    return 0


def natural(name: str) -> "list[tuple[int, int | str]]":
    """Numbers in names in the order of their values: volume-2 before volume-10."""
    parts: list[tuple[int, int | str]] = []
    digits = ""
    for char in [*name, ""]:
        if char.isascii() and char.isdigit():
            digits += char
            continue
        if digits:
            parts.append((0, int(digits)))
            digits = ""
        parts.append((1, char))
    return parts


def _listing() -> Listing:
    fields: dict[str, Any] = {name: lambda row, name=name: row.get(name, "") for name in ("Driver", "Name", "Scope", "Mountpoint")}
    fields["Labels"] = lambda row: label_list(row.get("Labels"))
    fields["Label"] = lambda row, name: (row.get("Labels") or {}).get(name, "")
    fields["Links"] = fields["Size"] = lambda row: "N/A"
    return Listing("*formatter.volumeContext", fields, _TITLES, ["Driver", "Name"])
