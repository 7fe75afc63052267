"""load: images from a tar archive."""

import sys

from boxship.cli.flags import BOOL, LATER, STRING, Call, ClientError, Command
from boxship.cli.streams import out

COMMAND = Command(
    "[OPTIONS]",
    (
        ("input", "i", STRING, "", "Read from a file instead of STDIN"),
        ("platform", "", STRING, "", "Load only this platform's variant", LATER),
        ("quiet", "q", BOOL, False, "Don't show progress"),
    ),
    most=0,
)


def main(call: Call) -> int:
    from boxship.cli.progress import reporter
    from boxship.engine import images

    if not call["input"] and sys.stdin.isatty():
        raise ClientError("requested load from stdin, but stdin is empty")
    # as with Docker, a script that reads the names of the images reads nothing else
    quiet = call["quiet"] or not sys.stdout.isatty()
    store, progress = call.store(), None if quiet else reporter()
    if call["input"]:
        with open(call["input"], "rb") as file:
            lines = images.load(store, file, progress=progress)
    else:
        lines = images.load(store, sys.stdin.buffer, progress=progress)
    out("".join(f"{line}\n" for line in lines))
    return 0
