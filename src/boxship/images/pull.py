"""Pulling: name -> manifest -> config -> the layers that are missing, three at a time -> one transaction.

The config lists all diff IDs, so every chain ID is known before the first byte of a layer, and one SELECT tells which are here.
A pull that was killed left partial blobs in content/ingest: the next one goes on where they end. What it unpacked
lies in tmp/ without a lock: the next pull, load or build removes it.
"""

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from boxship.errors import InvalidArgument, NotFound, RegistryError, Unsupported
from boxship.images import store as images
from boxship.images.progress import Reporter, Sink
from boxship.images.unpack import Cancelled, FileSource, Source, Tee, Unpacked, settle_layer, unpack
from boxship.layers.diff import digest_of
from boxship.layers.remove import remove_tree
from boxship.oci import config as configs
from boxship.oci import digest as digests
from boxship.oci.descriptor import COMPRESSION, Descriptor
from boxship.oci.manifest import Index, Manifest, parse_manifest
from boxship.oci.platform import Platform, choose, host, no_match
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from boxship.state.db import transaction
from boxship.state.layers import LayerBlob

if TYPE_CHECKING:
    from boxship.oci.reference import Reference

PARALLEL = 3
_DEPTH = 4  # indexes within indexes


class Registry(Protocol):
    """What a pull asks of the distribution client."""

    def resolve(self, ref: "Reference", /) -> Any: ...

    def manifest(self, ref: "Reference", descriptor: Descriptor, /) -> bytes: ...

    def open_blob(self, ref: "Reference", descriptor: Descriptor, offset: int = 0, /) -> Source: ...


class Pulled(NamedTuple):
    """`digest`: of what the name stands for (an index where there is one); `fresh`: something new came."""

    image_id: str
    digest: str
    fresh: bool


class Fetched(NamedTuple):
    """One layer's blob in content/ and its unpacked directory."""

    unpacked: Unpacked
    descriptor: Descriptor


class Job(NamedTuple):
    """One layer to fetch: its place in the image. `local`: it lies in an archive at hand, a plain one need not be copied."""

    position: int
    descriptor: Descriptor
    diff_id: str
    local: bool = False


def pull(
    store: images.Store, client: Registry, ref: "Reference", platform: Platform | None = None, progress: Sink | None = None
) -> Pulled:
    """Bring the image behind `ref` into the store and name it. Raises NotFound, Unauthorized, RegistryError, Unavailable."""
    ref = ref.with_default_tag()
    reporter = Reporter(progress)
    found = client.resolve(ref)
    reporter.say(f"Pulling from {_repository(ref)}", ref.tag or ref.digest or "")
    wanted = (platform or Platform()).with_defaults()
    body, manifest = select(client, ref, found.body, found.descriptor, wanted)
    digest = found.descriptor.digest
    images.tidy(store)
    with images.content(store).hold():
        config = _config(store, client, ref, manifest)
        image_id, fresh = _bring(store, client, ref, body, manifest, config, digest, reporter, platform)
    reporter.say(f"Digest: {digest}")
    words = "Downloaded newer image for" if fresh else "Image is up to date for"
    reporter.say(f"Status: {words} {ref.familiar()}")
    return Pulled(image_id, digest, fresh)


def _repository(ref: "Reference") -> str:
    return ref.path


def select(client: Registry, ref: "Reference", body: bytes, descriptor: Descriptor, wanted: Platform) -> tuple[bytes, Manifest]:
    """The manifest for a platform, through indexes. Raises NotFound in Docker's words."""
    for _ in range(_DEPTH):
        parsed = parse_manifest(body, descriptor.media_type)
        if isinstance(parsed, Manifest):
            return body, parsed
        descriptor = entry_for(parsed, wanted)
        body = client.manifest(ref, descriptor)
    raise InvalidArgument(f"indexes are nested too deeply: {ref.familiar()}")


