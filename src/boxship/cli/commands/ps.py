"""ps, container ls: list containers."""

from boxship.cli.flags import BOOL, FILTER, INT, Call, Command
from boxship.cli.render import FORMAT_FLAG
from boxship.cli.streams import err, out

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
    size = call["size"] or "{{.Size}}" in call["format"]
    rows = containers.list_containers(
        call.store(),
        all=call["all"],
        filters=filters,
        limit=max(call["last"], 0),
        latest=call["latest"],
        **({"size": True} if size else {}),
    )
    cut = not call["no-trunc"]
    if call["quiet"]:
        if call["format"]:
            err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        out("".join(f"{row['Id'][:12] if cut else row['Id']}\n" for row in rows))
        return 0
    from boxship.cli.containerrows import listing
    from boxship.cli.render import configured_format, show

    show(listing(cut=cut, size=call["size"]), rows, call["format"] or ("" if call["size"] else configured_format("psFormat")))
    return 0
