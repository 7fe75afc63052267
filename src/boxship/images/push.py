"""Pushing: every layer's blob, the config, then the manifest.

A layer that was pulled or loaded goes out as the blob it came as, so its digests stay. A layer that was built has no blob: its
tar is made again and compressed once; the blob is kept, so another tag, repository or registry costs no second compression.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from boxship.errors import NotFound, Unavailable
from boxship.images import store as images
from boxship.images.progress import Reporter, Sink
from boxship.images.unpack import FileSource
from boxship.layers.compression import Readable, gzip_encoder
from boxship.layers.diff import tar_stream
from boxship.oci import digest as digests
from boxship.oci.descriptor import (
    COMPRESSION,
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    layer_type,
)
from boxship.oci.manifest import Manifest, build_manifest, parse_manifest
from boxship.oci.reference import parse
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from boxship.state.db import transaction
from boxship.state.layers import Layer, LayerBlob

if TYPE_CHECKING:
    from boxship.content.store import ContentStore
    from boxship.oci.reference import Reference

_PARALLEL = 3
_COMPRESSING = 2
_CHUNK = 1 << 18


class Registry(Protocol):
    """What a push asks of the distribution client."""

    def push_blob(
        self,
        ref: "Reference",
        descriptor: Descriptor,
        open_: Callable[[], IO[bytes]],
        mount_from: "Reference | None" = None,
        progress: Callable[[int], None] | None = None,
        /,
    ) -> str: ...

    def push_manifest(self, ref: "Reference", data: bytes, media_type: str, /) -> str: ...


class _Work(NamedTuple):
    layer: Layer
    blob: LayerBlob
    sources: list[str]


def push(store: images.Store, client: Registry, ref: "Reference", progress: Sink | None = None) -> str:
    """Push the image that `ref` names; the digest of its manifest. Raises NotFound, Unauthorized, RegistryError."""
    ref = ref.with_default_tag()
    reporter = Reporter(progress)
    reporter.say(f"The push refers to repository [{ref.name}]")
    row = image_rows.by_reference(store.db, str(ref))
    if row is None:
        raise NotFound(f"An image does not exist locally with the tag: {ref.familiar_name}")
    layers = layer_rows.of_image(store.db, row.id)
    for layer in layers:
        reporter.say("Preparing", digests.short(layer.diff_id))
    with images.content(store).hold():
        body, media_type, manifest = _manifest(store, row, layers)
        blobs = {blob.digest: blob for layer in layers for blob in layer_rows.blobs(store.db, layer.diff_id)}
        work = [
            _Work(layer, blobs[one.digest], layer_rows.sources(store.db, one.digest))
            for layer, one in zip(layers, manifest.layers, strict=True)
        ]
        _send_layers(store, client, ref, manifest, work, reporter)
        client.push_blob(ref, manifest.config, lambda: _open(images.content(store), row.id))
        digest = client.push_manifest(ref, body, media_type)
        _remember(store, ref, row, work, digest, body, media_type)
    reporter.say(f"{ref.tag}: digest: {digest} size: {len(body)}")
    reporter.aux({"Tag": ref.tag, "Digest": digest, "Size": len(body)})
    return digest


def _open(blobs: "ContentStore", digest: str) -> IO[bytes]:
    return os.fdopen(blobs.open(digest), "rb")


def _manifest(store: images.Store, row: image_rows.Image, layers: list[Layer]) -> tuple[bytes, str, Manifest]:
    """The image's own manifest when all its blobs are here, else one of the blobs that we have or make now."""
    blobs = images.content(store)
    body = blobs.read(row.manifest)
    parsed = parse_manifest(body, row.media_type)
    assert isinstance(parsed, Manifest)
    if all(COMPRESSION.get(one.media_type) and blobs.exists(one.digest) for one in parsed.layers):
        return body, row.media_type, parsed
    flavour = parsed.flavour if any(blobs.exists(one.digest) for one in parsed.layers) else "docker"
    with ThreadPoolExecutor(_COMPRESSING) as pool:
        known = [layer_rows.blobs(store.db, layer.diff_id) for layer in layers]
        found = list(pool.map(lambda pair: _compressed(store, *pair), zip(layers, known, strict=True)))
    with transaction(store.db) as db:
        for blob in found:
            layer_rows.add_blob(db, blob)
    descriptors = [Descriptor(layer_type(COMPRESSION[one.media_type], flavour), one.digest, one.size) for one in found]
    config = Descriptor(DOCKER_CONFIG if flavour == "docker" else OCI_CONFIG, row.id, len(row.config.encode()))
    body = build_manifest(config, descriptors, flavour)
    media_type = DOCKER_MANIFEST if flavour == "docker" else OCI_MANIFEST
    parsed = parse_manifest(body, media_type)
    assert isinstance(parsed, Manifest)
    return body, media_type, parsed


