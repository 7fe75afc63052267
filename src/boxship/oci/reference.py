"""Image names as Docker normalises them. On the run path: no `re`, no dataclasses.

    name       [domain "/"] component ("/" component)*      path at most 255 characters
    domain     host [":" digits]        host = words of letters, digits, inner dashes joined by dots, or "[" IPv6 "]"
    component  [a-z0-9]+ joined by one of . _ __ or any number of -
    tag        word character, then up to 127 of word characters . -
    digest     algorithm ":" 32 or more hex digits

`parse` reads what a user types ("ubuntu" is docker.io/library/ubuntu), `parse_bare` the grammar without defaults.
The errors are Docker's own sentences (distribution/reference), for people search the web for them.
"""

from boxship.errors import InvalidArgument, InvalidReference
from boxship.oci import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_PATH_MAX = 255
_TAG_MAX = 128

_DIGITS = frozenset("0123456789")
_LOWER = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyz")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = _DIGITS | frozenset("abcdefABCDEF")
_TAG_FIRST = _ALNUM | {"_"}
_TAG_REST = _TAG_FIRST | {".", "-"}
_JOINTS = frozenset(("", ".", "_", "__"))

_INVALID = "invalid reference format"


class Reference:
    """One image name. Immutable by custom; `domain` is "" only for names read by `parse_bare`."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str | None = None, digest: str | None = None) -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def name(self) -> str:
        """domain/path, without tag and digest."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The name as `docker images` shows it: without docker.io and library/."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix("library/")
        return self.path if "/" in short else short

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def familiar(self) -> str:
        """The shortest text that means the same: "ubuntu:18.04"."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def __repr__(self) -> str:
        return f"Reference({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def with_default_tag(self) -> "Reference":
        """What a pull asks for: `latest` when nothing is said; a digest makes its tag void, as in Docker."""
        if self.digest:
            return Reference(self.domain, self.path, None, self.digest)
        return Reference(self.domain, self.path, self.tag or DEFAULT_TAG)

    def with_tag(self, tag: str) -> "Reference":
        """The same name and digest under `tag`. Raises InvalidReference."""
        if not is_tag(tag):
            raise InvalidReference(f"invalid tag format: {tag}", hint="a tag is letters, digits, _ . - and at most 128 long")
        return Reference(self.domain, self.path, tag, self.digest)

    def with_digest(self, digest: str) -> "Reference":
        """The same name and tag at `digest`, of which only the form is checked. Raises InvalidReference."""
        if not _is_digest_text(digest):
            raise InvalidReference(f"invalid digest format: {digest}")
        return Reference(self.domain, self.path, self.tag, digest)

    def without_tag(self) -> "Reference":
        return Reference(self.domain, self.path)


def is_tag(text: str) -> bool:
    return bool(text) and len(text) <= _TAG_MAX and text[0] in _TAG_FIRST and _TAG_REST.issuperset(text)


def is_domain(text: str) -> bool:
    """Whether `text` is a registry host with an optional port."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not host or not (_HEX | {":"}).issuperset(host):
            return False
        return not port or (port[0] == ":" and _is_port(port[1:]))
    host, colon, port = text.partition(":")
    if colon and not _is_port(port):
        return False
    return all(_is_label(label) for label in host.split("."))


