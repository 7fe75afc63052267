"""Images and their names. References are canonical text: "docker.io/library/busybox:latest"."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db


class Image:
    """One row: `config` is the document's text, times are nanoseconds, `size` the unpacked bytes."""

    __slots__ = ("config", "created", "id", "manifest", "media_type", "size", "stored")

    def __init__(self, id: str, config: str, created: int, stored: int, size: int, manifest: str, media_type: str) -> None:  # noqa: A002
        self.id = id
        self.config = config
        self.created = created
        self.stored = stored
        self.size = size
        self.manifest = manifest
        self.media_type = media_type


_COLUMNS = "id, config, created, stored, size, manifest, media_type"


def put(db: "Db", image: Image, chain_ids: "list[str]") -> None:
    """Inside a transaction; the layers must be here. The same image again changes nothing but `stored`."""
    db.execute(
        f"INSERT INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        " ON CONFLICT (id) DO UPDATE SET stored = excluded.stored, manifest = excluded.manifest, media_type = excluded.media_type",
        (image.id, image.config, image.created, image.stored, image.size, image.manifest, image.media_type),
    )
    db.executemany(
        "INSERT OR IGNORE INTO image_layers (image_id, position, chain_id) VALUES (?, ?, ?)",
        [(image.id, position, chain) for position, chain in enumerate(chain_ids)],
    )


def get(db: "Db", image_id: str) -> "Image | None":
    row = db.execute(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (image_id,)).fetchone()  # noqa: S608
    return Image(*row) if row else None


def by_reference(db: "Db", reference: str) -> "Image | None":
    row = db.execute(
        f"SELECT {_COLUMNS} FROM images WHERE id = (SELECT image_id FROM image_refs WHERE reference = ?)",  # noqa: S608
        (reference,),
    ).fetchone()
    return Image(*row) if row else None


def by_repo_digest(db: "Db", repository: str, digest: str) -> "Image | None":
    row = db.execute(
        f"SELECT {_COLUMNS} FROM images WHERE id IN"  # noqa: S608
        " (SELECT image_id FROM repo_digests WHERE repository = ? AND digest = ?)",
        (repository, digest),
    ).fetchone()
    return Image(*row) if row else None


def by_id_prefix(db: "Db", prefix: str) -> "list[Image]":
    """At most two: enough to see that a prefix is ambiguous. `prefix` is hex digits without "sha256:"."""
    low = f"sha256:{prefix}"
    rows = db.execute(f"SELECT {_COLUMNS} FROM images WHERE id >= ? AND id < ? LIMIT 2", (low, low + "g"))  # noqa: S608
    return [Image(*row) for row in rows]


def all_images(db: "Db") -> "list[Image]":
    """Newest first."""
    return [Image(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, stored DESC")]  # noqa: S608


def tag(db: "Db", reference: str, image_id: str) -> "str | None":
    """Point the name at the image; the id it pointed at before."""
    row = db.execute("SELECT image_id FROM image_refs WHERE reference = ?", (reference,)).fetchone()
    db.execute(
        "INSERT INTO image_refs (reference, image_id) VALUES (?, ?)"
        " ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id",
        (reference, image_id),
    )
    return row[0] if row else None


def untag(db: "Db", reference: str) -> bool:
    return db.execute("DELETE FROM image_refs WHERE reference = ?", (reference,)).rowcount == 1


def references(db: "Db", image_id: str) -> "list[str]":
    return [row[0] for row in db.execute("SELECT reference FROM image_refs WHERE image_id = ? ORDER BY reference", (image_id,))]


def all_references(db: "Db") -> "dict[str, list[str]]":
    """Names by image id."""
    found: dict[str, list[str]] = {}
    for image_id, reference in db.execute("SELECT image_id, reference FROM image_refs ORDER BY reference"):
        found.setdefault(image_id, []).append(reference)
    return found


def add_repo_digest(db: "Db", repository: str, digest: str, image_id: str) -> None:
    db.execute("INSERT OR IGNORE INTO repo_digests (repository, digest, image_id) VALUES (?, ?, ?)", (repository, digest, image_id))


def remove_repo_digests(db: "Db", repository: str, image_id: str) -> None:
    db.execute("DELETE FROM repo_digests WHERE repository = ? AND image_id = ?", (repository, image_id))


def repo_digests(db: "Db", image_id: str) -> "list[tuple[str, str]]":
    """(repository, digest) pairs."""
    rows = db.execute("SELECT repository, digest FROM repo_digests WHERE image_id = ? ORDER BY repository, digest", (image_id,))
    return list(rows)


def all_repo_digests(db: "Db") -> "dict[str, list[tuple[str, str]]]":
    found: dict[str, list[tuple[str, str]]] = {}
    rows = db.execute("SELECT image_id, repository, digest FROM repo_digests ORDER BY repository, digest")
    for image_id, repository, digest in rows:
        found.setdefault(image_id, []).append((repository, digest))
    return found


def remove(db: "Db", image_id: str) -> None:
    """Inside a transaction. Its names and layer rows go with it; the layers stay until nothing needs them."""
    db.execute("DELETE FROM images WHERE id = ?", (image_id,))


def users(db: "Db", image_id: str) -> "list[str]":
    """Ids of the containers made from it."""
    return [row[0] for row in db.execute("SELECT id FROM containers WHERE image_id = ?", (image_id,))]


def blobs(db: "Db") -> "set[str]":
    """Digests of all configs and manifests: what garbage collection must keep."""
    keep: set[str] = set()
    for image_id, manifest in db.execute("SELECT id, manifest FROM images"):
        keep.update((image_id, manifest))
    return keep
