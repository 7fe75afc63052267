"""ps, container ls: list containers."""

from boxship.cli.flags import BOOL, FILTER, INT, Call, Command
from boxship.cli.render import FORMAT_FLAG
from boxship.cli.streams import err, out
from boxship.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

COMMAND = Command(
    "[OPTIONS]",
    (
        ("all", "a", BOOL, False, "Show all containers, not only the running ones"),
        ("filter", "f", FILTER, (), "Show only those that meet the condition"),
        FORMAT_FLAG,
        ("last", "n", INT, -1, "Show the n containers created last, in any state"),
        ("latest", "l", BOOL, False, "Show the container created last, in any state"),
        ("no-trunc", "", BOOL, False, "Don't shorten the output"),
        ("quiet", "q", BOOL, False, "Show container IDs only"),
        ("size", "s", BOOL, False, "Show the size of what was written"),
    ),
    most=0,
)


def main(call: Call) -> int:
    from boxship.engine import containers

    filters = None
    if call["filter"]:
        from boxship.dockerapi.filters import collect

        filters = collect(call["filter"])
    store = call.store()
    # a number of the last ones counts those that have ended too
    every = call["all"] or call["latest"] or call["last"] > 0
    rows = containers.list_containers(store, all=every, filters=filters, limit=max(call["last"], 0), latest=call["latest"])
    cut = not call["no-trunc"]
    if call["quiet"]:
        if call["format"]:
            err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        out("".join(f"{row['Id'][:12] if cut else row['Id']}\n" for row in rows))
        return 0
    from boxship.cli.containerrows import listing
    from boxship.cli.render import configured_format, show

    form = call["format"] or ("" if call["size"] else configured_format("psFormat"))
    if call["size"] or ".Size" in form:
        rows = [row for row in rows if _measure(store, row)]
    show(listing(cut=cut, size=call["size"]), rows, form)
    return 0


def _measure(store: "Store", row: "dict[str, Any]") -> bool:
    """Add the sizes, for which the container's files are walked. False when it is gone by now."""
    from boxship.engine import containers

    try:
        document = containers.inspect(store, row["Id"], size=True)
    except NotFound:
        return False
    row.update((name, document.get(name) or 0) for name in ("SizeRw", "SizeRootFs"))
    return True
