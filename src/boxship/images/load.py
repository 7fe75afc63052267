"""Loading: docker-archive (as docker save wrote it from 1.10 on, with or without an OCI layout beside it) and OCI archives.

Where an archive is both, the OCI side is read, for it knows digests and media types; the names come from both sides.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from boxship.errors import InvalidArgument, InvalidReference, NotFound, Unsupported
from boxship.images import store as images
from boxship.images.archive import Archive, open_archive
from boxship.images.progress import Reporter, Sink
from boxship.images.pull import Job, check_layers, check_platform, entry_for, fetch_layers, scratch
from boxship.layers.compression import detect
from boxship.oci import config as configs
from boxship.oci import digest as digests
from boxship.oci import document
from boxship.oci.descriptor import OCI_CONFIG, Descriptor, layer_type
from boxship.oci.manifest import MANIFEST_MAX, Index, Manifest, build_manifest, parse_manifest
from boxship.oci.platform import Platform
from boxship.oci.reference import parse
from boxship.state import images as image_rows
from boxship.state.db import transaction

IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_INDEXES_MAX = 4
_IMAGES_MAX = 1024


class Loaded(NamedTuple):
    """One image of an archive: its ID, and the names it got."""

    image_id: str
    references: list[str]


class _Found(NamedTuple):
    """An image of the archive, before anything of it was unpacked. `files`: blob digest -> entry of the archive."""

    manifest: bytes
    media_type: str
    parsed: Manifest
    config: bytes
    references: list[str]
    files: dict[str, str]


def load(store: images.Store, source: IO[bytes], progress: Sink | None = None, platform: Platform | None = None) -> list[Loaded]:
    """Load all images of an archive, plain or compressed. Raises InvalidArgument for what is none, Unsupported for old forms."""
    reporter = Reporter(progress)
    images.tidy(store)
    with scratch(store, "load") as folder, open_archive(source, folder) as archive:
        loaded = []
        for found in _images(archive, platform):
            loaded.append(_load_one(store, archive, found, reporter, platform))
    if not loaded:
        raise InvalidArgument("the archive holds no image for this machine")
    return loaded


def _images(archive: Archive, platform: Platform | None) -> Iterator[_Found]:
    if "index.json" in archive and "oci-layout" in archive:
        yield from _from_layout(archive, platform)
    elif "manifest.json" in archive:
        yield from _from_docker(archive)
    elif "repositories" in archive:
        raise Unsupported("the archive was made by a Docker before 1.10", hint="load it with an older Docker and save it again")
    else:
        raise InvalidArgument(
            "not an image archive: it has neither manifest.json nor index.json", hint="for a file system use import"
        )


# - docker-archive -------------------------------------------------------------------------------------------------------


def _docker_entries(archive: Archive) -> list[dict[str, Any]]:
    data = archive.read("manifest.json", MANIFEST_MAX)
    raw = document.load(b'{"entries":' + data + b"}", MANIFEST_MAX + 16, "manifest.json")
    entries = document.objects(raw, "entries", "manifest.json", _IMAGES_MAX)
    for entry in entries:
        document.text(entry, "Config", "manifest.json", required=True)
        document.texts(entry, "Layers", "manifest.json")
        document.texts(entry, "RepoTags", "manifest.json")
    return entries


def _from_docker(archive: Archive) -> Iterator[_Found]:
    for entry in _docker_entries(archive):
        config = archive.read(entry["Config"], configs.CONFIG_MAX)
        diff_ids = configs.diff_ids(configs.parse_config(config))
        names = entry.get("Layers") or []
        if len(names) != len(diff_ids):
            raise InvalidArgument(f"invalid image archive: {len(names)} layers in manifest.json, {len(diff_ids)} in the config")
        layers, files = [], {}
        for name, diff_id in zip(names, diff_ids, strict=True):
            layer = _describe(archive, name, diff_id)
            layers.append(layer)
            files[layer.digest] = name
        body = build_manifest(Descriptor(OCI_CONFIG, digests.of(config), len(config)), layers)
        parsed = parse_manifest(body)
        assert isinstance(parsed, Manifest)
        tags = [_tag(text) for text in entry.get("RepoTags") or []]
        yield _Found(body, parsed.media_type, parsed, config, tags, files)


def _describe(archive: Archive, name: str, diff_id: str) -> Descriptor:
    """A layer file without a descriptor of its own: packed or plain is seen by its first bytes."""
    source = archive.open(name)
    head = source.read(6)
    kind = detect(head)
    size = archive.find(name)[1]
    if not kind:
        return Descriptor(layer_type("", "oci"), diff_id, size)
    hasher = hashlib.sha256(head)
    while data := source.read(1 << 18):
        hasher.update(data)
    return Descriptor(layer_type(kind, "oci"), f"sha256:{hasher.hexdigest()}", size)


def _tag(text: str) -> str:
    try:
        return str(parse(text).with_default_tag())
    except InvalidReference as error:
        raise InvalidArgument(f"invalid tag in the image archive: {text[:200]}: {error.message}") from None


# - OCI layout -----------------------------------------------------------------------------------------------------------


def _from_layout(archive: Archive, platform: Platform | None) -> Iterator[_Found]:
    layout = document.load(archive.read("oci-layout", 4096), 4096, "oci-layout")
    if not str(layout.get("imageLayoutVersion", "")).startswith("1."):
        raise Unsupported(f"unsupported image layout version: {str(layout.get('imageLayoutVersion'))[:50]}")
    index = parse_manifest(archive.read("index.json", MANIFEST_MAX), "")
    if not isinstance(index, Index):
        raise InvalidArgument("invalid image archive: index.json is not an index")
    tags = _docker_tags(archive)
    found: dict[str, _Found] = {}
    for entry in index.manifests:
        if entry.platform is not None and entry.platform.os == "unknown":
            continue  # an attestation, not an image
        image = _from_blobs(archive, entry, platform)
        if image is None:
            continue
        config_digest = image.parsed.config.digest
        known = found.setdefault(config_digest, image)
        names = [*_annotated(entry), *tags.pop(config_digest, [])]
        known.references.extend(name for name in names if name not in known.references)
    yield from found.values()


def _docker_tags(archive: Archive) -> dict[str, list[str]]:
    """RepoTags by config digest, from the docker side of the archive."""
    if "manifest.json" not in archive:
        return {}
    out: dict[str, list[str]] = {}
    for entry in _docker_entries(archive):
        name = os.path.basename(entry["Config"]).removesuffix(".json")
        out.setdefault(f"sha256:{name}", []).extend(_tag(text) for text in entry.get("RepoTags") or [])
    return out


def _annotated(entry: Descriptor) -> list[str]:
    """The name an index gives an image: containerd's and Docker's annotation, else OCI's when it is more than a tag."""
    name = entry.annotations.get(IMAGE_NAME)
    if name:
        return [_tag(name)]
    name = entry.annotations.get(REF_NAME, "")
    if "/" in name or ":" in name:
        return [_tag(name)]
    return []


