"""The build cache: keys and the layers they made, and the stamps of context files."""

from boxship.state.layers import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db

    Stamp = tuple[int, int, int, int]


class Step:
    """One row. Times in nanoseconds."""

    __slots__ = ("chain_id", "created", "key", "name", "parts", "took", "used")

    def __init__(self, key: str, chain_id: str, parts: str, name: str, created: int, used: int, took: int) -> None:
        self.key = key
        self.chain_id = chain_id
        self.parts = parts
        self.name = name
        self.created = created
        self.used = used
        self.took = took


_COLUMNS = "key, chain_id, parts, name, created, used, took"


def get(db: "Db", key: str) -> "Step | None":
    row = db.execute(f"SELECT {_COLUMNS} FROM build_cache WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return Step(*row) if row else None


def find(db: "Db", key: str) -> "tuple[Step, Layer] | None":
    """The row and the layer it points at; None when either is missing."""
    columns = ", ".join(f"b.{name}" for name in _COLUMNS.split(", "))
    row = db.execute(
        f"SELECT {columns}, l.chain_id, l.diff_id, l.parent, l.dir, l.size"  # noqa: S608
        " FROM build_cache b JOIN layers l USING (chain_id) WHERE b.key = ?",
        (key,),
    ).fetchone()
    return (Step(*row[:7]), Layer(*row[7:])) if row else None


def put(db: "Db", step: Step) -> None:
    """Inside the transaction that adds the layer. A key made again points at the newer layer."""
    db.execute(
        f"INSERT OR REPLACE INTO build_cache ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (step.key, step.chain_id, step.parts, step.name, step.created, step.used, step.took),
    )


def touch(db: "Db", keys: "list[str]", used: int) -> None:
    """Remember that a build hit them."""
    db.executemany("UPDATE build_cache SET used = ? WHERE key = ?", [(used, key) for key in keys])


def all_steps(db: "Db") -> "list[Step]":
    """Longest unused first."""
    return [Step(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM build_cache ORDER BY used, key")]  # noqa: S608


def remove(db: "Db", key: str) -> None:
    db.execute("DELETE FROM build_cache WHERE key = ?", (key,))


def chains(db: "Db") -> "set[str]":
    """Chain IDs of the layers that the cache holds on to."""
    return {row[0] for row in db.execute("SELECT DISTINCT chain_id FROM build_cache")}


def stamps(db: "Db", context: str) -> "dict[str, tuple[Stamp, int, bytes]]":
    """By path: (size, mtime, ctime, inode), when it was hashed, the digest."""
    query = "SELECT path, size, mtime, ctime, inode, hashed, digest FROM context_files WHERE context = ?"
    rows = db.execute(query, (context,)).fetchall()
    return {path: ((size, mtime, ctime, inode), hashed, digest) for path, size, mtime, ctime, inode, hashed, digest in rows}


def put_stamps(db: "Db", context: str, fresh: "dict[str, tuple[Stamp, int, bytes]]") -> None:
    db.executemany(
        "INSERT OR REPLACE INTO context_files (context, path, size, mtime, ctime, inode, hashed, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(context, path, *stamp, hashed, digest) for path, (stamp, hashed, digest) in fresh.items()],
    )


def forget_stamps(db: "Db", context: str, paths: "list[str]") -> None:
    """Files that are gone."""
    db.executemany("DELETE FROM context_files WHERE context = ? AND path = ?", [(context, path) for path in paths])
