"""One isolated process over some layers: what RUN is. The build's half; the other is `taskrun`, forked from the fork server.

The sandboxes (network namespace, address) are kept for the whole build and handed from step to step: making one costs more than
all the rest of a step. No two steps that run at the same time share one.
"""

import os
import select

from boxship.engine import client, networks
from boxship.engine.session import Pipes
from boxship.runtime import active
from boxship.state import networks as leases
from boxship.state.db import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxship.engine.store import Store

_CHUNK = 1 << 16
_STOP_CHECK_MS = 50
_KILLED = 137


class TaskSpec:
    """`lowers` top first, names below layers/; `upper` and `work` empty directories side by side; `argv`, `env` NAME=VALUE, `cwd`,
    `user` as in Docker; `scripts` {path in the container: bytes} that appear as executable files during the step."""

    __slots__ = ("argv", "cwd", "env", "extra_hosts", "hostname", "lowers", "scripts", "upper", "user", "work")

    def __init__(
        self, lowers: "list[str]", upper: str, work: str, argv: "list[str]", env: "list[str]", cwd: str, user: str
    ) -> None:
        self.lowers = lowers
        self.upper = upper
        self.work = work
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.user = user
        self.hostname = "buildkitsandbox"
        self.extra_hosts: list[str] = []
        self.scripts: dict[str, bytes] = {}


class Sandbox:
    __slots__ = ("fd", "ip")

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.fd = -1


class Tasks:
    """The steps of one build. `network`: bridge, none or host. Thread-safe as far as list.pop and list.append are."""

    def __init__(self, store: "Store", network: str = "bridge") -> None:
        self.store = store
        self.network = network
        self.idle: list[Sandbox] = []

    def close(self) -> None:
        """Give back the addresses; the namespaces end with their descriptors."""
        for sandbox in self.idle:
            if sandbox.fd >= 0:
                os.close(sandbox.fd)
            self._release(sandbox)
        self.idle = []

    def _release(self, sandbox: Sandbox) -> None:
        if sandbox.ip:
            db = _connection(self.store)
            with transaction(db):
                leases.release_build(db, networks.BRIDGE, leases.number(sandbox.ip))

    def run(self, spec: TaskSpec, output: "Callable[[int, bytes], None]", stop: "Callable[[], bool]") -> int:
        """The exit code. `output` gets (1 or 2, bytes); `stop` is asked every 50 ms and ends the step at once.

        Raises ExecFailed when the program can't be started, BoxshipError when the step can't be prepared.
        """
        sandbox = self._sandbox()
        pipes = Pipes(False, True, True)
        fds = [*pipes.theirs, *([sandbox.fd] if sandbox.fd >= 0 else [])]
        connection = client.request(self.store.paths, self._message(spec, sandbox, pipes.names), fds)
        pipes.sent()
        try:
            return _follow(self.store, connection, pipes.session, sandbox, output, stop)
        finally:
            connection.close()
            for fd in (pipes.session.stdout, pipes.session.stderr):
                os.close(fd)
            self.idle.append(sandbox)

    def _sandbox(self) -> Sandbox:
        try:
            return self.idle.pop()
        except IndexError:
            pass
        if self.network != networks.BRIDGE:
            return Sandbox("")
        db = _connection(self.store)
        network = networks.default(self.store) if db is self.store.db else _default(db, self.store)
        pid = os.getpid()
        with transaction(db):
            for name, ip, owner, start in leases.build_leases(db):
                if active.start_time(owner) != start:
                    leases.release_build(db, name, ip)
            return Sandbox(leases.lease_for_build(db, network, pid, active.start_time(pid)))

    def _message(self, spec: TaskSpec, sandbox: Sandbox, names: "list[str]") -> "dict[str, Any]":
        network: dict[str, Any] = {"mode": self.network}
        if sandbox.ip:
            row = leases.get(_connection(self.store), networks.BRIDGE)
            assert row is not None
            network.update(ip=sandbox.ip, subnet=row.subnet, gateway=row.gateway)
        return {
            "op": "task",
            "streams": [*names, *(["netns"] if sandbox.fd >= 0 else [])],
            "lowers": spec.lowers,
            "upper": spec.upper,
            "work": spec.work,
            "network": network,
            "scripts": {path: data.decode("utf-8", "surrogateescape") for path, data in spec.scripts.items()},
            "config": {"Hostname": spec.hostname, "Env": spec.env, "Cmd": spec.argv, "WorkingDir": spec.cwd, "User": spec.user},
            "host": {"NetworkMode": self.network, "ExtraHosts": spec.extra_hosts},
        }


def _connection(store: "Store") -> "Any":
    """A connection of this thread's own: one may not be used by two."""
    import threading

    if threading.current_thread() is threading.main_thread():
        return store.db
    local = _local(threading)
    if getattr(local, "root", None) != store.paths.root:
        from boxship.state import db as database

        local.db, local.root = database.connect(store.paths), store.paths.root
    return local.db


_locals: "list[Any]" = []


def _local(threading: "Any") -> "Any":
    if not _locals:
        _locals.append(threading.local())
    return _locals[0]


def _default(db: "Any", store: "Store") -> "Any":
    from boxship.engine.store import Store

    return networks.default(Store(store.paths, db))


def _ended(store: "Store", code: "int | None") -> int:
    """The supervisor is gone. When it has not said how the step ended it was killed, and left its group for us to remove."""
    if code is not None:
        return code
    from boxship.engine import stepgroups

    stepgroups.sweep_soon(store.tag)
    return _KILLED


def _follow(
    store: "Store",
    connection: "client.Connection",
    session: "Any",
    sandbox: Sandbox,
    output: "Callable[[int, bytes], None]",
    stop: "Callable[[], bool]",
) -> int:
    poll = select.poll()
    streams = {session.stdout: 1, session.stderr: 2}
    for fd in (*streams, connection.fileno()):
        poll.register(fd, select.POLLIN)
    code: int | None = None
    killed = False
    while streams or code is None:
        for fd, _ in poll.poll(_STOP_CHECK_MS):
            if fd in streams:
                data = os.read(fd, _CHUNK)
                if data:
                    output(streams[fd], data)
                else:
                    poll.unregister(fd)
                    del streams[fd]
                continue
            document, fds = connection.receive()
            if document is None:
                return _ended(store, code)
            if fds and sandbox.fd < 0:
                sandbox.fd = fds[0]
            if "error" in document:
                raise client.rebuilt(document)
            code = document.get("exit", code)
        if not killed and stop():
            killed = True
            connection.send({"op": "kill"})
    return code
