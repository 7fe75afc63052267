"""Putting an image into the store: blobs first, unpacked layers into place, then one transaction that makes it all visible.

    content/        the config blob, the manifest blob, and for layers that came from outside the blob as it came
    layers/SHORT    the unpacked layer
    database        layers, layer_blobs, images, image_layers, image_refs, repo_digests

A kill before the transaction leaves blobs and directories that no row names: tidy() removes the directories before the
next build, pull or load, sweep() both.
"""

import fcntl
import os
import time

from boxship.errors import InvalidArgument
from boxship.layers.remove import remove_tree
from boxship.oci import config as configs
from boxship.oci.document import dump
from boxship.oci.sha256 import digest
from boxship.snapshots import overlay
from boxship.state import buildcache
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from boxship.state.db import now, transaction
from boxship.state.layers import Layer, LayerBlob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from boxship.config import Paths
    from boxship.content.store import ContentStore
    from boxship.state.db import Db

    Progress = Callable[[dict[str, Any]], None]

    class Store(Protocol):
        """What this package needs of the opened store."""

        @property
        def paths(self) -> Paths: ...

        @property
        def db(self) -> Db: ...

else:
    # named in annotations that other modules evaluate
    Store = Progress = object


class NewLayer:
    """An unpacked layer that waits in `path` (None: it is in the store already) and the blob it came from, if it is to be kept."""

    __slots__ = ("blob", "diff_id", "path", "size")

    def __init__(self, diff_id: str, path: "str | None", size: int, blob: "LayerBlob | None") -> None:
        self.diff_id = diff_id
        self.path = path
        self.size = size
        self.blob = blob


def content(store: "Store") -> "ContentStore":
    # here: a build that finds everything in its cache touches no blob
    from boxship.content.store import ContentStore

    return ContentStore(store.paths.content)


class hold:
    """`with hold(store):` no sweep while this lasts, as ContentStore.hold(), without what that module imports."""

    __slots__ = ("_fd", "_path")

    def __init__(self, store: "Store") -> None:
        self._path = f"{store.paths.content}/lock"
        self._fd = -1

    def __enter__(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            self._fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH)
        except BaseException:
            os.close(self._fd)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes times."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def created_ns(text: str) -> int:
    """The time of a config's `created`, 0 where there is none or it can't be read."""
    if not text:
        return 0
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if dot else ""
    seconds = _seconds(whole + zone if dot else text)
    return seconds * 1_000_000_000 + int(digits[:9].ljust(9, "0") if digits else 0) if seconds is not None else 0


