"""The shim's owner: what happens to one container between its start and its end. Runs in the shim, forked from the fork server.

Everything here and in `runtime.shim` becomes memory of each shim's own when it runs, so this module loads little, before everything
else (see `forkserver`), and leaves the work to helpers that end (`starter`) or to the time after the container's end.
"""

import _socket
import os

from boxship import fastjson
from boxship.config import Paths, store_tag
from boxship.engine.client import rebuilt
from boxship.engine.logdrivers import json_file
from boxship.errors import BoxshipError, Conflict
from boxship.runtime import active
from boxship.runtime.channel import Child, channel_pair, receive
from boxship.runtime.shim import Exit, Shim, error_document
from boxship.runtime.stdio import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]


class Container:
    """Hooks of one container's shim. The start itself is done by a helper that ends (`Starter`): what it touches of the memory that
    it shares with the fork server would otherwise be the shim's own for as long as the container lives."""

    def __init__(self, paths: Paths, head: "Document", body: bytes, where: str) -> None:
        self.paths = paths
        self.head = head
        self.body = body  # read by the helpers, not here: parsed, it would be the largest thing in the shim's memory
        self.id: str = head["id"]
        self.where = where
        self.home = f"{paths.containers}/{self.id}"
        self.tag = store_tag(paths)
        self.group = ""
        self.reserved: list[int] = []
        self.restarts = 0
        self.failures = 0
        self.unrecorded = False

    # -- Hooks ---------------------------------------------------------------------------------------------------------------
    def start(self, streams: Streams) -> Child:
        ours, theirs = channel_pair()
        shim = os.getpid()
        helper = os.fork()
        if helper == 0:
            ours.close()
            from boxship.engine.starter import Starter

            Starter(self).run(theirs, shim)
        theirs.close()
        self.group = group_name(self.tag, self.id)
        data, fds = receive(ours)
        ours.close()
        try:
            return self._adopt(data, fds, streams)
        except BaseException as error:
            self.teardown(final=False)
            _reap()
            if isinstance(error, BoxshipError):
                from boxship.engine import record

                record.failed(self.paths, self.id, error)
            raise

    def _adopt(self, data: bytes, fds: "list[int]", streams: Streams) -> Child:
        """What the helper made: init is our child (CLONE_PARENT), mounted and waiting for "go"."""
        made: Document = fastjson.loads(data) if data else {"error": "the helper that starts the container was killed"}
        if "error" in made:
            raise rebuilt(made)
        by_name = dict(zip(made["fds"], fds, strict=False))
        self.reserved += fds[len(made["fds"]) :]
        child = Child(made["pid"], _socket.socket(fileno=by_name["channel"]), by_name.get("master", -1))
        child.go()
        if child.master >= 0:
            streams.open_terminal(child.master, bool(self.head["stdin"]))
        else:
            outputs = {1: by_name["stdout"], 2: by_name["stderr"]}
            streams.open_pipes(outputs, by_name.get("stdin", -1), bool(self.head["stdin_once"]))
        return child

    def stopped(self, status: Exit) -> None:
        from boxship.engine import record
        from boxship.runtime import cgroups

        oom = cgroups.find(self.group).oom_killed()
        again = not status.manual and self.restart_after(status, peek=True) is not None
        remove = bool(self.head["remove"]) or status.remove
        try:
            record.ended(self.paths, self.id, status, oom, self.restarts, again=again, remove=remove and not again)
        except (BoxshipError, OSError) as error:
            self._complain(error)
        if again:
            state = active.read_state(self.paths, self.id) or {}
            active.write_state(self.where, {**state, "pid": 0, "start": 0, "restarting": True})

    def _complain(self, error: Exception) -> None:
        """A store that takes nothing more, for its disk is full, does not keep the clients from hearing of the end."""
        self.unrecorded = True
        os.write(2, f"container {self.id[:12]}: its end could not be recorded: {error}\n".encode())

    def restart_after(self, status: Exit, peek: bool = False) -> "float | None":
        """Docker's policies; 100 ms, doubled at each failure up to a minute, forgotten after ten seconds of life."""
        name, most = self.head["restart"]
        failures = 0 if status.seconds > 10 else self.failures
        if name in ("always", "unless-stopped"):
            wanted = True
        elif name == "on-failure":
            wanted = status.code != 0 and (most == 0 or self.restarts < most)
        else:
            wanted = False
        if not wanted:
            return None
        if not peek:
            self.failures = failures + 1
            self.restarts += 1
        return min(60.0, 0.1 * 2.0**failures)

    def teardown(self, final: bool) -> None:
        """In the order that a crash between any two leaves something `recovery` finds: active/ID goes last, in the shim."""
        from boxship.runtime import cgroups

        if self.group:
            group = cgroups.find(self.group)
            group.kill_all()
            group.destroy()
        if final:
            from boxship.engine import record
            from boxship.engine.starter import published
            from boxship.network import bridge, portmap

            if self.reserved:
                network = fastjson.loads(self.body)["network"]
                portmap.unpublish(bridge.names(self.tag)[1], published(network))
            _close(self.reserved)
            self.reserved.clear()
            try:
                record.forget(self.paths, self.id, self.home)
            except (BoxshipError, OSError) as error:
                self._complain(error)


def _reap() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _close(fds: "list[int]") -> None:
    for fd in fds:
        os.close(fd)


def group_name(tag: str, container_id: str) -> str:
    """As runtime.cgroups names it."""
    return f"boxship-{tag}/{container_id}" if tag else f"boxship/{container_id}"


def start(paths: Paths, connection: "_socket.socket", head: "Document", body: bytes, fds: "list[int]") -> None:
    """The life of a shim."""
    set_name("boxship-shim")
    os.setsid()
    lock = active.Lock(active.directory(paths, head["id"]))
    if not lock.take(active.SHIM):
        connection.send(fastjson.dumps(error_document(Conflict("the container is running already"))).encode())
        return
    log = json_file.make(f"{paths.containers}/{head['id']}/{head['id']}-json.log", head["log"])
    shim = Shim(lock.directory, Container(paths, head, body, lock.directory), log)
    shim.run(connection, dict(zip(head["streams"], fds, strict=False)))


def set_name(name: str) -> None:
    """As prctl(PR_SET_NAME), without ctypes: its first call alone would cost each shim 100 KiB of memory of its own."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)
