"""The use cases of containers: create, start, stop, kill, remove, wait, list, inspect. On the hot path.

Ids and names are found as Docker finds them: full id, name, unique prefix.
"""

import os
import time

from boxship import fastjson
from boxship.engine import client, mountpoints, names, networks, record, recovery, turns
from boxship.engine.session import Pipes, Session
from boxship.engine.turns import claim, end_now, is_running, until_gone
from boxship.errors import BoxshipError, Conflict, InvalidArgument, NotFound, NotModified
from boxship.oci import spec as oci
from boxship.runtime import active
from boxship.state import containers, layers, volumes
from boxship.state import networks as leases
from boxship.state.db import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store
    from boxship.state.containers import Container
    from boxship.state.images import Image

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


# -- create --------------------------------------------------------------------------------------------------------------------
class Created:
    """A container that was created: its id and name, what it will be started with, and warnings for the user."""

    __slots__ = ("early", "id", "lock", "message", "name", "warnings")

    def __init__(self, container_id: str, name: str, message: "Document", warnings: "list[str]") -> None:
        self.early: client.Connection | None = None
        self.lock: active.Lock | None = None
        self.id = container_id
        self.name = name
        self.message = message
        self.warnings = warnings


def create(
    store: "Store", image: "Image", image_name: str, name: str, config: "Document", host: "Document", *, start: bool = False
) -> Created:
    """Write a container down. With `start` its leases are taken in the same transaction, and `launch` has to follow.

    Raises Conflict for a name or a port that is taken, InvalidArgument for documents that make no sense.
    """
    from boxship.runtime.cgroups import checks

    if name and not names.is_valid(name):
        raise InvalidArgument(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    config = merge(config, fastjson.loads(image.config).get("config") or {})
    checks.validate(host, ncpu=os.cpu_count() or 1, cpus=_online("cpu"), mems=_online("node"))
    if config.get("StopSignal"):
        signal_number(config["StopSignal"])
    _check_restart(host.get("RestartPolicy") or {})
    if host.get("Devices"):
        from boxship.engine import devices

        devices.check(host["Devices"])
    log = _log_options(store)
    points, warnings = mountpoints.plan(store, config, host)
    container_id = os.urandom(32).hex()
    lowers = [layer.dir for layer in reversed(layers.of_image(store.db, image.id))]
    early = client.connect(store.paths) if start else None
    row = containers.Container(
        container_id, name, image.id, image_name, time.time_ns(), fastjson.dumps(config), fastjson.dumps(host)
    )
    recovery.sweep(store)
    # from here on, what is left of us is undone by the next command if we are killed
    lock = active.begin(store.paths, container_id)
    try:
        os.mkdir(f"{store.paths.containers}/{container_id}", 0o711)
        with transaction(store.db):
            _add(store, row)
            mountpoints.register(store, container_id, points)
            network = networks.lease(store, container_id, row.name, config, host) if start else {}
    except BaseException:
        _give_up(store, lock)
        raise
    created = Created(container_id, row.name, _message(row, config, host, lowers, points, network, log), warnings)
    created.early = early
    if start:
        created.lock = lock
    else:
        active.remove(lock.directory)
        lock.close()
    return created


def _give_up(store: "Store", lock: active.Lock) -> None:
    """Undo what was begun under this lock, as if we had been killed."""
    container_id = lock.directory.rpartition("/")[2]
    lock.close()
    recovery.recover(store, container_id)


def _online(what: str) -> str:
    try:
        with open(f"/sys/devices/system/{what}/online", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _check_restart(policy: "Document") -> None:
    """Docker's words: moby api/types/container/hostconfig.go, ValidateRestartPolicy."""
    name, most = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    if name not in ("no", "always", "on-failure", "unless-stopped"):
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if most < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if most and name != "on-failure":
        raise InvalidArgument("invalid restart policy: maximum retry count can only be used with 'on-failure'")


def _add(store: "Store", row: "Container") -> None:
    """Insert it, under a name of ours when it has none."""
    if row.name:
        containers.add(store.db, row)
        return
    for attempt in range(20):
        row.name = names.random_name() + (str(int.from_bytes(os.urandom(2), "little")) if attempt > 3 else "")
        try:
            containers.add(store.db, row)
            return
        except Conflict:
            if attempt == 19:
                raise


def merge(config: "Document", image: "Document") -> "Document":
    """The image's config below the user's: Docker's rules (moby runconfig merge)."""
    merged = dict(config)
    env = list(config.get("Env") or [])
    given = {pair.partition("=")[0] for pair in env}
    merged["Env"] = [pair for pair in image.get("Env") or [] if pair.partition("=")[0] not in given] + env
    if config.get("Entrypoint") is None:
        if not config.get("Cmd"):
            merged["Cmd"] = image.get("Cmd")
        merged["Entrypoint"] = image.get("Entrypoint")
    elif config["Entrypoint"] in ([""], []):
        merged["Entrypoint"] = None
    for key in ("User", "WorkingDir", "StopSignal", "Healthcheck", "Shell"):
        if not config.get(key):
            merged[key] = image.get(key) or config.get(key)
    for key in ("Labels", "Volumes", "ExposedPorts"):
        merged[key] = {**(image.get(key) or {}), **(config.get(key) or {})}
    if not any(pair.startswith("PATH=") for pair in merged["Env"]):
        merged["Env"].insert(0, f"PATH={oci.DEFAULT_PATH}")
    if not [*(merged.get("Entrypoint") or []), *(merged.get("Cmd") or [])]:
        raise InvalidArgument("no command specified", hint="the image names none: give one after the image's name")
    return merged


def _message(
    row: "Container", config: "Document", host: "Document", lowers: "list[str]", points: "Any", network: "Document", log: "Document"
) -> "Document":
    """Everything that a start needs; it reads no database."""
    return {
        "id": row.id,
        "name": row.name,
        "config": config,
        "host": host,
        "lowers": lowers,
        "mounts": mountpoints.oci_mounts(points),
        "fill": mountpoints.to_fill(points),
        "network": network,
        "log": log,
    }


def _head(message: "Document", streams: "list[str]") -> "Document":
    """What the shim itself has to know."""
    config, host = message["config"], message["host"]
    policy = host.get("RestartPolicy") or {}
    return {
        "op": "start",
        "id": message["id"],
        "streams": streams,
        "log": message["log"],
        "stdin": bool(config.get("OpenStdin")),
        "stdin_once": bool(config.get("StdinOnce")),
        "restart": [policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0],
        "remove": bool(host.get("AutoRemove")),
    }


def _log_options(store: "Store") -> "Document":
    log = store.settings.get("log")
    if not isinstance(log, dict):
        return {}
    options: Document = {}
    if "max-size" in log:
        options["max-size"] = _bytes(str(log["max-size"]))
    if "max-file" in log:
        if not isinstance(log["max-file"], int) or log["max-file"] < 1:
            raise InvalidArgument(f"log.max-file is no number of files: {log['max-file']}", hint="in boxship.toml: max-file = 5")
        options["max-file"] = log["max-file"]
    return options


def _bytes(text: str) -> int:
    units = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    body = text.strip().lower().removesuffix("b") or "0"
    factor = units.get(body[-1], 0)
    number = body[:-1] if factor else body
    if not number.isdigit():
        raise InvalidArgument(f"log.max-size is no size: {text}", hint='in boxship.toml: max-size = "10m"')
    return int(number) * (factor or 1)


# -- start ---------------------------------------------------------------------------------------------------------------------
def prepare_start(store: "Store", row: "Container") -> Created:
    """What `create(start=True)` leaves, for a container that exists: leases taken, the message ready."""
    config, host = fastjson.loads(row.config), fastjson.loads(row.host_config)
    lowers = [layer.dir for layer in reversed(layers.of_image(store.db, row.image_id))]
    points = mountpoints.of_container(store, row.id, config, host)
    with transaction(store.db):
        leases.release(store.db, row.id)
        network = networks.lease(store, row.id, row.name, config, host)
    return Created(row.id, row.name, _message(row, config, host, lowers, points, network, _log_options(store)), [])


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
        connection = client.request(store.paths, _head(message, pipes.names), pipes.theirs, created.early, message)
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
        _give_up(store, lock)
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


def signal_number(text: str) -> int:
    """ "SIGTERM", "term" or "15". Raises InvalidArgument in Docker's words."""
    import _signal  # type: ignore[import-not-found]

    word = text.upper().removeprefix("SIG")
    number = int(word) if word.isdigit() else getattr(_signal, f"SIG{word}", None)
    if number is None and word.startswith(("RTMIN", "RTMAX")):
        base = _signal.SIGRTMIN if word.startswith("RTMIN") else _signal.SIGRTMAX
        rest = word[5:]
        number = int(base) + int(rest) if rest.lstrip("+-").isdigit() else int(base) if not rest else None
    if number is None or not 0 < int(number) <= 64:
        raise InvalidArgument(f"invalid signal: {text}", hint="see signal(7) for the names")
    return int(number)


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
