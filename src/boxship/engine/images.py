"""What people do with images: one function for each command, the same for every adapter.

Names are what a user types; documents are those of Docker's API; progress is a callable that gets Docker's progress
documents. `put_built` and `add_built_layer`, for the builder, are in boxship.images.store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any

from boxship.engine import imagefind
from boxship.errors import DockerfileError, InvalidArgument, NotFound
from boxship.images import documents, removal
from boxship.images import store as images
from boxship.oci import reference as references
from boxship.oci.platform import Platform
from boxship.state import images as image_rows
from boxship.state.db import now, transaction

if TYPE_CHECKING:
    from boxship.engine.store import Store
    from boxship.registry.client import Client
    from boxship.state.images import Image

Document = dict[str, Any]
Progress = Callable[[Document], None]
Filters = dict[str, list[str]]

# what docker commit and docker import accept for --change
_CHANGES = frozenset(
    ("CMD", "ENTRYPOINT", "HEALTHCHECK", "ENV", "EXPOSE", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
)


def resolve(store: Store, name: str) -> Image:
    """The image a name, ID, ID prefix or digest stands for. Raises NotFound ("No such image: x"), InvalidArgument."""
    return imagefind.must(store.db, name)


# - looking --------------------------------------------------------------------------------------------------------------


def list_images(store: Store, all: bool = False, filters: Filters | None = None) -> list[Document]:  # noqa: A002
    """Entries of GET /images/json, newest first. `all` adds nothing: Boxship has no intermediate images.

    Filters: before, since (image names), until (a time), dangling, label, reference. Raises InvalidArgument, NotFound.
    """
    filters = filters or {}
    documents.check_filters(filters)
    named = image_rows.all_references(store.db)
    known = image_rows.all_repo_digests(store.db)
    dangling = documents.boolean(filters, "dangling")
    keep = _by_time(store, filters)
    out = []
    for row in image_rows.all_images(store.db):
        names, pairs = named.get(row.id, []), known.get(row.id, [])
        if not keep(row) or (dangling is not None and dangling != (not names)):
            continue
        if "reference" in filters:
            names = documents.by_reference(names, filters["reference"])
            if not names:
                continue
            repositories = {references.parse(name).name for name in names}
            pairs = [pair for pair in pairs if pair[0] in repositories]
        entry = documents.summary(row, names, pairs)
        if documents.has_labels(entry["Labels"], filters.get("label", [])):
            out.append(entry)
    return out


def _by_time(store: Store, filters: Filters) -> Callable[[Image], bool]:
    before = [resolve(store, name).created for name in filters.get("before", [])]
    before += [_moment(text) for text in filters.get("until", [])]
    since = [resolve(store, name).created for name in filters.get("since", [])]
    return lambda row: all(row.created < limit for limit in before) and all(row.created > limit for limit in since)


def _moment(text: str) -> int:
    """A time: Unix seconds, RFC 3339, or a span back from now (10m, 1h30m). Nanoseconds. Raises InvalidArgument."""
    units = {"h": 3600, "m": 60, "s": 1}
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return int(float(text) * 1e9)
    seconds, digits = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            digits += character
        elif character in units and digits.count(".") < 2 and digits.strip("."):
            seconds += float(digits) * units[character]
            digits = ""
        else:
            seconds = 0.0
            break
    if seconds and not digits:
        return now() - int(seconds * 1e9)
    found = images.created_ns(text)
    if not found:
        raise InvalidArgument(f"invalid filter 'until={text}'", hint="a span such as 24h, or a time such as 2024-01-31T00:00:00Z")
    return found


def inspect(store: Store, name: str) -> Document:
    """GET /images/NAME/json."""
    return documents.inspect(store, resolve(store, name))


def history(store: Store, name: str) -> list[Document]:
    """GET /images/NAME/history, newest first."""
    return documents.history(store, resolve(store, name))


# - naming and removing --------------------------------------------------------------------------------------------------


def tag(store: Store, source: str, target: str) -> None:
    """Give an image one more name; the name leaves the image that had it. Raises NotFound, InvalidReference."""
    row = resolve(store, source)
    name = references.tag_target(target)
    with transaction(store.db) as db:
        image_rows.tag(db, str(name), row.id)


def remove(store: Store, name: str, force: bool = False, prune: bool = True) -> list[Document]:
    """Docker's records, {"Untagged": name} and {"Deleted": id}. Raises NotFound, Conflict.

    `prune` False would keep parents without a name: images have no parents here, so both do the same.
    """
    return list(removal.remove(store, resolve(store, name), name, force, _running(store)))


def _running(store: Store) -> Callable[[str], bool]:
    from boxship.engine import turns

    return lambda container_id: turns.is_running(store, container_id)


def prune(store: Store, all: bool = False, filters: Filters | None = None) -> Document:  # noqa: A002
    """Remove images without a name, or (`all`) without a container; {"ImagesDeleted": [...], "SpaceReclaimed": bytes}."""
    filters = filters or {}
    for name in filters:
        if name not in ("until", "label", "dangling"):
            raise InvalidArgument(f"invalid filter '{name}'")
    if documents.boolean(filters, "dangling") is False:
        all = True  # noqa: A001
    limits = [_moment(text) for text in filters.get("until", [])]
    records: list[Document] = []
    named = image_rows.all_references(store.db)
    before = _disk_usage(store)
    for row in image_rows.all_images(store.db):
        if (named.get(row.id) and not all) or any(row.created >= limit for limit in limits):
            continue
        labels = documents.summary(row, [], [])["Labels"]
        if image_rows.users(store.db, row.id) or not documents.has_labels(labels, filters.get("label", [])):
            continue
        # as by `rmi -f ID`: all names go, and nothing uses it
        records += removal.remove(store, row, row.id, True, _running(store))
    images.sweep(store)
    return {"ImagesDeleted": records or None, "SpaceReclaimed": max(0, before - _disk_usage(store))}


def _disk_usage(store: Store) -> int:
    """Bytes of the layers and blobs in the store."""
    return images.layers_size(store) + images.content(store).total()


# - registries -----------------------------------------------------------------------------------------------------------


def _client(store: Store) -> Client:
    from boxship.registry.client import Client

    return Client(store.settings)


def pull(store: Store, name: str, platform: str | None = None, progress: Progress | None = None) -> str:
    """Pull an image and return its ID. `platform`: os/architecture[/variant], this machine's by default.

    Raises InvalidReference, NotFound, Unauthorized, RegistryError, Unavailable.
    """
    from boxship.engine.store import need_root
    from boxship.images import pull as pulling

    need_root("unpacking an image")
    reference = references.parse(name).with_default_tag()
    wanted = Platform.parse(platform) if platform else None
    with _client(store) as client:
        return pulling.pull(store, client, reference, wanted, progress).image_id


def push(store: Store, name: str, progress: Progress | None = None) -> str:
    """Push the image under this name and return its manifest's digest. Raises NotFound, Unauthorized, RegistryError."""
    from boxship.images import push as pushing

    reference = references.parse(name)
    if reference.digest:
        raise InvalidArgument(f"cannot push a digest reference: {reference.familiar()}", hint="push a name with a tag")
    with _client(store) as client:
        return pushing.push(store, client, reference, progress)


