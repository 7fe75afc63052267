"""Cleaning up after processes that were killed. Every command that looks at containers calls `sweep` first; it costs one listdir.

A directory active/ID whose lock nobody holds is what a killed shim (or a killed command that was about to start one) left: its
processes are killed, its cgroups removed, its end recorded, its leases freed. Namespaces, mounts and veths went with them.
"""

import os

from boxship.engine import record
from boxship.runtime import active
from boxship.state import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

_KILLED = 137


def sweep(store: "Store") -> "dict[str, dict[str, Any]]":
    """Undo what dead shims left; the states of the living, by container ID ({} while one is being started)."""
    running: dict[str, dict[str, Any]] = {}
    try:
        names = os.listdir(store.paths.active)
    except FileNotFoundError:
        return running
    for name in names:
        if name.startswith("."):
            _sweep_beginning(store, name)
        elif active.holder(store.paths, name):
            running[name] = active.read_state(store.paths, name) or {}
        else:
            recover(store, name)
    return running


def _sweep_beginning(store: "Store", name: str) -> None:
    # .ID-PID: made by a command that was killed before it could give the directory its name
    where = f"{store.paths.active}/{name}"
    if not os.path.exists(f"/proc/{name.rpartition('-')[2]}"):
        active.remove(where)


def recover(store: "Store", container_id: str) -> None:
    """Undo what is left of one container, unless somebody else does already."""
    where = active.directory(store.paths, container_id)
    try:
        lock = active.Lock(where)
    except OSError:
        return  # gone meanwhile
    try:
        # current: between the open and the lock another cleaner may have removed it, and a new start made it anew
        if not lock.take(active.CLEANER) or lock.holder() or not lock.is_current():
            return
        _undo(store, container_id)
        active.remove(where)
    finally:
        lock.close()


def _undo(store: "Store", container_id: str) -> None:
    from boxship.layers.remove import remove_tree
    from boxship.network import bridge, portmap
    from boxship.runtime import cgroups
    from boxship.state import networks
    from boxship.state.db import transaction

    state = active.read_state(store.paths, container_id) or {}
    pid = int(state.get("pid") or 0)
    if pid:
        _kill(pid, state.get("start"))
    group = cgroups.find(f"{cgroups.parent(store.tag)}/{container_id}")
    group.kill_all()
    group.destroy()
    address = networks.address(store.db, container_id)
    ports = networks.ports(store.db, container_id)
    if address and ports:
        table = bridge.names(store.tag)[1]
        portmap.unpublish(table, [(p.proto, p.host_ip, p.host_port, address[1], p.container_port) for p in ports])
    kept = active.read_document(record.kept_path(store.paths, container_id))
    document = kept or active.read_document(record.exit_path(store.paths, container_id))
    if document is None or document.get("started") != state.get("started") or document.get("again"):
        document = _killed(store, container_id, state)
    gone = record.apply(store.db, container_id, document)
    for name in gone:
        remove_tree(f"{store.paths.volumes}/{name}")
    with transaction(store.db):
        networks.release(store.db, container_id)
    _remove_stray_volumes(store)
    record.forget(store.paths, container_id, f"{store.paths.containers}/{container_id}")


def _remove_stray_volumes(store: "Store") -> None:
    """Directories of volumes whose row was never committed, or is gone already: they are made inside of transactions only."""
    from boxship.layers.remove import remove_tree
    from boxship.state import volumes
    from boxship.state.db import transaction

    with transaction(store.db):
        known = {row.name for row in volumes.all_volumes(store.db)}
        for name in os.listdir(store.paths.volumes):
            if name not in known:
                remove_tree(f"{store.paths.volumes}/{name}")


def _kill(pid: int, started: "int | None") -> None:
    """End the process of that pid and start time. Looked at after it was opened: from then on the pid can't mean another."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import _signal  # type: ignore[import-not-found]
    import select

    try:
        if active.start_time(pid) == started:
            _signal.pidfd_send_signal(fd, 9)
            select.select([fd], [], [], 10)
    except ProcessLookupError:
        return
    finally:
        os.close(fd)


def _killed(store: "Store", container_id: str, state: "dict[str, Any]") -> "dict[str, Any]":
    """The exit record of a container whose shim was killed: it died with it."""
    from boxship import fastjson

    row = containers.get(store.db, container_id)
    remove = bool(row and fastjson.loads(row.host_config).get("AutoRemove"))
    if not state.get("started"):
        # never came to run: nothing to record but that it may go
        return {
            "started": row.started if row else 0,
            "finished": row.finished if row else 0,
            "code": row.exit_code if row else 0,
            "oom": False,
            "restarts": row.restart_count if row else 0,
            "error": row.error if row else "",
            "again": False,
            "remove": remove,
        }
    return {
        "started": state["started"],
        "finished": record.now(),
        "code": _KILLED,
        "oom": False,
        "restarts": int(state.get("restarts") or 0),
        "error": "its shim was killed",
        "again": False,
        "remove": remove,
    }
