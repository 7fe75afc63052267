"""The end of a container: exit.json first, then the database, then what is left on disk. Called in the shim, and by `recovery`.

exit.json is renamed into place before anything else happens, so that a shim that is killed here loses nothing: whoever cleans up
reads it and goes on.
"""

import time

from boxship.layers.remove import remove_tree
from boxship.runtime import active
from boxship.state import containers, networks, volumes
from boxship.state import db as database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.config import Paths
    from boxship.errors import BoxshipError
    from boxship.runtime.shim import Exit
    from boxship.state.db import Db

    Document = dict[str, Any]


def now() -> int:
    return time.time_ns()


def exit_path(paths: "Paths", container_id: str) -> str:
    return f"{paths.containers}/{container_id}/exit.json"


def kept_path(paths: "Paths", container_id: str) -> str:
    """Where the exit record goes when the store takes nothing more."""
    return f"{active.directory(paths, container_id)}/exit.json"


def ended(paths: "Paths", container_id: str, status: "Exit", oom: bool, restarts: int, *, again: bool, remove: bool) -> None:
    """Write down how it ended; `again`: it will restart, and keeps its address and ports; `remove`: its row goes now."""
    state = active.read_state(paths, container_id) or {}
    document = {
        "started": state.get("started", 0),
        "finished": status.when,
        "code": status.code,
        "oom": oom,
        "restarts": restarts,
        "error": "",
        "again": again,
        "remove": remove,
    }
    try:
        active.write_document(exit_path(paths, container_id), document)
    except OSError:
        # no space left: the run directory lies elsewhere, and recovery looks there too
        active.write_document(kept_path(paths, container_id), document)
        raise
    db = database.connect(paths)
    try:
        gone = apply(db, container_id, document)
    finally:
        db.close()
    for name in gone:
        remove_tree(f"{paths.volumes}/{name}")


def apply(db: "Db", container_id: str, document: "Document") -> "list[str]":
    """exit.json into the database; the volumes whose directories have to go. Doing it twice changes nothing."""
    with database.transaction(db):
        if document["remove"]:
            return remove_row(db, container_id)
        if document["started"]:
            containers.set_started(db, container_id, document["started"])
        containers.set_exited(
            db, container_id, document["finished"], document["code"], document["oom"], document["error"], document["restarts"]
        )
        if not document["again"]:
            networks.release(db, container_id)
    return []


def remove_row(db: "Db", container_id: str) -> "list[str]":
    """The container and its anonymous volumes' rows; the names of these volumes. Inside a transaction."""
    anonymous = [name for name, _, is_anonymous in volumes.of_container(db, container_id) if is_anonymous]
    containers.remove(db, container_id)
    gone = [name for name in anonymous if not volumes.users(db, name)]
    for name in gone:
        volumes.remove(db, name)
    return gone


def failed(paths: "Paths", container_id: str, error: "BoxshipError") -> None:
    """It could not be started: the row says why, its leases are free again."""
    db = database.connect(paths)
    try:
        with database.transaction(db):
            networks.release(db, container_id)
            row = containers.get(db, container_id)
            if row is not None:
                # as Docker records it: 127 and 126 for a program that can't be started, 128 for everything else
                code = getattr(error, "exit_code", 128)
                containers.set_exited(db, row.id, row.finished, code, False, error.message, row.restart_count)
    finally:
        db.close()


def forget(paths: "Paths", container_id: str, home: str) -> None:
    """Once nothing runs: the container's directory and orphaned volumes, when its row is gone."""
    db = database.connect(paths)
    try:
        if containers.get(db, container_id) is not None:
            return
    finally:
        db.close()
    try:
        remove_tree(home)
    except FileNotFoundError:
        pass  # the command that started it is taking it away as well
