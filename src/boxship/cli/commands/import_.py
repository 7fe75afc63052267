"""import: an image from a tarball of a file system."""

import sys

from boxship.cli.flags import LATER, LIST, STRING, Call, Command
from boxship.cli.streams import out
from boxship.errors import Unsupported

COMMAND = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    (
        ("change", "c", LIST, (), "Apply a Dockerfile instruction to the image"),
        ("message", "m", STRING, "", "Comment of the image"),
        ("platform", "", STRING, "", "Platform of the image", LATER),
    ),
    least=1,
    most=2,
)


def main(call: Call) -> int:
    from boxship.engine import images

    source = call.args[0]
    reference = call.args[1] if len(call.args) > 1 else ""
    if source.startswith(("http://", "https://")):
        raise Unsupported(f"import from a URL is not supported yet: {source}", hint="fetch it, then import -")
    if source == "-":
        ident = images.import_image(call.store(), sys.stdin.buffer, reference, call["message"], call["change"])
    else:
        with open(source, "rb") as file:
            ident = images.import_image(call.store(), file, reference, call["message"], call["change"])
    out(f"{ident}\n")
    return 0