def entry_for(index: Index, wanted: Platform) -> Descriptor:
    """The best entry for a platform. BuildKit's attestations claim "unknown/unknown" and never match."""
    place = choose([entry.platform for entry in index.manifests], wanted)
    if place is None:
        have = ", ".join(sorted({str(entry.platform) for entry in index.manifests if entry.platform}))[:300]
        raise NotFound(no_match(wanted), hint=f"the image is made for: {have}" if have else None)
    return index.manifests[place]


def _config(store: images.Store, client: Registry, ref: "Reference", manifest: Manifest) -> bytes:
    descriptor = manifest.config
    if descriptor.size > configs.CONFIG_MAX:
        raise RegistryError(f"the image config is larger than {configs.CONFIG_MAX} bytes: {descriptor.digest}")
    blobs = images.content(store)
    if blobs.exists(descriptor.digest):
        return blobs.read(descriptor.digest, configs.CONFIG_MAX)
    source = client.open_blob(ref, descriptor)
    try:
        data = b""
        while more := source.read(1 << 16):
            data += more
            if len(data) > descriptor.size:
                raise RegistryError(f"the image config is larger than its descriptor says: {descriptor.digest}")
    finally:
        source.close()
    if digests.of(data) != descriptor.digest:
        raise RegistryError(f"the image config does not match its digest: {descriptor.digest}")
    return data


def check_platform(document: dict[str, Any], ref_text: str, asked: Platform | None) -> None:
    """An image for another machine is refused when a platform was asked for. Raises NotFound, Unsupported."""
    have = Platform(document["os"], document["architecture"], document.get("variant") or "")
    if have.os != "linux":
        raise Unsupported(f"image operating system {have.os!r} cannot be used on this platform: {host()}")
    if asked is not None and choose([have], asked.with_defaults()) is None:
        raise NotFound(
            f"image with reference {ref_text} was found but does not provide the specified platform "
            f"({asked.with_defaults().docker_text()})",
            hint=f"it provides {have}",
        )


def _bring(
    store: images.Store,
    client: Registry,
    ref: "Reference",
    body: bytes,
    manifest: Manifest,
    config: bytes,
    digest: str,
    reporter: Reporter,
    asked: Platform | None,
) -> tuple[str, bool]:
    document = configs.parse_config(config)
    check_platform(document, ref.familiar(), asked)
    diff_ids = configs.diff_ids(document)
    check_layers(manifest, diff_ids)
    names = [str(ref)]
    known = image_rows.get(store.db, manifest.config.digest)
    if known is not None:
        _remember(store, ref, manifest, diff_ids)
        return manifest.config.digest, _rename(store, ref, known.id, digest)
    jobs = [Job(number, *pair) for number, pair in enumerate(zip(manifest.layers, diff_ids, strict=True))]
    new = fetch_layers(store, jobs, lambda job, offset: client.open_blob(ref, job.descriptor, offset), reporter)
    with new as layers:
        image_id = images.put_image(
            store, config, body, manifest.media_type, layers, references=names, repo_digest=(ref.name, digest)
        )
    _remember(store, ref, manifest, diff_ids)
    return image_id, True


def _remember(store: images.Store, ref: "Reference", manifest: Manifest, diff_ids: list[str]) -> None:
    """Which repository has the blobs: a push to another one of its registry need not send them."""
    with transaction(store.db) as db:
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            if any(blob.digest == layer.digest for blob in layer_rows.blobs(db, diff_id)):
                layer_rows.add_source(db, layer.digest, ref.name)


def _rename(store: images.Store, ref: "Reference", image_id: str, digest: str) -> bool:
    """Point the name at an image that is here; False when it did so already."""
    with transaction(store.db) as db:
        before = image_rows.tag(db, str(ref), image_id)
        image_rows.add_repo_digest(db, ref.name, digest, image_id)
    return before != image_id


