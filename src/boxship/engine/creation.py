"""Writing a container down: Docker's documents checked and merged, its row and its leases in one transaction. On the hot path."""

import os
import time

from boxship import fastjson
from boxship.engine import client, mountpoints, names, networks, recovery
from boxship.engine.store import need_root
from boxship.errors import Conflict, InvalidArgument
from boxship.oci import spec as oci
from boxship.runtime import active
from boxship.state import containers, layers
from boxship.state.db import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store
    from boxship.state.containers import Container
    from boxship.state.images import Image

    Document = dict[str, Any]


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

    need_root("a container")
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
    log = log_options(store)
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
        give_up(store, lock)
        raise
    created = Created(container_id, row.name, start_message(row, config, host, lowers, points, network, log), warnings)
    created.early = early
    if start:
        created.lock = lock
    else:
        active.remove(lock.directory)
        lock.close()
    return created


def give_up(store: "Store", lock: active.Lock) -> None:
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


def start_message(
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


def start_head(message: "Document", streams: "list[str]") -> "Document":
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


def log_options(store: "Store") -> "Document":
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
