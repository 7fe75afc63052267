"""exec: a program in a running container. Hot path."""

import os

from boxship.cli import attach
from boxship.cli.commands.run import detach_keys
from boxship.cli.envfiles import read_environment
from boxship.cli.flags import BOOL, LIST, STRING, Call, ClientError, Command
from boxship.engine import containers

COMMAND = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    (
        ("detach", "d", BOOL, False, "Detached mode: run command in the background"),
        ("detach-keys", "", STRING, "", "Keys that detach from the container"),
        ("env", "e", ("list", 1, "environment"), (), "Set environment variables"),
        ("env-file", "", LIST, (), "Read environment variables from a file"),
        ("interactive", "i", BOOL, False, "Keep STDIN open even if not attached"),
        ("privileged", "", BOOL, False, "Give extended privileges to the command"),
        ("tty", "t", BOOL, False, "Allocate a pseudo-TTY"),
        ("user", "u", STRING, "", "User name or UID (<name|uid>[:<group|gid>])"),
        ("workdir", "w", STRING, "", "Working directory inside the container"),
    ),
    least=2,
    interspersed=False,
)


def main(call: Call) -> int:
    keys = detach_keys(call["detach-keys"])
    tty, stdin, detach = call["tty"], call["interactive"], call["detach"]
    if tty and stdin and not detach and not os.isatty(0):
        raise ClientError("the input device is not a TTY")
    try:
        env = read_environment(call["env-file"], call["env"])
    except (ValueError, OSError) as error:
        raise ClientError(str(error)) from None
    session = containers.execute(
        call.store(),
        call.args[0],
        call.args[1:],
        attach=(False, False, False) if detach else (stdin, True, True),
        tty=tty,
        env=env,
        cwd=call["workdir"],
        user=call["user"],
        privileged=call["privileged"],
        size=attach.terminal_size() if tty else None,
    )
    if detach:
        return 0
    relay = attach.Relay(session, tty, keys, of_exec=True)
    relay.takes_input = stdin
    with attach.Raw(tty and stdin):
        code = relay.run()
    return 0 if code == attach.DETACHED else code
