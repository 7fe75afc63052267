"""start: have created or stopped containers run."""

from boxship import fastjson
from boxship.cli import attach
from boxship.cli.commands.run import detach_keys
from boxship.cli.flags import BOOL, LATER, STRING, Call, ClientError, Command
from boxship.cli.several import each
from boxship.engine import containers
from boxship.errors import NotModified

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("attach", "a", BOOL, False, "Attach STDOUT/STDERR and forward signals"),
        ("checkpoint", "", STRING, "", "Restore from this checkpoint", LATER),
        ("checkpoint-dir", "", STRING, "", "Use a custom checkpoint storage directory", LATER),
        ("detach-keys", "", STRING, "", "Keys that detach from the container"),
        ("interactive", "i", BOOL, False, "Attach the container's STDIN"),
    ),
    least=1,
)


def main(call: Call) -> int:
    keys = detach_keys(call["detach-keys"])
    store = call.store()
    if not call["attach"] and not call["interactive"]:
        return each(call.args, lambda name: _start(store, name))
    if len(call.args) > 1:
        raise ClientError("you cannot start and attach multiple containers at once")
    row = containers.find(store, call.args[0])
    config = fastjson.loads(row.config)
    tty = bool(config.get("Tty"))
    stdin = call["interactive"] and bool(config.get("OpenStdin"))
    try:
        _, session = containers.start(store, row.id, attach=(stdin, True, not tty), size=attach.terminal_size() if tty else None)
    except NotModified:
        _, session = containers.attach(store, row.id, stdin=stdin, stdout=True, stderr=not tty)
    with attach.Raw(tty and stdin):
        code = attach.Relay(session, tty, keys).run()
    return 0 if code == attach.DETACHED else code


def _start(store: object, name: str) -> None:
    try:
        containers.start(store, name)  # type: ignore[arg-type]
    except NotModified:
        pass  # Docker says nothing and prints the name
