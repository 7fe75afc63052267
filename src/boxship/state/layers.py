"""Unpacked layers and the blobs that carry them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db


class Layer:
    """chain_id, diff_id, parent chain or None, dir (a name below layers/), size in bytes."""

    __slots__ = ("chain_id", "diff_id", "dir", "parent", "size")

    def __init__(self, chain_id: str, diff_id: str, parent: "str | None", dir: str, size: int) -> None:  # noqa: A002
        self.chain_id = chain_id
        self.diff_id = diff_id
        self.parent = parent
        self.dir = dir
        self.size = size


class LayerBlob:
    """One form of a layer: `kept` says whether the bytes are in content/ or only remembered."""

    __slots__ = ("diff_id", "digest", "kept", "media_type", "size")

    def __init__(self, digest: str, diff_id: str, media_type: str, size: int, kept: bool) -> None:
        self.digest = digest
        self.diff_id = diff_id
        self.media_type = media_type
        self.size = size
        self.kept = kept


def get(db: "Db", chain_id: str) -> "Layer | None":
    row = db.execute("SELECT chain_id, diff_id, parent, dir, size FROM layers WHERE chain_id = ?", (chain_id,)).fetchone()
    return Layer(*row) if row else None


def existing(db: "Db", chain_ids: "list[str]") -> "dict[str, Layer]":
    """Those of the chains that are here, by chain ID."""
    marks = ",".join("?" * len(chain_ids))
    rows = db.execute(f"SELECT chain_id, diff_id, parent, dir, size FROM layers WHERE chain_id IN ({marks})", chain_ids)  # noqa: S608
    return {row[0]: Layer(*row) for row in rows}


def add(db: "Db", layer: Layer) -> bool:
    """Inside a transaction, parents first. False when the chain is here already: drop your directory then."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO layers (chain_id, diff_id, parent, dir, size) VALUES (?, ?, ?, ?, ?)",
        (layer.chain_id, layer.diff_id, layer.parent, layer.dir, layer.size),
    )
    return cursor.rowcount == 1


def of_image(db: "Db", image_id: str) -> "list[Layer]":
    """Base first."""
    rows = db.execute(
        "SELECT l.chain_id, l.diff_id, l.parent, l.dir, l.size FROM image_layers i JOIN layers l USING (chain_id)"
        " WHERE i.image_id = ? ORDER BY i.position",
        (image_id,),
    )
    return [Layer(*row) for row in rows]


def directories(db: "Db") -> "set[str]":
    return {row[0] for row in db.execute("SELECT dir FROM layers")}


def unused(db: "Db", keep: "set[str]") -> "list[Layer]":
    """Layers that no image, no child and nothing in `keep` (chain IDs) needs; call again after removing these."""
    rows = db.execute(
        "SELECT chain_id, diff_id, parent, dir, size FROM layers l"
        " WHERE NOT EXISTS (SELECT 1 FROM image_layers i WHERE i.chain_id = l.chain_id)"
        " AND NOT EXISTS (SELECT 1 FROM layers c WHERE c.parent = l.chain_id)"
    )
    return [layer for layer in (Layer(*row) for row in rows) if layer.chain_id not in keep]


def remove(db: "Db", chain_id: str) -> None:
    db.execute("DELETE FROM layers WHERE chain_id = ?", (chain_id,))


def add_blob(db: "Db", blob: LayerBlob) -> None:
    db.execute(
        "INSERT INTO layer_blobs (digest, diff_id, media_type, size, kept) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (digest) DO UPDATE SET kept = max(kept, excluded.kept)",
        (blob.digest, blob.diff_id, blob.media_type, blob.size, int(blob.kept)),
    )


def blobs(db: "Db", diff_id: str) -> "list[LayerBlob]":
    """Kept ones first."""
    rows = db.execute(
        "SELECT digest, diff_id, media_type, size, kept FROM layer_blobs WHERE diff_id = ? ORDER BY kept DESC, digest", (diff_id,)
    )
    return [LayerBlob(digest, diff, media, size, bool(kept)) for digest, diff, media, size, kept in rows]


def forget_blob(db: "Db", digest: str) -> None:
    db.execute("DELETE FROM layer_blobs WHERE digest = ?", (digest,))


def orphan_blobs(db: "Db") -> "list[str]":
    """Digests of blobs whose layer is gone."""
    rows = db.execute("SELECT digest FROM layer_blobs b WHERE NOT EXISTS (SELECT 1 FROM layers l WHERE l.diff_id = b.diff_id)")
    return [row[0] for row in rows]


def kept_blobs(db: "Db") -> "set[str]":
    return {row[0] for row in db.execute("SELECT digest FROM layer_blobs WHERE kept = 1")}


def add_source(db: "Db", digest: str, repository: str) -> None:
    db.execute("INSERT OR IGNORE INTO blob_sources (digest, repository) VALUES (?, ?)", (digest, repository))


def sources(db: "Db", digest: str) -> "list[str]":
    return [row[0] for row in db.execute("SELECT repository FROM blob_sources WHERE digest = ? ORDER BY repository", (digest,))]