def _compressed(store: images.Store, layer: Layer, known: list[LayerBlob]) -> LayerBlob:
    """A compressed form of the layer: one that is kept, else the plain tar (kept, or made again) packed now."""
    blobs = images.content(store)
    for blob in known:
        if blob.kept and COMPRESSION.get(blob.media_type) and blobs.exists(blob.digest):
            return blob
    plain = next((blob for blob in known if blob.kept and blobs.exists(blob.digest)), None)
    if plain is not None:
        return compress(store, layer.diff_id, FileSource(blobs.open(plain.digest)))
    return compress(store, layer.diff_id, tar_stream(f"{store.paths.layers}/{layer.dir}"))


def compress(store: images.Store, diff_id: str, source: Readable) -> LayerBlob:
    """Pack a plain layer tar into content/. Raises Unavailable when the tar is not the layer that it should be."""
    import hashlib

    encoder = gzip_encoder()
    hasher = hashlib.sha256()
    with images.content(store).ingest(f"gzip {diff_id}") as writer:
        writer.restart()
        while data := source.read(_CHUNK):
            hasher.update(data)
            writer.write(encoder.compress(data))
        writer.write(encoder.flush())
        if f"sha256:{hasher.hexdigest()}" != diff_id:
            writer.abort()
            raise Unavailable(f"a layer changed in the store: {diff_id}", hint="remove the image and build or pull it again")
        size = writer.size
        digest = writer.commit()
    return LayerBlob(digest, diff_id, layer_type("gzip", "oci"), size, True)


def _send_layers(
    store: images.Store, client: Registry, ref: "Reference", manifest: Manifest, work: list[_Work], reporter: Reporter
) -> None:
    blobs = images.content(store)
    gate = threading.Event()

    def send(pair: tuple[_Work, Descriptor]) -> None:
        one, descriptor = pair
        short = digests.short(one.layer.diff_id)
        if gate.is_set():
            return

        def tick(sent: int) -> None:
            reporter.at("Pushing", short, sent, descriptor.size)

        neighbour = _neighbour(ref, one.sources)
        try:
            how = client.push_blob(ref, descriptor, lambda: _open(blobs, descriptor.digest), neighbour, tick)
        except BaseException:
            gate.set()
            raise
        words = {"exists": "Layer already exists", "pushed": "Pushed"}
        reporter.say(words.get(how) or f"Mounted from {neighbour.path if neighbour else ''}", short)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(send, zip(work, manifest.layers, strict=True)))


def _neighbour(ref: "Reference", sources: list[str]) -> "Reference | None":
    """A repository of the same registry that is known to hold the blob."""
    for source in sources:
        other = parse(source)
        if other.domain == ref.domain and other.path != ref.path:
            return other
    return None


def _remember(
    store: images.Store, ref: "Reference", row: image_rows.Image, work: list[_Work], digest: str, body: bytes, media_type: str
) -> None:
    """Where the blobs are now; and the manifest that was sent becomes the image's own, so that the next push sends the same."""
    stored = images.content(store).put(body)
    with transaction(store.db) as db:
        for one in work:
            layer_rows.add_source(db, one.blob.digest, ref.name)
        image_rows.add_repo_digest(db, ref.name, digest, row.id)
        chains = [one.layer.chain_id for one in work]
        if stored != row.manifest:
            changed = image_rows.Image(row.id, row.config, row.created, row.stored, row.size, stored, media_type)
            image_rows.put(db, changed, chains)
