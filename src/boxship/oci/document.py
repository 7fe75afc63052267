"""JSON documents from outside: read with a bound, checked field by field, refused in one clear line.

The bytes come from registries, archives and layouts that nobody here vouches for. Every check names the field.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def _refuse_constant(name: str) -> "Any":
    raise ValueError(f"{name} is no JSON value")


def load(data: bytes, limit: int, what: str) -> "dict[str, Any]":
    """The object in `data`, of which `limit` bytes at most are looked at. Raises InvalidArgument with `what`."""
    if len(data) > limit:
        raise InvalidArgument(f"invalid {what}: larger than {limit} bytes")
    import json

    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidArgument(f"invalid {what}: nested too deeply") from None
    except ValueError as error:
        raise InvalidArgument(f"invalid {what}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"invalid {what}: not a JSON object")
    return document


def dump(document: "dict[str, Any]", indent: int | None = None) -> bytes:
    """The bytes of a document we write: keys in the order given, UTF-8, compact unless `indent` is given."""
    if indent is None and (encode := _encoder()) is not None:
        return "".join(encode(document, 0)).encode("utf-8")
    import json

    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(document, ensure_ascii=False, indent=indent, separators=separators).encode("utf-8")


def _encoder() -> "Callable[[Any, int], Iterable[str]] | None":
    """What json.dumps(ensure_ascii=False) calls for compact documents; json itself imports re, 6 ms. None: not in this Python."""
    try:
        from _json import encode_basestring, make_encoder  # type: ignore[attr-defined, unused-ignore]
    except ImportError:  # pragma: no cover - PyPy and friends
        return None

    def refuse(value: object) -> "Any":
        raise TypeError(f"no JSON for {type(value).__name__}")

    # markers, default, encoder, indent, key separator, item separator, sort keys, skip keys, allow NaN
    encode: Callable[[Any, int], Iterable[str]] = make_encoder(None, refuse, encode_basestring, None, ":", ",", False, False, True)
    return encode


def wrong(what: str, key: str, kind: str) -> InvalidArgument:
    return InvalidArgument(f"invalid {what}: {key} is not {kind}")


def text(document: "dict[str, Any]", key: str, what: str, *, required: bool = False) -> str:
    """A string without NUL bytes, "" when absent or null."""
    value = document.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise wrong(what, key, "a string")
    if "\0" in value:
        raise wrong(what, key, "a string without NUL bytes")
    return value


def number(document: "dict[str, Any]", key: str, what: str) -> int:
    """A whole number, 0 or more, at most 2^63-1; it must be there."""
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(what, key, "a whole number")
    if not 0 <= value < 1 << 63:
        raise wrong(what, key, "between 0 and 2^63-1")
    return value


def flag(document: "dict[str, Any]", key: str, what: str) -> bool:
    value = document.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(what, key, "true or false")
    return value


def texts(document: "dict[str, Any]", key: str, what: str) -> list[str]:
    """A list of strings without NUL bytes, [] when absent or null."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise wrong(what, key, "a list of strings")
    return value


def text_map(document: "dict[str, Any]", key: str, what: str) -> dict[str, str]:
    """An object whose values are strings, {} when absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise wrong(what, key, "an object of strings")
    return value


def empty_map(document: "dict[str, Any]", key: str, what: str) -> "dict[str, Any]":
    """A set as Go writes it: an object whose values are {} (or null); {} when absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(one is None or isinstance(one, dict) for one in value.values()):
        raise wrong(what, key, "an object of empty objects")
    if any("\0" in name for name in value):
        raise wrong(what, key, "free of NUL bytes")
    return value


def mapping(document: "dict[str, Any]", key: str, what: str) -> "dict[str, Any]":
    """An object, {} when absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(what, key, "an object")
    return value


def objects(document: "dict[str, Any]", key: str, what: str, most: int) -> "list[dict[str, Any]]":
    """A list of at most `most` objects, [] when absent or null."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise wrong(what, key, "a list of objects")
    if len(value) > most:
        raise InvalidArgument(f"invalid {what}: more than {most} {key}")
    return value
