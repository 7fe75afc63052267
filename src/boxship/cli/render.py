"""Lists of objects: as Docker's table, as ids, or through --format. Hot path (ps): templates are imported when asked for."""

import os
import time

from boxship.cli.flags import STRING
from boxship.cli.streams import out
from boxship.cli.table import layout
from boxship.cli.units import human_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Getter = Callable[..., Any]

FORMAT_FLAG = (
    "format",
    "",
    STRING,
    "",
    "Format the output with a Go template:\n"
    "'table':            Columns with titles (default)\n"
    "'table TEMPLATE':   Columns with titles, using the template\n"
    "'json':             One JSON object a line\n"
    "'TEMPLATE':         The template for each object",
)
INSPECT_FORMAT_FLAG = (
    "format",
    "f",
    STRING,
    "",
    "Format the output with a Go template:\n'json':             JSON on one line\n'TEMPLATE':         The template",
)


class Listing:
    """How one kind of object is listed: `fields` by name, their column `titles`, the columns of the usual table.

    `kind` is the name by which Go's errors call such a row; `raw` are the (label, field) lines of --format raw.
    """

    __slots__ = ("columns", "fields", "kind", "raw", "titles")

    def __init__(
        self,
        kind: str,
        fields: "dict[str, Getter]",
        titles: "dict[str, str]",
        columns: "list[str]",
        raw: "tuple[tuple[str, str], ...]" = (),
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.titles = titles
        self.columns = columns
        self.raw = raw


def show(listing: Listing, rows: "list[Any]", form: str) -> None:
    """Print `rows` in --format's `form`; "" is the table."""
    if form in ("", "table"):
        lines = ["\t".join([listing.titles[name] for name in listing.columns])]
        getters = [listing.fields[name] for name in listing.columns]
        lines += ["\t".join([str(getter(row)) for getter in getters]) for row in rows]
        out(layout(lines))
    elif form == "raw" and listing.raw:
        out("".join(_raw(listing, row) for row in rows))
    else:
        from boxship.cli.formatted import show_formatted

        show_formatted(listing, rows, form)


def _raw(listing: Listing, row: "Any") -> str:
    lines = [f"{label}: {listing.fields[name](row)}".rstrip(" ") for label, name in listing.raw]
    return "\n".join(lines) + "\n\n"


def configured_format(key: str) -> str:
    """psFormat or imagesFormat of Docker's config.json; "" when there is none."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(f"{folder}/config.json", "rb") as file:
            data = file.read()
    except OSError:
        return ""
    if b'"%s"' % key.encode() not in data:
        return ""
    import json

    try:
        return str(json.loads(data).get(key) or "")
    except (ValueError, AttributeError):
        return ""


def short_id(ident: str) -> str:
    """Twelve characters, without the algorithm before."""
    return ident.rpartition(":")[2][:12]


def ellipsis(text: str, width: int) -> str:
    """`text` cut to `width` columns, the last of them "…". Wide characters take two."""
    if width <= 1:
        # no room for the mark
        return text[: max(width, 0)]
    if text.isascii():
        return text if len(text) <= width else f"{text[: width - 1]}…"
    from unicodedata import east_asian_width

    widths = [2 if east_asian_width(char) in "WF" else 1 for char in text]
    if sum(widths) <= width:
        return text
    used, kept = 0, 0
    while kept < len(text) and used + widths[kept] <= width - 1:
        used += widths[kept]
        kept += 1
    return f"{text[:kept]}…"


def ago(created: float) -> str:
    return f"{human_duration(time.time() - created)} ago"


def local_time(created: float) -> str:
    """As Go prints a time: 2024-01-02 03:04:05 +0000 UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created))
    except (ValueError, OverflowError):
        return ""


def label_list(labels: "dict[str, str] | None") -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
