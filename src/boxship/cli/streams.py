"""Standard output and standard error as bytes: names from an image or argv need not be text in the user's locale."""

import sys


def out(text: str) -> None:
    """Write to standard output, buffered; `boxship.cli.main` flushes."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def err(text: str) -> None:
    """Write to standard error at once, after what standard output has so far."""
    sys.stdout.flush()
    sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stderr.flush()
