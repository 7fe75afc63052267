"""rm: remove containers."""

from boxship.cli.flags import BOOL, LATER, Call, Command
from boxship.cli.several import each

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("force", "f", BOOL, False, "Kill the container first when it runs (SIGKILL)"),
        ("link", "l", BOOL, False, "Remove the link of that name", LATER),
        ("volumes", "v", BOOL, False, "Remove the anonymous volumes of the container"),
    ),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import containers

    store, force = call.store(), call["force"]
    return each(
        call.args,
        lambda name: containers.remove(store, name, force=force, volumes=call["volumes"]),
        forced=force,
    )
