"""The use cases of containers: create, start, stop, kill, remove, wait, list, inspect. On the hot path.

Ids and names are found as Docker finds them: full id, name, unique prefix.
"""

import os

from boxship import fastjson
from boxship.engine import client, mountpoints, networks, record, recovery, turns
from boxship.engine.creation import Created, create, give_up, log_options, merge, signal_number, start_head, start_message
from boxship.engine.session import Pipes, Session
from boxship.engine.turns import claim, end_now, is_running, until_gone
from boxship.errors import BoxshipError, Conflict, InvalidArgument, NotFound, NotModified
from boxship.runtime import active
from boxship.state import containers, layers, volumes
from boxship.state import networks as leases
from boxship.state.db import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store
    from boxship.state.containers import Container

    Document = dict[str, Any]

_SIGTERM, _SIGKILL = 15, 9


# -- finding -------------------------------------------------------------------------------------------------------------------
def find(store: "Store", ident: str) -> "Container":
    """Raises NotFound in Docker's words, InvalidArgument for an ambiguous prefix."""
    row = containers.by_name(store.db, ident.removeprefix("/"))
    if row is None and ident and all(c in "0123456789abcdef" for c in ident) and len(ident) <= 64:
        rows = containers.by_prefix(store.db, ident)
        if len(rows) > 1:
            raise InvalidArgument(f"Multiple IDs found with provided prefix: {ident}")
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"No such container: {ident}")
    return row


# -- start ---------------------------------------------------------------------------------------------------------------------
def prepare_start(store: "Store", row: "Container") -> Created:
    """What `create(start=True)` leaves, for a container that exists: leases taken, the message ready."""
    config, host = fastjson.loads(row.config), fastjson.loads(row.host_config)
    lowers = [layer.dir for layer in reversed(layers.of_image(store.db, row.image_id))]
    points = mountpoints.of_container(store, row.id, config, host)
    with transaction(store.db):
        leases.release(store.db, row.id)
        network = networks.lease(store, row.id, row.name, config, host)
    return Created(row.id, row.name, start_message(row, config, host, lowers, points, network, log_options(store)), [])


def launch(
    store: "Store", created: Created, *, attach: "tuple[bool, bool, bool]" = (False, False, False), size: "Any" = None
) -> Session:
    """Have it run; returns once its program has been started. `attach`: stdin, stdout, stderr; `size`: (rows, columns).

    Raises what kept it from starting, with nothing of it left but the created container.
    """
    lock = created.lock or active.begin(store.paths, created.id)
    message = created.message
    try:
        try:
            os.unlink(record.exit_path(store.paths, created.id))
        except FileNotFoundError:
            pass
        if size:
            message["host"]["ConsoleSize"] = list(size)
        pipes = Pipes(*attach)
        session = pipes.session
        connection = client.request(store.paths, start_head(message, pipes.names), pipes.theirs, created.early, message)
        pipes.sent()
        session.connection = connection
        connection.expect("started")
    except BaseException:
        _unwind(store, lock)
        raise
    lock.close()
    return session


def _unwind(store: "Store", lock: active.Lock) -> None:
    """The start failed: the shim undoes its own part and removes active/ID; where there is none any more, we do."""
    if not lock.holder(active.SHIM, 1) and lock.is_current():
        give_up(store, lock)
    else:
        lock.close()


def start(
    store: "Store", ident: str, *, attach: "tuple[bool, bool, bool]" = (False, False, False), size: "Any" = None
) -> "tuple[str, Session]":
    """Start a created or stopped container. Raises NotModified when it runs already."""
    recovery.sweep(store)
    row = find(store, ident)
    lock = claim(store, row.id)
    if lock is None:
        raise NotModified(f"container already started: {ident}")
    try:
        row = find(store, row.id)  # as it is now that nobody else changes it, if it is
        created = prepare_start(store, row)
    except BaseException:
        active.remove(lock.directory)
        lock.close()
        raise
    created.lock = lock
    return row.id, launch(store, created, attach=attach, size=size)


