"""Digests as texts: "sha256:HEX". Pure; hashlib comes in only where something is hashed.

Grammar and errors are those of the OCI image-spec (descriptor.md, "Digests") and of Docker's digest library, whose
words its users know.
"""

from boxship.errors import InvalidArgument

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_HEX = frozenset("0123456789abcdef")
_ENCODED = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ=_-")
_SEPARATORS = "+._-"

# hex digits of each algorithm we can compute
LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def is_algorithm(text: str) -> bool:
    """Whether `text` is a well-formed algorithm name: lower-case words joined by single + . _ -"""
    word = False
    for char in text:
        if char in _LOWER:
            word = True
        elif char in _SEPARATORS and word:
            word = False
        else:
            return False
    return word


def is_hex(text: str, length: int = 64) -> bool:
    """Whether `text` is `length` lower-case hex digits: with 64, a full image or container id."""
    return len(text) == length and _HEX.issuperset(text)


def well_formed(text: str) -> bool:
    """Whether a descriptor may carry `text`: strict for algorithms we know, by grammar alone for the others."""
    name, colon, encoded = text.partition(":")
    if name in LENGTHS:
        return is_hex(encoded, LENGTHS[name])
    return bool(colon) and is_algorithm(name) and bool(encoded) and _ENCODED.issuperset(encoded)


def validate(text: str) -> str:
    """`text` itself when it is a digest that we can verify, else InvalidArgument in Docker's words."""
    name, _, encoded = text.partition(":")
    if not name or not encoded:
        raise InvalidArgument("invalid checksum digest format")
    if name not in LENGTHS:
        if not well_formed(text):
            raise InvalidArgument("invalid checksum digest format")
        raise InvalidArgument("unsupported digest algorithm")
    if len(encoded) != LENGTHS[name]:
        raise InvalidArgument("invalid checksum digest length")
    if not _HEX.issuperset(encoded):
        raise InvalidArgument("invalid checksum digest format")
    return text


def is_digest(text: str) -> bool:
    """Whether `validate` would accept it."""
    name, _, encoded = text.partition(":")
    return name in LENGTHS and is_hex(encoded, LENGTHS[name])


def algorithm(text: str) -> str:
    """The part before the colon."""
    return text.partition(":")[0]


def encoded(text: str) -> str:
    """The part after the colon; the text itself when there is no colon."""
    return text.partition(":")[2] or text


def of(data: bytes, name: str = "sha256") -> str:
    """The digest of `data`. Raises InvalidArgument for an algorithm that we don't know."""
    if name not in LENGTHS:
        raise InvalidArgument(f"unsupported digest algorithm: {name}")
    import hashlib

    return f"{name}:{hashlib.new(name, data).hexdigest()}"


def short(text: str) -> str:
    """The 12 characters Docker shows of an id or a digest."""
    return text.partition(":")[2][:12] if ":" in text else text[:12]
