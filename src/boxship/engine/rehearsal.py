"""What a shim does before it falls asleep, done once and again in the fork server before it forks anybody.

The interpreter writes into code and types as it first runs them (inline caches, version tags, method caches). Done before the fork,
these writes land in pages that all shims share; done after it, each shim would keep its own copies: half a megabyte.
"""

import _socket
import os

from boxship import fastjson
from boxship.config import Paths
from boxship.engine import keeper
from boxship.engine.logdrivers import json_file
from boxship.layers.remove import remove_tree
from boxship.runtime import active
from boxship.runtime.channel import channel_pair, receive
from boxship.runtime.shim import Shim

# the interpreter specialises a function after eight calls and settles within a few more
_TIMES = 16
_MESSAGE = (
    '{"op":"start","id":"'
    + "0" * 64
    + '","streams":[],"log":{},"stdin":false,"stdin_once":false,"restart":["no",0],"remove":true}\n{}'
)


def rehearse(paths: Paths) -> None:
    base = f"{paths.run}/rehearsal-{os.getpid()}"
    os.makedirs(base, 0o700, exist_ok=True)
    for number in range(_TIMES):
        _once(paths, f"{base}/{number}")
    remove_tree(base)


def _once(paths: Paths, where: str) -> None:
    os.mkdir(where)
    first, client = channel_pair()
    client.send(_MESSAGE.encode())
    data, _ = receive(first)
    head, _, body = data.partition(b"\n")
    message = fastjson.loads(head)
    keeper.set_name("boxship-fork")
    lock = active.Lock(where)
    lock.take(active.SHIM)
    log = json_file.make(f"{where}/log", message["log"])
    container = keeper.Container(paths, message, body, where)
    shim = Shim(where, container, log)
    admitted = shim._admit(first)
    shim._attach(admitted, {})
    shim._listen()
    _start(shim, container)
    shim._tell_all({"started": os.getpid()})
    shim.loop.step(0)
    shim.streams.close()
    for client_fd in list(shim.clients):
        shim._drop(shim.clients[client_fd])
    assert shim.listener is not None
    shim.listener.close()
    client.close()
    log.close()
    lock.close()


def _start(shim: Shim, container: "keeper.Container") -> None:
    """As if a helper had made a container of this very process."""
    channel, init = channel_pair()
    ours, theirs = channel_pair()
    init.shutdown(_socket.SHUT_WR)
    ends = {"stdout": os.pipe2(os.O_CLOEXEC), "stderr": os.pipe2(os.O_CLOEXEC)}
    fds = [ends["stdout"][0], ends["stderr"][0], channel.detach()]
    theirs.send(fastjson.dumps({"pid": os.getpid(), "fds": ["stdout", "stderr", "channel"]}).encode())
    data, _ = receive(ours)
    child = container._adopt(data, fds, shim.streams)
    shim.loop.watch(child.pidfd, 1, shim._end)
    shim.loop.step(0)
    shim.loop.forget(child.pidfd)
    os.close(child.pidfd)
    for _, write in ends.values():
        os.close(write)
    for end in (ours, theirs, init):
        end.close()
