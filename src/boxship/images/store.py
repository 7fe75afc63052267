"""Putting an image into the store: blobs first, unpacked layers into place, then one transaction that makes it all visible.

    content/        the config blob, the manifest blob, and for layers that came from outside the blob as it came
    layers/SHORT    the unpacked layer
    database        layers, layer_blobs, images, image_layers, image_refs, repo_digests

A kill before the transaction leaves blobs and directories that no row names: sweep() removes them.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from boxship.content.store import ContentStore
from boxship.errors import InvalidArgument
from boxship.layers.diff import digest_of
from boxship.layers.remove import remove_tree
from boxship.oci import config as configs
from boxship.oci.descriptor import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from boxship.oci.manifest import build_manifest
from boxship.snapshots import overlay
from boxship.state import buildcache
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from boxship.state.db import now, transaction
from boxship.state.layers import Layer, LayerBlob

if TYPE_CHECKING:
    from boxship.config import Paths
    from boxship.state.db import Db

Progress = Callable[[dict[str, Any]], None]


class Store(Protocol):
    """What this package needs of the opened store."""

    @property
    def paths(self) -> "Paths": ...

    @property
    def db(self) -> "Db": ...


class NewLayer(NamedTuple):
    """An unpacked layer that waits in `path` (None: it is in the store already) and the blob it came from, if it is to be kept."""

    diff_id: str
    path: str | None
    size: int
    blob: LayerBlob | None


def content(store: Store) -> ContentStore:
    return ContentStore(store.paths.content)


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes times."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def created_ns(text: str) -> int:
    """The time of a config's `created`, 0 where there is none or it can't be read."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if dot else ""
    try:
        seconds = datetime.fromisoformat(whole + zone if dot else text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0
    return int(seconds) * 1_000_000_000 + int(digits[:9].ljust(9, "0") if digits else 0)


def put_image(
    store: Store,
    config: bytes,
    manifest: bytes,
    media_type: str,
    layers: list[NewLayer],
    *,
    references: Iterable[str] = (),
    repo_digest: tuple[str, str] | None = None,
) -> str:
    """Store an image whose layers are unpacked; returns its ID. `references` are canonical, `repo_digest` (repository, digest).

    Call it inside `content(store).hold()`. Raises InvalidArgument when config and layers disagree.
    """
    document = configs.parse_config(config)
    diff_ids = configs.diff_ids(document)
    if diff_ids != [layer.diff_id for layer in layers]:
        raise InvalidArgument("invalid image: its layers are not those of its config")
    chains = configs.chain_ids(diff_ids)
    blobs = content(store)
    image_id, manifest_digest = blobs.put(config), blobs.put(manifest)
    placed = _place(store, layers)
    spare: list[str] = []
    with transaction(store.db) as db:
        spare = _add_layers(db, layers, chains, placed)
        rows = layer_rows.existing(db, chains) if chains else {}
        missing = [chain for chain in chains if chain not in rows]
        if missing:
            raise InvalidArgument(f"layer is not in the store: {missing[0]}")
        size = sum(rows[chain].size for chain in chains)
        when = created_ns(document.get("created") or "")
        row = image_rows.Image(image_id, config.decode(), when, now(), size, manifest_digest, media_type)
        image_rows.put(db, row, chains)
        for reference in references:
            image_rows.tag(db, reference, image_id)
        if repo_digest is not None:
            image_rows.add_repo_digest(db, repo_digest[0], repo_digest[1], image_id)
    for name in spare:
        overlay.remove_layer(store.paths, name)
    return image_id


def _place(store: Store, layers: list[NewLayer]) -> dict[int, str]:
    """Move unpacked directories below layers/ under new names; position -> name."""
    placed = {}
    for position, layer in enumerate(layers):
        if layer.path is not None:
            name = overlay.short_name()
            os.rename(layer.path, f"{store.paths.layers}/{name}")
            placed[position] = name
    return placed


def _add_layers(db: "Db", layers: list[NewLayer], chains: list[str], placed: dict[int, str]) -> list[str]:
    """Rows of the new layers; returns directories that somebody else was quicker with."""
    spare = []
    for position, layer in enumerate(layers):
        if layer.blob is not None:
            layer_rows.add_blob(db, layer.blob)
        name = placed.get(position)
        if name is None:
            continue
        parent = chains[position - 1] if position else None
        if not layer_rows.add(db, Layer(chains[position], layer.diff_id, parent, name, layer.size)):
            spare.append(name)
    return spare


def tree_size(directory: str) -> int:
    """Bytes of the regular files below, a file with several names once."""
    total = 0
    seen = set()
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as scan:
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    info = entry.stat(follow_symlinks=False)
                    if info.st_nlink == 1 or info.st_ino not in seen:
                        seen.add(info.st_ino)
                        total += info.st_size
    return total


def add_built_layer(store: Store, directory: str, parent: str | None, clamp: int | None = None) -> Layer:
    """Make `directory` (overlay form, e.g. a snapshot's upper/) a layer on top of the chain `parent`; it is moved.

    The tar is only hashed: `push` and `save` make it again. The same layer on the same parent is stored once.
    """
    with content(store).hold():
        return _add_built_layer(store, directory, parent, clamp)


def _add_built_layer(store: Store, directory: str, parent: str | None, clamp: int | None) -> Layer:
    diff_id, tar_size = digest_of(directory, clamp)
    chain = configs.chain_ids([parent, diff_id])[1] if parent else diff_id
    name = overlay.short_name()
    layer = Layer(chain, diff_id, parent, name, tree_size(directory))
    os.rename(directory, f"{store.paths.layers}/{name}")
    with transaction(store.db) as db:
        added = layer_rows.add(db, layer)
        layer_rows.add_blob(db, LayerBlob(diff_id, diff_id, OCI_LAYER, tar_size, False))
        known = layer if added else layer_rows.get(db, chain)
    if not added:
        overlay.remove_layer(store.paths, name)
    assert known is not None
    return known


def put_built(store: Store, document: dict[str, Any], references: Iterable[str] = ()) -> str:
    """Store an image whose layers are all here; its `rootfs` names them. Returns its ID.

    Its manifest lists the layers as plain tars: compression waits for a push.
    """
    config = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    diff_ids = configs.diff_ids(document)
    with content(store).hold():
        manifest = plain_manifest(store, config, diff_ids)
        layers = [NewLayer(diff_id, None, 0, None) for diff_id in diff_ids]
        return put_image(store, config, manifest, OCI_MANIFEST, layers, references=references)


def plain_manifest(store: Store, config: bytes, diff_ids: list[str]) -> bytes:
    """An OCI manifest of the forms of the layers that are at hand: a kept blob, or the tar that diff would make."""
    descriptors = []
    for diff_id in diff_ids:
        blob = next(iter(layer_rows.blobs(store.db, diff_id)), None)
        if blob is None:
            raise InvalidArgument(f"layer is not in the store: {diff_id}")
        descriptors.append(Descriptor(blob.media_type, blob.digest, blob.size))
    from boxship.oci import digest as digests

    return build_manifest(Descriptor(OCI_CONFIG, digests.of(config), len(config)), descriptors)


class Swept(NamedTuple):
    """`freed` bytes; `chains` of the layers that are gone, top first."""

    freed: int
    chains: list[str]


def sweep(store: Store) -> Swept:
    """Remove layers, directories and blobs that no image, build cache or container refers to.

    Nothing while somebody adds layers or blobs (`content(store).hold()`): the next sweep finds them.
    """
    with content(store).exclusive() as alone:
        if not alone:
            return Swept(0, [])
        swept = _sweep_layers(store)
        with transaction(store.db) as db:
            for digest in layer_rows.orphan_blobs(db):
                layer_rows.forget_blob(db, digest)
            keep = image_rows.blobs(db) | layer_rows.kept_blobs(db)
        freed = content(store).sweep(keep)
        for name in _orphan_directories(store):
            overlay.remove_layer(store.paths, name)
        _sweep_scratch(store)
    return Swept(swept.freed + freed, swept.chains)


def _sweep_scratch(store: Store) -> None:
    """Remove from tmp/ what a killed pull, load, import or removal left there: nobody holds its lock."""
    for name in os.listdir(store.paths.tmp):
        if not name.startswith(("pull-", "load-", "import-", "rm-")):
            continue
        path = f"{store.paths.tmp}/{name}"
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
            finally:
                os.close(fd)


def _sweep_layers(store: Store) -> Swept:
    """Rows first, then the directories they named."""
    gone: list[Layer] = []
    with transaction(store.db) as db:
        keep = buildcache.chains(db)
        while unused := layer_rows.unused(db, keep):
            for layer in unused:
                layer_rows.remove(db, layer.chain_id)
                gone.append(layer)
    for layer in gone:
        overlay.remove_layer(store.paths, layer.dir)
    return Swept(sum(layer.size for layer in gone), [layer.chain_id for layer in gone])


def layers_size(store: Store) -> int:
    """Bytes of all layers that images of this store have, each counted once."""
    sizes = {}
    for image in image_rows.all_images(store.db):
        sizes.update({layer.chain_id: layer.size for layer in layer_rows.of_image(store.db, image.id)})
    return sum(sizes.values())


def _orphan_directories(store: Store) -> list[str]:
    """Names below layers/ that no row has: the remains of a kill. Only meaningful while nobody adds layers."""
    known = layer_rows.directories(store.db)
    with suppress(FileNotFoundError):
        return [name for name in os.listdir(store.paths.layers) if name not in known and name != overlay.EMPTY]
    return []
