"""rmi, image rm: remove images."""

from boxship.cli.flags import BOOL, LATER, STRINGS, Call, Command
from boxship.cli.several import complain
from boxship.cli.streams import out
from boxship.errors import BoxshipError, NotFound

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        ("force", "f", BOOL, False, "Remove it even when it has other names or stopped containers"),
        ("no-prune", "", BOOL, False, "Keep the parents that have no name"),
        ("platform", "", STRINGS, (), "Remove only this platform's variant", LATER),
    ),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import images

    store, code = call.store(), 0
    for name in call.args:
        try:
            done = images.remove(store, name, force=call["force"], prune=not call["no-prune"])
        except BoxshipError as error:
            complain(error)
            code = code if call["force"] and isinstance(error, NotFound) else 1
            continue
        out("".join(f"{what}: {ident}\n" for entry in done for what, ident in entry.items()))
    return code
