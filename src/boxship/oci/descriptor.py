"""Descriptors: what a blob is, its digest and its size (image-spec, descriptor.md); and the names of the media types."""

from dataclasses import dataclass, field
from typing import Any

from boxship.errors import InvalidArgument
from boxship.oci import digest as digests
from boxship.oci import document
from boxship.oci.platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
INDEXES = frozenset((OCI_INDEX, DOCKER_LIST))
SCHEMA1 = frozenset((DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED))
# what a layer's blob is packed with, by media type; every other layer type is foreign to us
COMPRESSION = {
    OCI_LAYER: "",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER + ".zstd": "zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": "",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-")
_NAME_FIRST = _NAME - frozenset("!#$&^_.+-")
_DATA_MAX = 4 << 20


def is_media_type(text: str) -> bool:
    """RFC 6838 section 4.2: type/subtype, each at most 127 of restricted-name-chars."""
    kind, slash, subtype = text.partition("/")
    return bool(slash) and all(_is_name(part) for part in (kind, subtype))


def _is_name(text: str) -> bool:
    return bool(text) and len(text) <= 127 and text[0] in _NAME_FIRST and _NAME.issuperset(text)


def is_distributable(media_type: str) -> bool:
    """Whether a layer of this type may be pushed elsewhere."""
    return ".nondistributable." not in media_type and ".foreign." not in media_type


def layer_type(compression: str, flavour: str) -> str:
    """The media type of a layer packed with "", "gzip" or "zstd", in an "oci" or a "docker" manifest."""
    table = {
        "oci": {"": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD},
        "docker": {"": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": DOCKER_LAYER + ".zstd"},
    }
    try:
        return table[flavour][compression]
    except KeyError:
        raise InvalidArgument(f"no layer media type for compression {compression or 'none'}: {flavour}") from None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob. `size` in bytes; `data` is the blob itself where the document carries it."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str = ""
    data: bytes | None = None

    @classmethod
    def from_dict(cls, raw: dict[str, Any], what: str = "descriptor") -> "Descriptor":
        """Read and check one descriptor. Raises InvalidArgument with the field's name."""
        media_type = document.text(raw, "mediaType", what, required=True)
        artifact_type = document.text(raw, "artifactType", what)
        for key, value in (("mediaType", media_type), ("artifactType", artifact_type)):
            if not is_media_type(value) and (value or key == "mediaType"):
                raise document.wrong(what, key, "a media type")
        digest = document.text(raw, "digest", what, required=True)
        if not digests.well_formed(digest):
            raise document.wrong(what, "digest", "a digest")
        size = document.number(raw, "size", what)
        platform = Platform.from_dict(document.mapping(raw, "platform", what)) if raw.get("platform") is not None else None
        return cls(
            media_type,
            digest,
            size,
            _urls(raw, what),
            document.text_map(raw, "annotations", what),
            platform,
            artifact_type,
            _data(raw, what, digest, size),
        )

    def to_dict(self) -> dict[str, Any]:
        """The object as it stands in a manifest."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.urls:
            result["urls"] = list(self.urls)
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.platform is not None:
            result["platform"] = self.platform.to_dict()
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        return result

    @property
    def is_manifest(self) -> bool:
        return self.media_type in MANIFESTS

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES


def _urls(raw: dict[str, Any], what: str) -> tuple[str, ...]:
    urls = document.texts(raw, "urls", what)
    for url in urls:
        scheme, colon, rest = url.partition(":")
        if not colon or not rest or not scheme.isascii() or not scheme[:1].isalpha():
            raise document.wrong(what, "urls", "a list of URLs")
    return tuple(urls)


def _data(raw: dict[str, Any], what: str, digest: str, size: int) -> bytes | None:
    """The embedded blob, which must agree with digest and size (descriptor.md, "Embedded Content")."""
    text = document.text(raw, "data", what)
    if not text:
        return None
    from base64 import b64decode
    from binascii import Error

    if len(text) > _DATA_MAX:
        raise InvalidArgument(f"invalid {what}: data is larger than {_DATA_MAX} bytes")
    try:
        data = b64decode(text, validate=True)
    except Error:
        raise document.wrong(what, "data", "base64") from None
    if len(data) != size or (digests.is_digest(digest) and digests.of(data, digests.algorithm(digest)) != digest):
        raise InvalidArgument(f"invalid {what}: data does not match its digest: {digest}")
    return data
