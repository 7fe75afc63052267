"""Saving: one tar that is a docker-archive (manifest.json) and an OCI layout (index.json) at once, as Docker writes since 25.

    blobs/sha256/HEX   manifests, configs, layers: a layer as the blob it came as, else as the plain tar that diff makes
    index.json  manifest.json  oci-layout  repositories

The same images give the same bytes, whenever they are saved.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from boxship.errors import InvalidArgument, Unavailable
from boxship.images import store as images
from boxship.images.load import IMAGE_NAME, REF_NAME
from boxship.images.unpack import FileSource
from boxship.layers.diff import file_header, tar_stream
from boxship.oci import digest as digests
from boxship.oci import document
from boxship.oci.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from boxship.oci.manifest import Manifest, build_index, build_manifest, parse_manifest
from boxship.oci.platform import Platform
from boxship.oci.reference import parse
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from boxship.state.layers import Layer, LayerBlob

Write = Callable[[bytes], object]


class Wanted(NamedTuple):
    """An image to save and the canonical names it is saved under."""

    image: image_rows.Image
    references: list[str]


class _Plan(NamedTuple):
    wanted: Wanted
    manifest: bytes
    media_type: str
    layers: list[tuple[Layer, LayerBlob]]


def save(store: images.Store, wanted: list[Wanted], write: Write) -> None:
    """Write the archive of these images. Nothing is written before all of them are known to be whole."""
    if not wanted:
        raise InvalidArgument("no image to save")
    with images.content(store).hold():
        plans = [_plan(store, one) for one in wanted]
        out = _Tar(write)
        out.directory("blobs/")
        out.directory("blobs/sha256/")
        written: set[str] = set()
        for plan in plans:
            _write_blobs(store, plan, out, written)
        out.file("index.json", _index(plans))
        out.file("manifest.json", _docker(plans))
        out.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        out.file("repositories", _repositories(plans))
        out.end()


def _plan(store: images.Store, wanted: Wanted) -> _Plan:
    image = wanted.image
    blobs = images.content(store)
    body = blobs.read(image.manifest)
    parsed = parse_manifest(body, image.media_type)
    assert isinstance(parsed, Manifest)
    layers = layer_rows.of_image(store.db, image.id)
    forms = [{blob.digest: blob for blob in layer_rows.blobs(store.db, layer.diff_id)} for layer in layers]
    own = [form.get(one.digest) for form, one in zip(forms, parsed.layers, strict=True)]
    if all(blob is not None and _can_give(store, layer, blob) for layer, blob in zip(layers, own, strict=True)):
        return _Plan(wanted, body, image.media_type, [(a, b) for a, b in zip(layers, own, strict=True) if b is not None])
    chosen = [
        next((b for b in form.values() if _can_give(store, layer, b)), None) for layer, form in zip(layers, forms, strict=True)
    ]
    pairs = [(layer, blob) for layer, blob in zip(layers, chosen, strict=True) if blob is not None]
    if len(pairs) != len(layers):
        raise Unavailable(f"a layer's blob is missing in the store: {image.id}", hint="remove the image and pull it again")
    config = Descriptor(OCI_CONFIG, image.id, len(image.config.encode()))
    body = build_manifest(config, [Descriptor(blob.media_type, blob.digest, blob.size) for _, blob in pairs])
    return _Plan(wanted, body, OCI_MANIFEST, pairs)


def _can_give(store: images.Store, layer: Layer, blob: LayerBlob) -> bool:
    """Its bytes are kept, or they are the plain tar that diff makes again."""
    return images.content(store).exists(blob.digest) if blob.kept else blob.digest == layer.diff_id


def _write_blobs(store: images.Store, plan: _Plan, out: "_Tar", written: set[str]) -> None:
    for layer, blob in plan.layers:
        if blob.digest in written:
            continue
        written.add(blob.digest)
        source: Any = tar_stream(f"{store.paths.layers}/{layer.dir}")
        if blob.kept:
            source = FileSource(images.content(store).open(blob.digest))
        out.stream(f"blobs/sha256/{digests.encoded(blob.digest)}", blob.size, source, blob.digest)
    for data in (plan.wanted.image.config.encode(), plan.manifest):
        digest = digests.of(data)
        if digest not in written:
            written.add(digest)
            out.file(f"blobs/sha256/{digests.encoded(digest)}", data)


def _index(plans: list[_Plan]) -> bytes:
    entries = []
    for plan in plans:
        config = document.load(plan.wanted.image.config.encode(), 1 << 24, "image config")
        platform = Platform(config["os"], config["architecture"], config.get("variant") or "")
        plain = Descriptor(plan.media_type, digests.of(plan.manifest), len(plan.manifest), platform=platform)
        for reference in plan.wanted.references:
            notes = {IMAGE_NAME: reference, REF_NAME: parse(reference).tag or ""}
            entries.append(Descriptor(plain.media_type, plain.digest, plain.size, annotations=notes, platform=platform))
        if not plan.wanted.references:
            entries.append(plain)
    return build_index(entries)


def _docker(plans: list[_Plan]) -> bytes:
    documents = [
        {
            "Config": f"blobs/sha256/{digests.encoded(plan.wanted.image.id)}",
            "RepoTags": [parse(reference).familiar() for reference in plan.wanted.references] or None,
            "Layers": [f"blobs/sha256/{digests.encoded(blob.digest)}" for _, blob in plan.layers],
        }
        for plan in plans
    ]
    return b"[" + b",".join(document.dump(one) for one in documents) + b"]\n"


def _repositories(plans: list[_Plan]) -> bytes:
    """Names for readers from before manifest.json; they want the id of the top layer."""
    out: dict[str, dict[str, str]] = {}
    for plan in plans:
        top = digests.encoded(plan.layers[-1][1].digest) if plan.layers else digests.encoded(plan.wanted.image.id)
        for reference in plan.wanted.references:
            name = parse(reference)
            out.setdefault(name.familiar_name, {})[name.tag or ""] = top
    return document.dump(out) + b"\n"


class _Tar:
    """The outer archive."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def directory(self, name: str) -> None:
        self._write(file_header(name, 0, mode=0o755, kind=b"5"))

    def file(self, name: str, data: bytes) -> None:
        self._write(file_header(name, len(data)) + data + bytes(-len(data) % 512))

    def stream(self, name: str, size: int, source: Any, digest: str) -> None:
        """A blob, verified while it is written. Raises Unavailable when the store gives something else."""
        self._write(file_header(name, size))
        hasher = hashlib.sha256()
        left = size
        while data := source.read(1 << 18):
            hasher.update(data)
            left -= len(data)
            self._write(data)
        if left or f"sha256:{hasher.hexdigest()}" != digest:
            raise Unavailable(f"a layer changed in the store: {digest}", hint="remove the image and build or pull it again")
        self._write(bytes(-size % 512))

    def end(self) -> None:
        self._write(bytes(1024))


def check_writable(path: str) -> None:
    """Docker's checks on `save -o`: the folder is there, the target is no directory or device. Raises InvalidArgument."""
    import stat

    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise InvalidArgument(f'invalid output path: directory "{folder}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise InvalidArgument(f'invalid output path: "{path}" is a directory')
    if not stat.S_ISREG(mode):
        raise InvalidArgument(f'invalid output path: "{path}" must be a regular file')
