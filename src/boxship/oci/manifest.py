"""Image manifests and indexes, OCI and Docker (schema 2): reading with suspicion, writing both flavours.

A document is one kind or the other: one with `layers` and `manifests` would mean different images to different
readers (CVE-2021-41190), so it is refused, and so is one whose fields disagree with the type it was served under.
"""

from dataclasses import dataclass, field
from typing import Any

from boxship.errors import InvalidArgument, Unsupported
from boxship.oci import document
from boxship.oci.descriptor import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    Descriptor,
)

# the limit of Docker's registry for a manifest, and of the distribution-spec's advice
MANIFEST_MAX = 4 << 20
_LAYERS_MAX = 4096
_ENTRIES_MAX = 4096

_HAS_NO = {
    "manifest": (("manifests", "fsLayers"), 'should not have "manifests" or "fsLayers"'),
    "index": (("config", "layers", "fsLayers"), 'should not have "config", "layers", or "fsLayers"'),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None

    @property
    def flavour(self) -> str:
        return "docker" if self.media_type == DOCKER_MANIFEST else "oci"


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, usually one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None


def kind_of(media_type: str) -> str:
    """ "manifest", "index", "schema1", or "" for a type that is none of them."""
    if media_type in MANIFESTS:
        return "manifest"
    if media_type in INDEXES:
        return "index"
    return "schema1" if media_type in SCHEMA1 else ""


def detect(raw: dict[str, Any]) -> str:
    """The media type of a document by its own word or its fields. Raises InvalidArgument for a mixture of kinds."""
    claimed = document.text(raw, "mediaType", "manifest")
    if claimed:
        forbidden, words = _HAS_NO.get(kind_of(claimed), ((), ""))
        if any(key in raw for key in forbidden):
            raise InvalidArgument(f'media-type: "{claimed}" {words}')
        return claimed
    image = "config" in raw or "layers" in raw
    if ("fsLayers" in raw) + image + ("manifests" in raw) > 1:
        raise InvalidArgument("media-type: cannot determine")
    if "fsLayers" in raw or raw.get("schemaVersion") == 1:
        return next(iter(SCHEMA1))
    return OCI_MANIFEST if image else OCI_INDEX


def agree(raw: dict[str, Any], served_as: str) -> str:
    """The media type of a document that was served as `served_as`. Raises InvalidArgument when they disagree."""
    kind = kind_of(served_as)
    if not kind:
        return detect(raw)
    found = detect({"mediaType": served_as, **raw})
    if kind_of(found) != kind:
        raise InvalidArgument(f"invalid manifest: served as {served_as} but it says {found}")
    return found


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index that was served as `media_type` ("": unknown).

    Raises InvalidArgument for anything malformed or ambiguous, Unsupported for Docker's schema 1.
    """
    if media_type in SCHEMA1:
        raise _schema1()
    raw = document.load(data, MANIFEST_MAX, "manifest")
    found = agree(raw, media_type)
    if kind_of(found) == "schema1" or raw.get("schemaVersion") == 1:
        raise _schema1()
    if raw.get("schemaVersion") != 2 or isinstance(raw["schemaVersion"], bool):
        raise document.wrong("manifest", "schemaVersion", "2")
    if found in MANIFESTS:
        return _manifest(raw, found)
    if found in INDEXES:
        return _index(raw, found)
    raise Unsupported(f"unsupported manifest media type: {found}", hint="only OCI and Docker schema 2 images can be used")


def _schema1() -> Unsupported:
    return Unsupported(
        "unsupported image manifest: Docker schema 1",
        hint="ask the author of the image to publish it as an OCI image or as Docker schema 2",
    )


def _descriptor(raw: dict[str, Any], key: str, what: str) -> Descriptor:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise document.wrong(what, key, "a descriptor")
    return Descriptor.from_dict(value, f"{what}: {key}")


def _subject(raw: dict[str, Any], what: str) -> Descriptor | None:
    return _descriptor(raw, "subject", what) if raw.get("subject") is not None else None


def _manifest(raw: dict[str, Any], media_type: str) -> Manifest:
    what = "manifest"
    layers = document.objects(raw, "layers", what, _LAYERS_MAX)
    return Manifest(
        media_type,
        _descriptor(raw, "config", what),
        tuple(Descriptor.from_dict(one, f"{what}: layers") for one in layers),
        document.text_map(raw, "annotations", what),
        document.text(raw, "artifactType", what),
        _subject(raw, what),
    )


def _index(raw: dict[str, Any], media_type: str) -> Index:
    what = "index"
    if not isinstance(raw.get("manifests"), list):
        raise document.wrong(what, "manifests", "a list of descriptors")
    entries = [Descriptor.from_dict(one, f"{what}: manifests") for one in document.objects(raw, "manifests", what, _ENTRIES_MAX)]
    for entry in entries:
        if entry.platform is not None and not (entry.platform.os and entry.platform.architecture):
            raise InvalidArgument(f"invalid {what}: manifests: platform without os or architecture")
    return Index(
        media_type,
        tuple(entries),
        document.text_map(raw, "annotations", what),
        document.text(raw, "artifactType", what),
        _subject(raw, what),
    )


def build_manifest(
    config: Descriptor,
    layers: "list[Descriptor] | tuple[Descriptor, ...]",
    flavour: str = "oci",
    annotations: dict[str, str] | None = None,
) -> bytes:
    """The bytes of an image manifest, "oci" or "docker", indented as each world's own tools do it."""
    raw: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST if flavour == "oci" else DOCKER_MANIFEST,
        "config": config.to_dict(),
        "layers": [layer.to_dict() for layer in layers],
    }
    return _bytes(raw, flavour, annotations)


def build_index(
    manifests: "list[Descriptor] | tuple[Descriptor, ...]", flavour: str = "oci", annotations: dict[str, str] | None = None
) -> bytes:
    """The bytes of an index ("oci") or a manifest list ("docker")."""
    raw: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX if flavour == "oci" else DOCKER_LIST,
        "manifests": [one.to_dict() for one in manifests],
    }
    return _bytes(raw, flavour, annotations)


def _bytes(raw: dict[str, Any], flavour: str, annotations: dict[str, str] | None) -> bytes:
    if flavour not in ("oci", "docker"):
        raise InvalidArgument(f"no such manifest flavour: {flavour}")
    if annotations:
        if flavour == "docker":
            raise InvalidArgument("annotations need an OCI manifest")
        raw["annotations"] = dict(annotations)
    return document.dump(raw, 2 if flavour == "oci" else 3)
