"""The use cases of volumes: create, list, inspect, remove, prune. What the local driver is, is in boxship.volumes.local."""

import os
import time

from boxship import fastjson
from boxship.engine import matching
from boxship.errors import Conflict, InvalidArgument, NotFound, Unsupported
from boxship.state import volumes
from boxship.state.db import IntegrityError, transaction
from boxship.state.volumes import Volume
from boxship.volumes import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from boxship.engine.store import Store

    Document = dict[str, Any]
    Pairs = dict[str, str] | Iterable[tuple[str, str]] | None

_KNOWN = ("dangling", "driver", "label", "name")
# what device=DIRECTORY with o=bind may be called
_BIND_TYPES = ("none", "bind")
_BIND_WORDS = ("bind", "rbind", "rw", "defaults")


def create(store: "Store", name: str = "", driver: str = "", opts: "Pairs" = None, labels: "Pairs" = None) -> "Document":
    """The volume's document. One that is there already stays as it is, as with Docker. Without a name it gets one of its own.

    Raises InvalidArgument in Docker's words, NotFound for a driver that is not there, Unsupported for a file system that is not
    offered yet.
    """
    options, texts = dict(opts or {}), dict(labels or {})
    if not name:
        name = os.urandom(32).hex()
        texts[local.ANONYMOUS_LABEL] = ""
    if driver not in ("", local.DRIVER):
        raise NotFound(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found', hint="the only driver is local"
        )
    try:
        local.check_name(name)
        local.check_options(options)
    except InvalidArgument as error:
        if error.message.startswith("create "):
            raise
        raise InvalidArgument(f"create {name}: {error.message}", hint=error.hint) from None
    except Unsupported as error:
        raise Unsupported(f"create {name}: {error.message}", hint=error.hint) from None
    _check_mount(name, options)
    row = Volume(name, local.DRIVER, fastjson.dumps(options), fastjson.dumps(texts), False, time.time_ns())
    with transaction(store.db):
        if volumes.add(store.db, row):
            local.create(store.paths.volumes, name, options)
        else:
            row = volumes.get(store.db, name) or row
    return _document(store, row)


def _check_mount(name: str, options: "dict[str, str]") -> None:
    """Of the mounts that options can describe only a bind of a directory is offered."""
    if not options:
        return
    kind, device, words = options.get("type", ""), options.get("device", ""), options.get("o", "").split(",")
    if kind not in _BIND_TYPES or not {"bind", "rbind"} & set(words):
        raise Unsupported(
            f"create {name}: a volume of type {kind} is not supported yet: {local.masked(options.get('o', '')) or device}",
            hint="use a plain volume, or -o type=none -o o=bind -o device=/a/directory",
        )
    for word in words:
        if word not in _BIND_WORDS:
            raise Unsupported(f"create {name}: the mount option is not supported yet: {word}", hint="use o=bind alone")
    if not device.startswith("/"):
        raise InvalidArgument(f"create {name}: the device of a bind must be an absolute path: {device}")


def mounted(store: "Store", row: Volume) -> str:
    """The directory of the host that holds the volume's files: its own, or with o=bind the device."""
    device = fastjson.loads(row.options).get("device")
    return str(device) if device else local.mountpoint(store.paths.volumes, row.name)


def inspect(store: "Store", name: str) -> "Document":
    """Raises NotFound in Docker's words."""
    return _document(store, _find(store, name))


def _find(store: "Store", name: str) -> Volume:
    row = volumes.get(store.db, name)
    if row is None:
        raise NotFound(f"get {name}: no such volume")
    return row


def _document(store: "Store", row: Volume) -> "Document":
    return local.document(store.paths.volumes, row.name, row.created, _labels(row), fastjson.loads(row.options))


def _labels(row: Volume) -> "dict[str, str]":
    labels: dict[str, str] = fastjson.loads(row.labels)
    return {**labels, local.ANONYMOUS_LABEL: ""} if row.anonymous else labels


def list_volumes(store: "Store", filters: "dict[str, list[str]] | None" = None) -> "list[Document]":
    """By name. Filters: dangling, driver, label, name; raises InvalidArgument for others."""
    filters = filters or {}
    matching.check(filters, _KNOWN)
    dangling = matching.boolean(filters, "dangling", False) if filters.get("dangling") else None
    found = []
    for row in volumes.all_volumes(store.db):
        labels = _labels(row)
        if not (matching.match(filters, "name", row.name) and matching.match_pairs(filters, "label", labels)):
            continue
        if not matching.exact(filters, "driver", row.driver):
            continue
        if dangling is None or dangling == (not volumes.users(store.db, row.name)):
            found.append(_document(store, row))
    return found


def remove(store: "Store", name: str, force: bool = False) -> None:
    """Raises Conflict while a container, running or not, has it; NotFound, unless `force`."""
    with transaction(store.db):
        row = volumes.get(store.db, name)
        if row is None:
            if force:
                return
            raise NotFound(f"get {name}: no such volume")
        users = volumes.users(store.db, name)
        if users:
            raise Conflict(
                f"remove {name}: volume is in use - [{', '.join(users)}]", hint="remove these containers first: boxship rm"
            )
        volumes.remove(store.db, name)
    local.remove(store.paths.volumes, name)


def prune(store: "Store", all: bool = False) -> "Document":  # noqa: A002
    """Remove those that no container has, named ones only with `all`: {"VolumesDeleted": names, "SpaceReclaimed": bytes}."""
    from boxship.engine import diskuse

    deleted, freed = [], 0
    for row in volumes.all_volumes(store.db):
        if not all and local.ANONYMOUS_LABEL not in _labels(row):
            continue
        try:
            with transaction(store.db):
                if volumes.users(store.db, row.name):
                    continue
                volumes.remove(store.db, row.name)
        except (Conflict, IntegrityError):
            continue  # a container took it meanwhile
        freed += diskuse.used(local.mountpoint(store.paths.volumes, row.name))
        local.remove(store.paths.volumes, row.name)
        deleted.append(row.name)
    return {"VolumesDeleted": deleted or None, "SpaceReclaimed": freed}
