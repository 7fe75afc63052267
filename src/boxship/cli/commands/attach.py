"""attach: to the streams of a running container."""

from boxship import fastjson
from boxship.cli import attach
from boxship.cli.commands.run import detach_keys
from boxship.cli.flags import BOOL, LATER, STRING, Call, Command
from boxship.engine import containers

COMMAND = Command(
    "[OPTIONS] CONTAINER",
    (
        ("detach-keys", "", STRING, "", "Keys that detach from the container"),
        ("no-stdin", "", BOOL, False, "Don't attach STDIN"),
        ("sig-proxy", "", BOOL, True, "Pass signals on to the process (default true)", LATER),
    ),
    least=1,
    most=1,
)


def main(call: Call) -> int:
    keys = detach_keys(call["detach-keys"])
    store = call.store()
    config = fastjson.loads(containers.find(store, call.args[0]).config)
    tty = bool(config.get("Tty"))
    stdin = bool(config.get("OpenStdin")) and not call["no-stdin"]
    _, session = containers.attach(store, call.args[0], stdin=stdin, stdout=True, stderr=not tty)
    with attach.Raw(tty and stdin):
        code = attach.Relay(session, tty, keys).run()
    return 0 if code == attach.DETACHED else code
