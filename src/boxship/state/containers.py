"""Containers. Whether one runs is not here: see boxship.runtime.active."""

from boxship.errors import Conflict
from boxship.state.db import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db


class Container:
    """One row; `config` and `host_config` are JSON texts, times nanoseconds (0: never)."""

    __slots__ = (
        "config", "created", "error", "exit_code", "finished", "host_config", "id", "image_id", "image_name", "name",
        "oom_killed", "restart_count", "started",
    )  # fmt: skip

    def __init__(
        self, id: str, name: str, image_id: str, image_name: str, created: int, config: str, host_config: str,  # noqa: A002
        started: int = 0, finished: int = 0, exit_code: int = 0, oom_killed: int = 0, restart_count: int = 0, error: str = "",
    ) -> None:  # fmt: skip
        self.id = id
        self.name = name
        self.image_id = image_id
        self.image_name = image_name
        self.created = created
        self.config = config
        self.host_config = host_config
        self.started = started
        self.finished = finished
        self.exit_code = exit_code
        self.oom_killed = bool(oom_killed)
        self.restart_count = restart_count
        self.error = error


_COLUMNS = (
    "id, name, image_id, image_name, created, config, host_config, started, finished, exit_code, oom_killed, restart_count, error"
)


def add(db: "Db", container: Container) -> None:
    """Inside a transaction. Raises Conflict in Docker's words when the name is taken."""
    try:
        db.execute(
            "INSERT INTO containers (id, name, image_id, image_name, created, config, host_config) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                container.id, container.name, container.image_id, container.image_name, container.created,
                container.config, container.host_config,
            ),
        )  # fmt: skip
    except IntegrityError as error:
        row = db.execute("SELECT id FROM containers WHERE name = ?", (container.name,)).fetchone()
        if row is None:
            raise Conflict(f"the image is being removed: {container.image_name}") from error
        raise Conflict(
            f'Conflict. The container name "/{container.name}" is already in use by container "{row[0]}".'
            " You have to remove (or rename) that container to be able to reuse that name."
        ) from None


def get(db: "Db", container_id: str) -> "Container | None":
    row = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE id = ?", (container_id,)).fetchone()  # noqa: S608
    return Container(*row) if row else None


def by_name(db: "Db", name: str) -> "Container | None":
    row = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return Container(*row) if row else None


def by_prefix(db: "Db", prefix: str) -> "list[Container]":
    """At most two: enough to see that the prefix is ambiguous."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g"))  # noqa: S608
    return [Container(*row) for row in rows]


def all_containers(db: "Db") -> "list[Container]":
    """Newest first."""
    return [Container(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM containers ORDER BY created DESC")]  # noqa: S608


def ids(db: "Db") -> "set[str]":
    return {row[0] for row in db.execute("SELECT id FROM containers")}


def set_started(db: "Db", container_id: str, when: int) -> None:
    db.execute("UPDATE containers SET started = ?, error = '' WHERE id = ?", (when, container_id))


def set_exited(db: "Db", container_id: str, when: int, exit_code: int, oom_killed: bool, error: str, restarts: int) -> None:
    db.execute(
        "UPDATE containers SET finished = ?, exit_code = ?, oom_killed = ?, error = ?, restart_count = ? WHERE id = ?",
        (when, exit_code, int(oom_killed), error, restarts, container_id),
    )


def remove(db: "Db", container_id: str) -> bool:
    """Inside a transaction; its leases go with it."""
    return db.execute("DELETE FROM containers WHERE id = ?", (container_id,)).rowcount == 1
