"""history: the steps an image was made by."""

from boxship.cli.flags import BOOL, LATER, STRING, Call, Command
from boxship.cli.render import FORMAT_FLAG, show

COMMAND = Command(
    "[OPTIONS] IMAGE",
    (
        FORMAT_FLAG,
        ("human", "H", BOOL, True, "Sizes and times for people to read (default true)"),
        ("no-trunc", "", BOOL, False, "Don't shorten the output"),
        ("platform", "", STRING, "", "Show the history for this platform", LATER),
        ("quiet", "q", BOOL, False, "Show image IDs only"),
    ),
    least=1,
    most=1,
)


def main(call: Call) -> int:
    from boxship.cli.imagerows import history_listing
    from boxship.cli.streams import out
    from boxship.engine import images

    rows = images.history(call.store(), call.args[0])
    listing = history_listing(cut=not call["no-trunc"], human=call["human"])
    if call["quiet"]:
        out("".join(f"{listing.fields['ID'](row)}\n" for row in rows))
        return 0
    show(listing, rows, call["format"])
    return 0