def check_layers(manifest: Manifest, diff_ids: list[str]) -> None:
    """Config and manifest must speak of the same layers, of kinds that can be unpacked."""
    if len(diff_ids) != len(manifest.layers):
        raise InvalidArgument(f"invalid image: {len(manifest.layers)} layers in its manifest, {len(diff_ids)} in its config")
    for layer in manifest.layers:
        if layer.media_type not in COMPRESSION:
            raise Unsupported(f"unsupported layer media type: {layer.media_type}")


# - layers ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def scratch(store: images.Store, name: str) -> Iterator[str]:
    """A directory below tmp/ that is locked while it is in use, and removed afterwards."""
    os.makedirs(store.paths.tmp, 0o711, exist_ok=True)
    folder, fd = _locked_directory(f"{name}-", store.paths.tmp)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(fd)


def _locked_directory(prefix: str, where: str) -> tuple[str, int]:
    while True:
        folder = tempfile.mkdtemp(prefix=prefix, dir=where)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:  # a sweep may have taken it for somebody's remains before it was locked
            return folder, fd
        os.close(fd)


@contextlib.contextmanager
def fetch_layers(
    store: images.Store, jobs: list[Job], open_blob: Callable[[Job, int], Source], reporter: Reporter
) -> Iterator[list[images.NewLayer]]:
    """The image's layers, base first: those that are not here fetched, verified and unpacked below tmp/."""
    chains = configs.chain_ids([job.diff_id for job in jobs])
    here = layer_rows.existing(store.db, chains) if chains else {}
    missing = [job for job in jobs if chains[job.position] not in here]
    for job in jobs:
        reporter.say("Already exists" if chains[job.position] in here else "Pulling fs layer", _short(job))
    with scratch(store, "pull") as folder:
        fetched = _fetch_all(store, missing, folder, open_blob, reporter) if missing else {}
        yield _settle_all(store, jobs, fetched, [here[chain].dir for chain in chains if chain in here], open_blob, reporter)


def _short(job: Job) -> str:
    return digests.short(job.descriptor.digest)


def _fetch_all(
    store: images.Store, jobs: list[Job], folder: str, open_blob: Callable[[Job, int], Source], reporter: Reporter
) -> dict[int, Fetched]:
    stop = threading.Event()
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="layer") as pool:
        futures: dict[Future[Fetched], Job] = {}
        try:
            for job in jobs:
                futures[pool.submit(_fetch, store, job, f"{folder}/{job.position}", open_blob, reporter, stop)] = job
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            failed = [future for future in futures if future.done() and future.exception()]
            if failed or not all(future.done() for future in futures):
                stop.set()
                pool.shutdown(cancel_futures=True)
        for future in failed:
            error = future.exception()
            if not isinstance(error, Cancelled) and error is not None:
                raise error
        return {job.position: future.result() for future, job in futures.items()}


def _fetch(
    store: images.Store,
    job: Job,
    directory: str,
    open_blob: Callable[[Job, int], Source],
    reporter: Reporter,
    stop: threading.Event,
) -> Fetched:
    """In a thread of its own: no database here."""
    blobs = images.content(store)
    short, total = _short(job), job.descriptor.size

    def tick(done: int) -> None:
        if stop.is_set():
            raise Cancelled
        reporter.at("Downloading", short, done, total)

    if job.local and not COMPRESSION[job.descriptor.media_type]:
        unpacked = _unpack_here(job, directory, open_blob)
    elif blobs.exists(job.descriptor.digest):
        reporter.say("Download complete", short)
        unpacked = _from_store(store, job, directory)
    else:
        unpacked = _download(store, job, directory, open_blob, tick)
        reporter.say("Download complete", short)
    if unpacked.diff_id != job.diff_id:
        raise RegistryError(
            f"layer does not match the image config: {job.descriptor.digest} unpacks to {unpacked.diff_id}, not {job.diff_id}"
        )
    return Fetched(unpacked, job.descriptor)


