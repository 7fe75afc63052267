"""wait: until containers have ended."""

from boxship.cli.flags import Call, Command
from boxship.cli.several import complain
from boxship.cli.streams import out
from boxship.errors import BoxshipError

COMMAND = Command("CONTAINER [CONTAINER...]", least=1)


def main(call: Call) -> int:
    import sys

    from boxship.engine import containers

    store, code = call.store(), 0
    for name in call.args:
        try:
            out(f"{containers.wait(store, name)}\n")
            sys.stdout.flush()
        except BoxshipError as error:
            complain(error)
            code = 1
    return code
