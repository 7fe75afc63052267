"""Whose turn it is with one container: several commands may start, stop and remove it at once. On the hot path."""

import os
import time

from boxship.engine import client, record, recovery
from boxship.errors import BoxshipError, Conflict
from boxship.runtime import active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

    Document = dict[str, Any]

_SIGKILL = 9
_PATIENCE = 15.0  # seconds for what another command does to the same container


def is_running(store: "Store", container_id: str) -> bool:
    """Does its program run now? Not while it waits to be restarted, and not once its exit is written."""
    if not active.holder(store.paths, container_id, active.SHIM, 1):
        return False
    state = active.read_state(store.paths, container_id)
    if state is None or not state.get("pid"):
        return False
    ended = active.read_document(record.exit_path(store.paths, container_id))
    return ended is None or ended.get("started") != state.get("started")


def claim(store: "Store", container_id: str) -> "active.Lock | None":
    """active/ID for us alone, once whoever starts, ends or removes the container is done; None when it runs (or restarts)."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        if not active.holder(store.paths, container_id, active.STARTER, 1):
            if is_running(store, container_id) or _is_restarting(store, container_id):
                return None
            if not active.holder(store.paths, container_id):
                try:
                    return _begin(store, container_id)
                except Conflict:
                    pass  # somebody was quicker
        if time.monotonic() > deadline:
            raise Conflict(f"the container is being started or stopped: {container_id[:12]}")
        time.sleep(0.002)


def _begin(store: "Store", container_id: str) -> active.Lock:
    if os.path.isdir(active.directory(store.paths, container_id)):
        recovery.recover(store, container_id)
    return active.begin(store.paths, container_id)


def _is_restarting(store: "Store", container_id: str) -> bool:
    """Does its shim wait to start it again?"""
    if not active.holder(store.paths, container_id, active.SHIM, 1):
        return False
    return bool((active.read_state(store.paths, container_id) or {}).get("restarting"))


def shim(store: "Store", container_id: str) -> "client.Connection | None":
    """Its shim, once a start that is under way has come to an end; None: it has none."""
    deadline = time.monotonic() + _PATIENCE
    while active.holder(store.paths, container_id, active.STARTER, 1) and time.monotonic() < deadline:
        time.sleep(0.002)
    return client.shim(store.paths, container_id)


def tell(connection: "client.Connection", document: "Document") -> bool:
    """False: the shim has ended meanwhile."""
    try:
        connection.send(document)
    except OSError:
        return False
    return True


def until_gone(connection: "client.Connection") -> "int | None":
    """The exit code, once the shim has told it; None when the shim died."""
    while True:
        document, _ = connection.receive()
        if document is None:
            return None
        if "exit" in document:
            return int(document["exit"])
        if "error" in document:
            raise client.rebuilt(document)


def end_now(connection: "client.Connection", remove: bool = False) -> None:
    try:
        connection.send({"op": "stop", "signal": _SIGKILL, "timeout": 0, "remove": remove})
        until_gone(connection)
    except (BoxshipError, OSError):
        return  # it has ended by itself
