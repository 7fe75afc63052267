"""Named and anonymous volumes."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db


class Volume:
    """`options` and `labels` are JSON texts; `created` nanoseconds."""

    __slots__ = ("anonymous", "created", "driver", "labels", "name", "options")

    def __init__(self, name: str, driver: str, options: str, labels: str, anonymous: bool, created: int) -> None:
        self.name = name
        self.driver = driver
        self.options = options
        self.labels = labels
        self.anonymous = bool(anonymous)
        self.created = created


_COLUMNS = "name, driver, options, labels, anonymous, created"


def add(db: "Db", volume: Volume) -> bool:
    """False when the name is taken already (Docker's `volume create` is then a no-op)."""
    cursor = db.execute(
        f"INSERT OR IGNORE INTO volumes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
        (volume.name, volume.driver, volume.options, volume.labels, int(volume.anonymous), volume.created),
    )
    return cursor.rowcount == 1


def get(db: "Db", name: str) -> "Volume | None":
    row = db.execute(f"SELECT {_COLUMNS} FROM volumes WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return Volume(*row) if row else None


def all_volumes(db: "Db") -> "list[Volume]":
    return [Volume(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM volumes ORDER BY name")]  # noqa: S608


def remove(db: "Db", name: str) -> None:
    """Raises IntegrityError while a container uses it."""
    db.execute("DELETE FROM volumes WHERE name = ?", (name,))


def users(db: "Db", name: str) -> "list[str]":
    """Ids of the containers that use it."""
    return [row[0] for row in db.execute("SELECT DISTINCT container_id FROM container_volumes WHERE volume = ?", (name,))]


def use(db: "Db", container_id: str, volume: str, destination: str) -> None:
    db.execute(
        "INSERT INTO container_volumes (container_id, volume, destination) VALUES (?, ?, ?)", (container_id, volume, destination)
    )


def of_container(db: "Db", container_id: str) -> "list[tuple[str, str, bool]]":
    """(volume, destination, anonymous)."""
    rows = db.execute(
        "SELECT c.volume, c.destination, v.anonymous FROM container_volumes c JOIN volumes v ON v.name = c.volume"
        " WHERE container_id = ?",
        (container_id,),
    )
    return [(volume, destination, bool(anonymous)) for volume, destination, anonymous in rows]