# -- stop, kill, wait ------------------------------------------------------------------------------------------------------------
def stop(store: "Store", ident: str, timeout: "int | None" = None, signal: "str | None" = None) -> None:
    """Signal, wait, kill. Raises NotModified when it does not run. `timeout` -1: never kill."""
    recovery.sweep(store)
    row = find(store, ident)
    connection = turns.shim(store, row.id)
    if connection is None:
        raise NotModified(f"container already stopped: {ident}")
    config = fastjson.loads(row.config)
    seconds = timeout if timeout is not None else config.get("StopTimeout")
    number = signal_number(signal or config.get("StopSignal") or "SIGTERM")
    if turns.tell(connection, {"op": "stop", "signal": number, "timeout": 10 if seconds is None else seconds}):
        until_gone(connection)


def kill(store: "Store", ident: str, signal: str = "SIGKILL") -> None:
    number = signal_number(signal)
    recovery.sweep(store)
    row = find(store, ident)
    connection = turns.shim(store, row.id)
    if connection is None or not is_running(store, row.id):
        raise Conflict(f"cannot kill container: {ident}: container {row.id} is not running")
    if number == _SIGKILL:
        connection.send({"op": "stop", "signal": number, "timeout": 0})
        until_gone(connection)
    else:
        connection.send({"op": "signal", "signal": number})
        connection.send({"op": "sync"})
        connection.expect("synced")
    connection.close()


def wait(store: "Store", ident: str) -> int:
    """The exit code, once it has ended; at once for one that does not run."""
    recovery.sweep(store)
    row = find(store, ident)
    connection = client.shim(store.paths, row.id)
    code = until_gone(connection) if connection is not None else None
    if code is not None:
        return code
    recovery.sweep(store)
    again = containers.get(store.db, row.id)
    return again.exit_code if again else row.exit_code


# -- remove ----------------------------------------------------------------------------------------------------------------------
def remove(store: "Store", ident: str, force: bool = False, volumes: bool = False) -> None:
    """Raises Conflict for one that runs, without `force`. `volumes`: its anonymous ones too."""
    recovery.sweep(store)
    row = find(store, ident)
    while True:
        lock = claim(store, row.id)
        if lock is not None:
            _remove_stopped(store, lock, volumes)
            return
        if not force:
            raise Conflict(
                f'cannot remove container "{ident}": container is running: stop the container before removing or force remove'
            )
        connection = client.shim(store.paths, row.id)
        if connection is not None:
            end_now(connection, remove=not _keeps_volumes(store, row.id, volumes))
            connection.close()
        if containers.get(store.db, row.id) is None:
            return


def _keeps_volumes(store: "Store", container_id: str, remove_them: bool) -> bool:
    return not remove_them and any(anonymous for _, _, anonymous in volumes.of_container(store.db, container_id))


def _remove_stopped(store: "Store", lock: active.Lock, remove_volumes: bool) -> None:
    """With active/ID claimed: if we are killed, the next command goes on."""
    container_id = lock.directory.rpartition("/")[2]
    with transaction(store.db):
        if containers.get(store.db, container_id) is None:
            gone = []  # somebody else has removed it
        elif remove_volumes:
            gone = record.remove_row(store.db, container_id)
        else:
            containers.remove(store.db, container_id)
            gone = []
    from boxship.layers.remove import remove_tree

    for path in (f"{store.paths.containers}/{container_id}", *(f"{store.paths.volumes}/{name}" for name in gone)):
        try:
            remove_tree(path)
        except FileNotFoundError:
            continue
    active.remove(lock.directory)
    lock.close()