def _from_store(store: images.Store, job: Job, directory: str) -> Unpacked:
    source = FileSource(images.content(store).open(job.descriptor.digest))
    try:
        return unpack(source, directory, None)
    finally:
        source.close()


def _unpack_here(job: Job, directory: str, open_blob: Callable[[Job, int], Source]) -> Unpacked:
    """A plain tar in an archive: nothing is written down but what it unpacks to."""
    if job.descriptor.digest != job.diff_id:
        raise InvalidArgument(f"invalid image: layer {job.descriptor.digest} is not the {job.diff_id} of its config")
    source = open_blob(job, 0)
    try:
        return unpack(source, directory, None)
    finally:
        source.close()


def _download(
    store: images.Store, job: Job, directory: str, open_blob: Callable[[Job, int], Source], tick: Callable[[int], None]
) -> Unpacked:
    digest, total = job.descriptor.digest, job.descriptor.size
    writer = images.content(store).ingest(digest)
    with writer:
        if writer.offset > total:
            writer.restart()
        # a partial that is whole already was only not committed: nothing is left to ask the registry for
        source = open_blob(job, writer.offset) if writer.offset < total or total == 0 else None
        tee = Tee(writer, writer.path, source, total, tick)
        try:
            unpacked = unpack(tee, directory, None)
            tee.drain()
        except InvalidArgument as error:
            writer.abort()  # damaged on its way: do not go on from it
            raise RegistryError(f"layer {digest}: {error.message}", hint=error.hint) from None
        finally:
            tee.close()
            if source is not None:
                source.close()
        try:
            writer.commit(digest)
        except InvalidArgument as error:
            remove_tree(directory)
            raise RegistryError(f"layer {error.message}", hint="the registry or mirror gave other content; try again") from None
    return unpacked


def _settle_all(
    store: images.Store,
    jobs: list[Job],
    fetched: dict[int, Fetched],
    here: list[str],
    open_blob: Callable[[Job, int], Source],
    reporter: Reporter,
) -> list[images.NewLayer]:
    """Base first: each layer is finished with those below it in place. `here`: directories in the store, base first."""
    lowers = [f"{store.paths.layers}/{name}" for name in reversed(here)]
    layers = []
    for job in jobs:
        done = fetched.get(job.position)
        if done is None:
            layers.append(images.NewLayer(job.diff_id, None, 0, None))
            continue
        reporter.say("Extracting", _short(job))
        plain = job.local and not done.unpacked.compression

        def again(job: Job = job, plain: bool = plain) -> Source:
            return open_blob(job, 0) if plain else FileSource(images.content(store).open(job.descriptor.digest))

        size = settle_layer(done.unpacked, lowers, again)
        lowers.insert(0, done.unpacked.path)
        blob = _kept_plain(store, job, done.unpacked, again) if plain else _blob(job, True)
        layers.append(images.NewLayer(job.diff_id, done.unpacked.path, size, blob))
        reporter.say("Pull complete", _short(job))
    return layers


def _blob(job: Job, kept: bool) -> LayerBlob:
    return LayerBlob(job.descriptor.digest, job.diff_id, job.descriptor.media_type, job.descriptor.size, kept)


def _kept_plain(store: images.Store, job: Job, unpacked: Unpacked, again: Callable[[], Source]) -> LayerBlob:
    """A plain tar is kept unless diff makes the very same bytes again, as it does for the layers that Boxship built."""
    if digest_of(unpacked.path)[0] == job.diff_id:
        return _blob(job, False)
    source = again()
    try:
        with images.content(store).ingest(job.descriptor.digest) as writer:
            writer.restart()
            while data := source.read(1 << 18):
                writer.write(data)
            writer.commit(job.descriptor.digest)
    finally:
        source.close()
    return _blob(job, True)


__all__ = ["Pulled", "fetch_layers", "pull", "scratch", "select"]
