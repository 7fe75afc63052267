"""bootstrap: a base image from the host's own package sources."""

from boxship.cli.flags import BOOL, LIST, STRING, Call, Command
from boxship.cli.streams import err, out

COMMAND = Command(
    "[OPTIONS] DISTRIBUTION[:SUITE]",
    (
        ("include", "", LIST, (), "Install these packages too (separated by commas)"),
        ("quiet", "q", BOOL, False, "Don't show progress"),
        ("stand-in", "", BOOL, False, "Label it as a stand-in, with the host's certificates and pip settings"),
        ("tag", "t", STRING, "", "Name of the image (DISTRIBUTION:SUITE when none is given)"),
    ),
    least=1,
    most=1,
)


def main(call: Call) -> int:
    from boxship.engine import bootstrap

    packages = [name.strip() for text in call["include"] for name in text.split(",") if name.strip()]
    progress = None if call["quiet"] else lambda line: err(f"{line}\n")
    ident = bootstrap.bootstrap(call.store(), call.args[0], call["tag"] or None, packages, progress, stand_in=call["stand-in"])
    out(f"{ident}\n")
    return 0