def _blob_name(digest: str) -> str:
    digests.validate(digest)
    return f"blobs/{digests.algorithm(digest)}/{digests.encoded(digest)}"


def _blob(archive: Archive, descriptor: Descriptor, limit: int) -> bytes:
    data = archive.read(_blob_name(descriptor.digest), limit)
    if len(data) != descriptor.size or digests.of(data, digests.algorithm(descriptor.digest)) != descriptor.digest:
        raise InvalidArgument(f"invalid image archive: blob does not match its digest: {descriptor.digest}")
    return data


def _from_blobs(archive: Archive, entry: Descriptor, platform: Platform | None) -> _Found | None:
    """The image behind an entry of the index, None when its blobs are not in the archive (other platforms' often are not)."""
    wanted = (platform or Platform()).with_defaults()
    for _ in range(_INDEXES_MAX):
        if _blob_name(entry.digest) not in archive:
            return None
        body = _blob(archive, entry, MANIFEST_MAX)
        parsed = parse_manifest(body, entry.media_type)
        if isinstance(parsed, Manifest):
            config = _blob(archive, parsed.config, configs.CONFIG_MAX)
            files = {layer.digest: _blob_name(layer.digest) for layer in parsed.layers}
            return _Found(body, parsed.media_type, parsed, config, [], files)
        try:
            entry = entry_for(parsed, wanted)
        except NotFound:
            return None
    raise InvalidArgument("invalid image archive: indexes are nested too deeply")


# - into the store -------------------------------------------------------------------------------------------------------


def _load_one(store: images.Store, archive: Archive, found: _Found, reporter: Reporter, platform: Platform | None) -> Loaded:
    config = configs.parse_config(found.config)
    image_id = digests.of(found.config)
    check_platform(config, (found.references or [image_id])[0], platform)
    diff_ids = configs.diff_ids(config)
    check_layers(found.parsed, diff_ids)
    jobs = [
        Job(number, layer, diff_id, True) for number, (layer, diff_id) in enumerate(zip(found.parsed.layers, diff_ids, strict=True))
    ]
    for job in jobs:
        size = archive.find(found.files[job.descriptor.digest])[1]
        if size != job.descriptor.size:
            raise InvalidArgument(
                f"invalid image archive: blob has {size} bytes, not {job.descriptor.size}: {job.descriptor.digest}"
            )
    with images.content(store).hold():
        if image_rows.get(store.db, image_id) is None:
            new = fetch_layers(store, jobs, lambda job, offset: archive.open(found.files[job.descriptor.digest], offset), reporter)
            with new as layers:
                images.put_image(store, found.config, found.manifest, found.media_type, layers, references=found.references)
        else:
            _name(store, image_id, found.references)
    return Loaded(image_id, found.references)


def _name(store: images.Store, image_id: str, references: list[str]) -> None:
    with transaction(store.db) as db:
        for reference in references:
            image_rows.tag(db, reference, image_id)
