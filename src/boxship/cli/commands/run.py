"""run: create a container, start it, and stay with it. Hot path."""

import os

from boxship.cli import attach
from boxship.cli.commands.create import make
from boxship.cli.containerflags import RUN_FLAGS, create_request
from boxship.cli.flags import Call, ClientError, Command
from boxship.cli.streams import out
from boxship.engine import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.containerflags import CreateRequest
    from boxship.engine.containers import Created
    from boxship.engine.store import Store

COMMAND = Command("[OPTIONS] IMAGE [COMMAND] [ARG...]", RUN_FLAGS, least=1, interspersed=False, failure=125, framed=True)


def main(call: Call) -> int:
    request = create_request(call)
    keys = detach_keys(request.detach_keys)
    tty, stdin = bool(request.config["Tty"]), bool(request.config["OpenStdin"])
    if tty and stdin and not request.detach and not os.isatty(0):
        raise ClientError("the input device is not a TTY")
    store = call.store()
    created = make(store, request, start=True)
    streams = (False, False, False) if request.detach else (stdin, True, not tty)
    size = attach.terminal_size() if tty and not request.detach else None
    session = _launch(store, created, request, streams, size)
    if request.detach:
        out(f"{created.id}\n")
        return 0
    with attach.Raw(tty and stdin):
        code = attach.Relay(session, tty, keys).run()
    return 0 if code == attach.DETACHED else code


def _launch(store: "Store", created: "Created", request: "CreateRequest", streams: "tuple[bool, bool, bool]", size: object):  # type: ignore[no-untyped-def]
    try:
        return containers.launch(store, created, attach=streams, size=size)
    except BaseException:
        # unlike Docker, which leaves a container behind that never ran
        containers.discard(store, created.id)
        if request.host_config["ContainerIDFile"]:
            os.unlink(request.host_config["ContainerIDFile"])
        raise


def detach_keys(text: str) -> bytes:
    if not text:
        return attach.DEFAULT_DETACH_KEYS
    try:
        return attach.parse_detach_keys(text)
    except ValueError as error:
        raise ClientError(str(error)) from None
