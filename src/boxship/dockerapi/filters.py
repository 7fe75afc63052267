"""Filters of list requests: {"name": ["value", ...]}. From -f terms, and from the `filters` query parameter. Pure."""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_TRUE, _FALSE = ("1", "true"), ("0", "false")


def collect(terms: "Iterable[tuple[str, str]]") -> "dict[str, list[str]]":
    """-f a=x -f a=y -f b=z -> {"a": ["x", "y"], "b": ["z"]}; a term given twice counts once."""
    found: dict[str, list[str]] = {}
    for name, value in terms:
        values = found.setdefault(name, [])
        if value not in values:
            values.append(value)
    return found


def decode(text: "str | bytes") -> "dict[str, list[str]]":
    """The query parameter: lists, or (API before 1.22) maps to true. Raises InvalidArgument."""
    if not text:
        return {}
    import json

    try:
        document = json.loads(text)
    except ValueError:
        raise InvalidArgument("invalid filter: not a JSON object") from None
    if not isinstance(document, dict):
        raise InvalidArgument("invalid filter: not a JSON object")
    return {name: _values(name, values) for name, values in document.items()}


def _values(name: str, values: object) -> "list[str]":
    if isinstance(values, dict):
        values = [value for value, wanted in values.items() if wanted]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidArgument(f"invalid filter: {name}")
    return values


def encode(filters: "dict[str, list[str]]") -> str:
    """As the query parameter's map form, which every API version reads; "" for no filters."""
    if not filters:
        return ""
    from boxship.fastjson import dumps

    return dumps({name: dict.fromkeys(sorted(values), True) for name, values in sorted(filters.items())})


def boolean(filters: "dict[str, list[str]]", name: str, default: bool) -> bool:
    """A filter that is true or false. Raises InvalidArgument for anything else, or for both."""
    values = filters.get(name)
    if not values:
        return default
    if all(value in _TRUE for value in values):
        return True
    if all(value in _FALSE for value in values):
        return False
    shown = " ".join(sorted(values))
    raise InvalidArgument(f"invalid filter '{name}=[{shown}]'", hint="use true or false")
