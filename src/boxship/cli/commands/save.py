"""save: images into a tar archive."""

import os
import sys

from boxship.cli.flags import LATER, STRING, Call, ClientError, Command

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        ("output", "o", STRING, "", "Write to a file instead of STDOUT"),
        ("platform", "", STRING, "", "Save only this platform's variant", LATER),
    ),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import images

    target = call["output"]
    if not target:
        if sys.stdout.isatty():
            raise ClientError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        images.save(call.store(), call.args, sys.stdout.buffer)
        return 0
    folder = os.path.dirname(target) or "."
    if not os.path.isdir(folder):
        raise ClientError(f'failed to save image: invalid output path: directory "{folder}" does not exist')
    # whole or not at all: what was there stays until the new one is complete
    partial = f"{target}.{os.getpid()}.tmp"
    try:
        with open(partial, "wb") as file:
            images.save(call.store(), call.args, file)
        os.replace(partial, target)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    return 0