def prune(store: "Store") -> "Document":
    """Remove all that do not run: {"ContainersDeleted": [...], "SpaceReclaimed": bytes}."""
    from boxship.images.store import tree_size

    running = recovery.sweep(store)
    deleted, freed = [], 0
    for row in containers.all_containers(store.db):
        lock = None if row.id in running else claim(store, row.id)
        if lock is None:
            continue
        upper = f"{store.paths.containers}/{row.id}/upper"
        freed += tree_size(upper) if os.path.isdir(upper) else 0
        _remove_stopped(store, lock, False)
        deleted.append(row.id)
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": freed}


# -- attach and exec -------------------------------------------------------------------------------------------------------------
def attach(store: "Store", ident: str, *, stdin: bool, stdout: bool, stderr: bool) -> "tuple[Container, Session]":
    """To the streams of a running container. Raises Conflict when it does not run."""
    recovery.sweep(store)
    row = find(store, ident)
    connection = client.shim(store.paths, row.id)
    if connection is None:
        raise Conflict("You cannot attach to a stopped container, start it first")
    pipes = Pipes(stdin, stdout, stderr)
    connection.send({"op": "attach", "streams": pipes.names}, pipes.theirs)
    pipes.sent()
    pipes.session.connection = connection
    connection.expect("started", "exit")
    return row, pipes.session


def execute(
    store: "Store",
    ident: str,
    argv: "list[str]",
    *,
    attach: "tuple[bool, bool, bool]" = (False, True, True),
    tty: bool = False,
    env: "list[str]" = (),  # type: ignore[assignment]
    cwd: str = "",
    user: str = "",
    privileged: bool = False,
    size: "Any" = None,
) -> Session:
    """Run a program in a running container; returns once it runs. The session's connection tells its exit code.

    Raises Conflict when the container does not run, ExecFailed when the program can't be started.
    """
    row = find(store, ident)
    if not is_running(store, row.id):
        recovery.sweep(store)
        raise Conflict(f"container {row.id} is not running")
    early = client.connect(store.paths)
    pipes = Pipes(attach[0] and not tty, attach[1] and not tty, attach[2] and not tty)
    message = {
        "op": "exec",
        "id": row.id,
        "config": fastjson.loads(row.config),
        "host": fastjson.loads(row.host_config),
        "argv": argv,
        "tty": tty,
        "detach": not any(attach),
        "env": list(env),
        "cwd": cwd,
        "user": user,
        "privileged": privileged,
        "size": list(size) if size else None,
        "streams": pipes.names,
    }
    connection = client.request(store.paths, message, pipes.theirs, early)
    pipes.sent()
    session = pipes.session
    session.connection = connection
    document, fds = connection.receive()
    if document is None or "error" in document:
        connection.close()
        raise client.rebuilt(document or {"error": "the exec helper ended unexpectedly"})
    if fds:
        session.master = fds[0]
    return session


# -- list and inspect ------------------------------------------------------------------------------------------------------------
def list_containers(
    store: "Store",
    all: bool = False,  # noqa: A002
    filters: "Any" = None,
    limit: int = 0,
    latest: bool = False,
) -> "list[Document]":
    """Documents of Docker's GET /containers/json, newest first."""
    from boxship.engine import containerlist

    return containerlist.list_containers(store, all, filters, 1 if latest else limit)


def inspect(store: "Store", ident: str, size: bool = False) -> "Document":
    """The document of Docker's GET /containers/ID/json."""
    from boxship.engine import containerlist

    running = recovery.sweep(store)
    return containerlist.document(store, find(store, ident), running, size)


def discard(store: "Store", container_id: str) -> None:
    """Take back a container that was created a moment ago. Its shim may still be starting it, or undoing that."""
    try:
        connection = client.shim(store.paths, container_id)
        if connection is not None:
            end_now(connection)
        remove(store, container_id, force=True, volumes=True)
    except BoxshipError:
        recovery.sweep(store)


# fmt: off
__all__ = [
    "Created", "attach", "create", "discard", "execute", "find", "inspect", "is_running", "kill", "launch", "list_containers",
    "merge", "prepare_start", "prune", "remove", "signal_number", "start", "stop", "wait",
]