def _is_port(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _is_label(text: str) -> bool:
    return bool(text) and text[0] in _ALNUM and text[-1] in _ALNUM and (_ALNUM | {"-"}).issuperset(text)


def _is_component(text: str) -> bool:
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    joint = ""
    for char in text:
        if char not in _LOWER:
            joint += char
            continue
        if joint not in _JOINTS and joint.strip("-"):
            return False
        joint = ""
    return True


def is_path(text: str) -> bool:
    return all(_is_component(part) for part in text.split("/"))


def _is_digest_text(text: str) -> bool:
    name, colon, value = text.partition(":")
    if not colon or len(value) < 32 or not _HEX.issuperset(value):
        return False
    for separator in "-_+":
        name = name.replace(separator, ".")
    return all(word and word[0] in _ALNUM - _DIGITS and _ALNUM.issuperset(word) for word in name.split("."))


def _split(text: str) -> tuple[str, str, str | None, str | None] | None:
    """(domain, path, tag, digest) by the grammar, None when the text does not follow it."""
    rest, at, digest = text.partition("@")
    if at and not _is_digest_text(digest):
        return None
    slash, colon = rest.rfind("/"), rest.rfind(":")
    tag: str | None = None
    if colon > slash:
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not is_tag(tag):
            return None
    first, cut, remote = rest.partition("/")
    if cut and is_domain(first) and is_path(remote):
        return first, remote, tag, digest if at else None
    return ("", rest, tag, digest if at else None) if is_path(rest) else None


def parse_bare(text: str) -> Reference:
    """Read `text` by the grammar alone: no docker.io, no library/. Raises InvalidReference."""
    if not text:
        raise InvalidReference("repository name must have at least one component")
    parts = _split(text)
    if parts is None:
        if _split(text.lower()) is not None:
            raise InvalidReference(f"{_INVALID}: repository name must be lowercase: {text}")
        raise InvalidReference(_INVALID, hint=f"a name looks like [registry/]repository[:tag]: {text}")
    domain, path, tag, digest = parts
    if len(path) > _PATH_MAX:
        raise InvalidReference(f"repository name must not be more than {_PATH_MAX} characters")
    if digest:
        try:
            digests.validate(digest)
        except InvalidArgument as error:
            raise InvalidReference(f"{error.message}: {digest}") from None
    return Reference(domain, path, tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    """Docker's rule for what of a name is a registry: it has a dot or colon, an upper-case letter, or is localhost."""
    domain, slash, remote = text.partition("/")
    if not slash or (domain != "localhost" and "." not in domain and ":" not in domain and domain.lower() == domain):
        domain, remote = DEFAULT_DOMAIN, text
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remote:
        remote = f"library/{remote}"
    return domain, remote


def parse(text: str) -> Reference:
    """Read an image name as a user types it; adds docker.io and library/, never a tag. Raises InvalidReference."""
    if digests.is_hex(text):
        raise InvalidReference(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remote = _split_domain(text)
    repository = remote.partition(":")[0]
    if repository.lower() != repository:
        raise InvalidReference(f"{_INVALID}: repository name ({repository}) must be lowercase")
    return parse_bare(f"{domain}/{remote}")


def parse_canonical(text: str) -> Reference:
    """Read a name that must already be in its full form. Raises InvalidReference."""
    found = parse(text)
    if str(found) != text:
        raise InvalidReference(f"repository name must be canonical: {text}", hint=f"write {found}")
    return found


def parse_any(text: str) -> "Reference | str":
    """A name, or the digest that a 64-digit id or a digest text stands for. Raises InvalidReference."""
    if digests.is_hex(text):
        return f"sha256:{text}"
    return text if digests.is_digest(text) else parse(text)


def tag_target(text: str) -> Reference:
    """The name that `tag` or `build -t` gives to an image: `latest` by default, no digest. Raises InvalidReference."""
    try:
        found = parse(text)
    except InvalidReference as error:
        message = f'error parsing reference: "{text}" is not a valid repository/tag: {error.message}'
        raise InvalidReference(message, hint=error.hint) from None
    if found.digest:
        raise InvalidReference("refusing to create a tag with a digest reference", hint=f"leave out @{found.digest}")
    return found.with_default_tag()


def matches(ref: Reference, pattern: str) -> bool:
    """The filter reference=PATTERN: the familiar form, with or without its tag. Raises InvalidArgument."""
    from boxship.oci.pathmatch import match

    return match(pattern, ref.familiar()) or match(pattern, ref.familiar_name)


def _rank(text: str) -> int:
    try:
        found = parse_any(text)
    except InvalidReference:
        return 4
    if isinstance(found, str):
        return 3
    if found.digest:
        return 0 if found.tag else 2
    return 1 if found.tag else 3


def sort(texts: "Iterable[str]") -> list[str]:
    """By how much they say: tag and digest, tag, digest, neither, unreadable; then by text."""
    return sorted(texts, key=lambda text: (_rank(text), text))
