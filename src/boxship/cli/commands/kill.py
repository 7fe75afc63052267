"""kill: send a signal to containers."""

from boxship.cli.flags import STRING, Call, Command
from boxship.cli.several import each

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (("signal", "s", STRING, "", "Signal to send (KILL when none is given)"),),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import containers

    store = call.store()
    return each(call.args, lambda name: containers.kill(store, name, call["signal"] or "KILL"))