# - archives -------------------------------------------------------------------------------------------------------------


def save(store: Store, names: Iterable[str], out: IO[bytes]) -> None:
    """Write an archive of the named images: by NAME all its tags, by NAME:TAG that one, by ID without a name."""
    from boxship.images import save as saving

    wanted: dict[str, saving.Wanted] = {}
    for name in names:
        for row, found in _to_save(store, name):
            entry = wanted.setdefault(row.id, saving.Wanted(row, []))
            entry.references.extend(text for text in found if text not in entry.references)
    saving.save(store, list(wanted.values()), out.write)
    out.flush()


def _to_save(store: Store, name: str) -> list[tuple[Image, list[str]]]:
    row = imagefind.find(store.db, name)
    try:
        reference = references.parse(name)
    except InvalidArgument:
        reference = None
    if row is not None and (reference is None or removal.is_id(row.id, name)):
        return [(row, [])]
    if reference is not None and not reference.tag and not reference.digest:
        found = [(one, text) for one, text in _tags_of(store, reference.name)]
        if found:
            return [(one, [text]) for one, text in found]
    if row is None:
        raise NotFound(f"No such image: {name}")
    assert reference is not None
    return [(row, [] if reference.digest else [str(reference.with_default_tag())])]


def _tags_of(store: Store, repository: str) -> list[tuple[Image, str]]:
    out = []
    for image_id, names in image_rows.all_references(store.db).items():
        row = image_rows.get(store.db, image_id)
        mine = [text for text in names if "@" not in text and references.parse(text).name == repository]
        out += [(row, text) for text in mine if row is not None]
    return out


def load(store: Store, source: IO[bytes], progress: Progress | None = None, platform: str | None = None) -> list[str]:
    """Load the images of an archive; the lines that say so ("Loaded image: x", "Loaded image ID: sha256:...")."""
    from boxship.engine.store import need_root
    from boxship.images import load as loading

    need_root("unpacking an image")
    wanted = Platform.parse(platform) if platform else None
    lines = []
    for one in loading.load(store, source, progress, wanted):
        lines += [f"Loaded image: {references.parse(name).familiar()}" for name in one.references]
        if not one.references:
            lines.append(f"Loaded image ID: {one.image_id}")
    return lines


def import_image(
    store: Store,
    source: IO[bytes],
    reference: str | None = None,
    message: str = "",
    changes: Iterable[str] = (),
    platform: str | None = None,
) -> str:
    """Make an image of the tar of a file system; its ID. `changes`: Dockerfile instructions that set its configuration."""
    from boxship.engine.store import need_root
    from boxship.images import importing

    need_root("unpacking an image")
    name = str(references.tag_target(reference)) if reference else None
    config, author = configuration(changes)
    wanted = Platform.parse(platform) if platform else None
    return importing.import_tar(store, source, config, message=message, author=author, reference=name, platform=wanted)


def configuration(changes: Iterable[str], base: Document | None = None) -> tuple[Document, str]:
    """(image configuration, author) after the instructions of --change. Raises DockerfileError."""
    from boxship.build import stage
    from boxship.build.dockerfile.decode import decode
    from boxship.build.dockerfile.parser import parse

    state = stage.StageState("", {}, dict(base or {}))
    for entry in (base or {}).get("Env") or []:
        key, _, value = entry.partition("=")
        state.env[key] = value
    lines = list(changes)
    if not lines:
        return state.config, ""
    scope = stage.Scope({}, {}, (), "\\", lambda *_: 0, lambda _: None)
    for instruction in parse("\n".join(lines)).instructions:
        if instruction.name not in _CHANGES:
            raise DockerfileError(f"{instruction.keyword} is not a valid change command", line=instruction.line)
        stage.dispatch(state, decode(instruction), scope)
    return state.config, state.author
