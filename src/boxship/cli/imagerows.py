"""The fields of `images` and `history`, out of the documents of Docker's GET /images/json and /images/NAME/history."""

import time

from boxship.cli.render import Listing, ago, ellipsis, local_time, short_id
from boxship.cli.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]

NONE = "<none>"
# year 1, Go's zero time
_NEVER = -62135596800

TITLES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
RAW = (("repository", "Repository"), ("tag", "Tag"), ("image_id", "ID"), ("created_at", "CreatedAt"), ("virtual_size", "Size"))
RAW_DIGEST = (RAW[0], RAW[1], ("digest", "Digest"), *RAW[2:])

HISTORY_TITLES = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def listing(*, cut: bool, digests: bool, table: bool) -> Listing:
    """`table`: an unknown age is N/A there, and empty in a template."""
    fields: dict[str, Any] = {
        "Repository": lambda row: row["repository"],
        "Tag": lambda row: row["tag"],
        "Digest": lambda row: row["digest"],
        "ID": lambda row: short_id(row["Id"]) if cut else row["Id"],
        "CreatedSince": lambda row: ago(row["Created"]) if row["Created"] > _NEVER else "N/A" if table else "",
        "CreatedAt": lambda row: local_time(row["Created"]) if row["Created"] > _NEVER else "0001-01-01 00:00:00 +0000 UTC",
        "Size": lambda row: format_size(row["Size"], 3),
        "Containers": lambda row: _count(row, "Containers"),
        "VirtualSize": lambda row: format_size(row["Size"]),
        "SharedSize": lambda row: "N/A" if row.get("SharedSize", -1) < 0 else format_size(row["SharedSize"]),
        "UniqueSize": lambda row: "N/A" if row.get("SharedSize", -1) < 0 else format_size(row["Size"] - row["SharedSize"]),
    }
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    return Listing("*formatter.imageContext", fields, TITLES, columns, RAW_DIGEST if digests else RAW)


def _count(row: "Row", name: str) -> str:
    return str(row[name]) if row.get(name, -1) >= 0 else "N/A"


def expand(images: "list[Row]", *, digests: bool, digest_rows: bool) -> "list[Row]":
    """One row for each tag, each tag and digest when `digests`; images without a tag have one row of <none>.

    `digest_rows`: a repository that is known by digest only has a row for each of them.
    """
    rows: list[Row] = []
    for image in images:
        tags = _by_repository([tag for tag in image.get("RepoTags") or [] if tag != f"{NONE}:{NONE}"], ":")
        known = _by_repository([name for name in image.get("RepoDigests") or [] if name != f"{NONE}@{NONE}"], "@")
        if not tags and not known:
            rows.append({**image, "repository": NONE, "tag": NONE, "digest": NONE})
        for repository, found in tags.items():
            wanted = known.pop(repository, []) if digests else known.pop(repository, [])[:0]
            rows += [
                {**image, "repository": repository, "tag": tag, "digest": digest} for tag in found for digest in wanted or [NONE]
            ]
        for repository, found in known.items():
            rows += [
                {**image, "repository": repository, "tag": NONE, "digest": digest} for digest in (found if digest_rows else [""])
            ]
    return rows


def _by_repository(names: "list[str]", separator: str) -> "dict[str, list[str]]":
    found: dict[str, list[str]] = {}
    for name in names:
        repository, _, rest = name.rpartition(separator)
        found.setdefault(repository, []).append(rest)
    return found


def history_listing(*, cut: bool, human: bool) -> Listing:
    fields: dict[str, Any] = {
        "ID": lambda row: short_id(row["Id"]) if cut and row["Id"] != "<missing>" else row["Id"],
        "CreatedSince": lambda row: _since(row["Created"], human=human),
        "CreatedAt": lambda row: _rfc3339(row["Created"]),
        "CreatedBy": lambda row: _created_by(row["CreatedBy"], cut=cut),
        "Size": lambda row: format_size(row["Size"], 3) if human else str(row["Size"]),
        "Comment": lambda row: row.get("Comment") or "",
    }
    columns = ["ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"]
    return Listing("*formatter.historyContext", fields, HISTORY_TITLES, columns)


def _since(created: int, *, human: bool) -> str:
    if not human:
        return _rfc3339(created)
    return ago(created) if created > 0 else "N/A"


def _rfc3339(created: int) -> str:
    zone = time.strftime("%z", time.localtime(created))
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(created))
    return f"{text}Z" if zone in ("+0000", "") else f"{text}{zone[:3]}:{zone[3:]}"


def _created_by(text: str, *, cut: bool) -> str:
    text = text.replace("\t", " ")
    return ellipsis(text, 45) if cut else text
