"""stop: end containers, kindly first."""

from boxship.cli.flags import INT, STRING, Call, Command
from boxship.cli.several import each

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("signal", "s", STRING, "", "Signal to send"),
        ("time", "", INT, 0, "", "timeout"),
        ("timeout", "t", INT, 0, "Seconds to wait before it is killed"),
    ),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import containers

    store = call.store()
    timeout = call["timeout"] if "timeout" in call.given else None
    return each(call.args, lambda name: containers.stop(store, name, timeout=timeout, signal=call["signal"] or None))
