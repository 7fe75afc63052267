"""images, image ls: list images."""

from boxship.cli.flags import BOOL, FILTER, LATER, Call, Command
from boxship.cli.render import FORMAT_FLAG, configured_format, short_id, show
from boxship.cli.streams import err, out

COMMAND = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    (
        ("all", "a", BOOL, False, "Show intermediate images too"),
        ("digests", "", BOOL, False, "Show digests"),
        ("filter", "f", FILTER, (), "Show only those that meet the condition"),
        FORMAT_FLAG,
        ("no-trunc", "", BOOL, False, "Don't shorten the output"),
        ("quiet", "q", BOOL, False, "Show image IDs only"),
        ("tree", "", BOOL, False, "Show the platforms of an image as a tree", LATER),
    ),
    most=1,
)


def main(call: Call) -> int:
    from boxship.cli.imagerows import expand, listing
    from boxship.dockerapi.filters import collect
    from boxship.engine import images

    terms = call["filter"] + [("reference", call.args[0])] if call.args else call["filter"]
    found = images.list_images(call.store(), all=call["all"], filters=collect(terms) or None)
    form = call["format"] or configured_format("imagesFormat")
    digests = call["digests"]
    rows = expand(found, digests=digests or "{{.Digest}}" in form, digest_rows=digests)
    if call["quiet"]:
        if call["format"]:
            err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        out("".join(f"{row['Id'] if call['no-trunc'] else short_id(row['Id'])}\n" for row in rows))
        return 0
    if not rows and call.args and not call["filter"]:
        _mistaken(call)
    show(listing(cut=not call["no-trunc"], digests=digests, table=form in ("", "table")), rows, form)
    return 0


def _mistaken(call: Call) -> None:
    """`images ls` asks for an image named ls."""
    if call.args[0] in ("ls", "list", "rm", "pull", "build", "inspect", "prune", "tag"):
        meant = f'"{call.program} image {call.args[0]}"'
        err(f'No images found matching "{call.args[0]}": did you mean {meant}?\n')