def _seconds(text: str) -> "int | None":
    """A time without a fraction, in seconds since 1970; None when it can't be read."""
    numbers = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19])
    if text[4:5] + text[7:8] + text[10:11] + text[13:14] + text[16:17] + text[19:] == "--T::Z" and "".join(numbers).isdecimal():
        year, month, day, hour, minute, second = (int(number) for number in numbers)
        # years that begin in March: the leap day comes last
        count, place = (year, month - 3) if month > 2 else (year - 1, month + 9)
        days = count * 365 + count // 4 - count // 100 + count // 400 + (place * 153 + 2) // 5 + day - 719469
        found = days * 86400 + hour * 3600 + minute * 60 + second
        if time.gmtime(found)[:6] == (year, month, day, hour, minute, second):
            return found
    # here: other zones and forms are rare, and datetime costs 3 ms
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def put_image(
    store: "Store",
    config: bytes,
    manifest: bytes,
    media_type: str,
    layers: list[NewLayer],
    *,
    references: "Iterable[str]" = (),
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


def _place(store: "Store", layers: list[NewLayer]) -> dict[int, str]:
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
    """Bytes of the files below, a file with several names once; a link's are those of its target's name, as Docker counts."""
    total = 0
    seen = set()
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as scan:
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    info = entry.stat(follow_symlinks=False)
                    if info.st_nlink == 1 or info.st_ino not in seen:
                        seen.add(info.st_ino)
                        total += info.st_size
    return total


def add_built_layer(store: "Store", directory: str, parent: str | None, clamp: int | None = None) -> Layer:
    """Make `directory` (overlay form, e.g. a snapshot's upper/) a layer on top of the chain `parent`; it is moved.

    The tar is only hashed: `push` and `save` make it again. The same layer on the same parent is stored once.
    """
    with hold(store):
        return _add_built_layer(store, directory, parent, clamp)


def _add_built_layer(store: "Store", directory: str, parent: str | None, clamp: int | None) -> Layer:
    from boxship.layers.diff import digest_of
    from boxship.oci.descriptor import OCI_LAYER

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


def put_built(store: "Store", document: "dict[str, Any]", references: "Iterable[str]" = ()) -> str:
    """Store an image whose layers are all here; its `rootfs` names them. Returns its ID.

    Its manifest lists the layers as plain tars: compression waits for a push.
    """
    config = dump(document)
    diff_ids = configs.diff_ids(document)
    names = list(references)
    with hold(store):
        known = _put_again(store, digest(config), names)
        if known is not None:
            return known
        from boxship.oci.descriptor import OCI_MANIFEST

        manifest = plain_manifest(store, config, diff_ids)
        layers = [NewLayer(diff_id, None, 0, None) for diff_id in diff_ids]
        return put_image(store, config, manifest, OCI_MANIFEST, layers, references=names)


def _put_again(store: "Store", image_id: str, references: list[str]) -> "str | None":
    """Name an image that is in the store; None when it is not: its row holds on to its blobs and layers."""
    with transaction(store.db) as db:
        row = image_rows.get(db, image_id)
        if row is None:
            return None
        row.stored = now()
        image_rows.put(db, row, [])
        for reference in references:
            image_rows.tag(db, reference, image_id)
    return image_id


def plain_manifest(store: "Store", config: bytes, diff_ids: list[str]) -> bytes:
    """An OCI manifest of the forms of the layers that are at hand: a kept blob, or the tar that diff would make."""
    from boxship.oci.descriptor import OCI_CONFIG, Descriptor
    from boxship.oci.manifest import build_manifest

    descriptors = []
    for diff_id in diff_ids:
        blob = next(iter(layer_rows.blobs(store.db, diff_id)), None)
        if blob is None:
            raise InvalidArgument(f"layer is not in the store: {diff_id}")
        descriptors.append(Descriptor(blob.media_type, blob.digest, blob.size))
    return build_manifest(Descriptor(OCI_CONFIG, digest(config), len(config)), descriptors)


class Swept:
    """`freed` bytes; `chains` of the layers that are gone, top first."""

    __slots__ = ("chains", "freed")

    def __init__(self, freed: int, chains: list[str]) -> None:
        self.freed = freed
        self.chains = chains


def sweep(store: "Store") -> Swept:
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


def tidy(store: "Store") -> None:
    """Remove the directories that kills have left. Blobs and partial ones stay: the same pull goes on from them.

    Call it before `hold`: it does nothing while somebody adds layers. Two directories are read when there is nothing to do.
    """
    if not _scratch(store) and not _orphan_directories(store):
        return
    with content(store).exclusive() as alone:
        if not alone:
            return
        for name in _orphan_directories(store):
            overlay.remove_layer(store.paths, name)
        _sweep_scratch(store)


def _scratch(store: "Store") -> list[str]:
    try:
        names = os.listdir(store.paths.tmp)
    except FileNotFoundError:
        return []
    return [name for name in names if name.startswith(("pull-", "load-", "import-", "rm-"))]


def _sweep_scratch(store: "Store") -> None:
    """Remove from tmp/ what a killed pull, load, import or removal left there: nobody holds its lock."""
    for name in _scratch(store):
        try:
            _remove_unlocked(f"{store.paths.tmp}/{name}")
        except OSError:
            continue


def _remove_unlocked(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(path)
    finally:
        os.close(fd)


def _sweep_layers(store: "Store") -> Swept:
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


def layers_size(store: "Store") -> int:
    """Bytes of all layers that images of this store have, each counted once."""
    sizes = {}
    for image in image_rows.all_images(store.db):
        sizes.update({layer.chain_id: layer.size for layer in layer_rows.of_image(store.db, image.id)})
    return sum(sizes.values())


def _orphan_directories(store: "Store") -> list[str]:
    """Names below layers/ that no row has: the remains of a kill. Only meaningful while nobody adds layers."""
    known = layer_rows.directories(store.db)
    try:
        names = os.listdir(store.paths.layers)
    except FileNotFoundError:
        return []
    return [name for name in names if name not in known and name != overlay.EMPTY]
