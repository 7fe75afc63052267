"""How the values of Docker's list filters are compared (moby api/types/filters). Pure."""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Filters = dict[str, list[str]]

_TRUE, _FALSE = ("1", "true"), ("0", "false")
_PLAIN = frozenset("_-/: ")


def check(filters: "Filters", known: "Iterable[str]") -> None:
    """Raises InvalidArgument in Docker's words for a filter that the list does not have."""
    names = sorted(known)
    for name in filters:
        if name not in names:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(names)}")


def refuse(name: str, value: object) -> InvalidArgument:
    return InvalidArgument(f"invalid filter '{name}={value}'")


def match(filters: "Filters", name: str, text: str) -> bool:
    """One of the values is the text itself, or a regular expression that is found in it; a bad expression never matches."""
    values = filters.get(name)
    return not values or text in values or any(_found(value, text) for value in values)


def _found(expression: str, text: str) -> bool:
    if all(char.isalnum() or char in _PLAIN for char in expression):
        return expression in text
    import re

    try:
        return re.search(expression, text) is not None
    except re.error:
        return False


def exact(filters: "Filters", name: str, text: str) -> bool:
    values = filters.get(name)
    return not values or text in values


def only_exact(filters: "Filters", name: str, text: str) -> bool:
    """One value was given, and it is the text."""
    values = filters.get(name)
    return not values or values == [text]


def prefix(filters: "Filters", name: str, text: str) -> bool:
    values = filters.get(name)
    return not values or any(text.startswith(value) for value in values)


def match_pairs(filters: "Filters", name: str, pairs: "Mapping[str, str] | None") -> bool:
    """Every value, KEY or KEY=VALUE, is among the pairs."""
    found = pairs or {}
    for value in filters.get(name) or ():
        key, equals, wanted = value.partition("=")
        if key not in found or (equals and found[key] != wanted):
            return False
    return True


def boolean(filters: "Filters", name: str, default: bool) -> bool:
    """Raises InvalidArgument for anything but true, 1, false, 0, and for both."""
    values = filters.get(name)
    if not values:
        return default
    if all(value in _TRUE for value in values):
        return True
    if all(value in _FALSE for value in values):
        return False
    raise InvalidArgument(f"invalid filter '{name}=[{' '.join(sorted(values))}]'", hint="use true or false")
