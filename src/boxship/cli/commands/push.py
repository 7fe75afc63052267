"""push: an image to a registry."""

from boxship.cli.flags import BOOL, LATER, STRING, Call, Command
from boxship.cli.streams import out

COMMAND = Command(
    "[OPTIONS] NAME[:TAG]",
    (
        ("all-tags", "a", BOOL, False, "Push every tag of the repository", LATER),
        ("disable-content-trust", "", BOOL, True, "Skip image signing (default true)", LATER),
        ("platform", "", STRING, "", "Push only this platform's variant", LATER),
        ("quiet", "q", BOOL, False, "Don't show progress"),
    ),
    least=1,
    most=1,
)


def main(call: Call) -> int:
    from boxship.cli.progress import reporter
    from boxship.engine import images
    from boxship.oci import reference as references

    reference = references.parse(call.args[0])
    quiet = call["quiet"]
    if not quiet and not reference.tag and not reference.digest:
        out("Using default tag: latest\n")
    images.push(call.store(), call.args[0], progress=None if quiet else reporter())
    if quiet:
        out(f"{reference.with_default_tag()}\n")
    return 0
