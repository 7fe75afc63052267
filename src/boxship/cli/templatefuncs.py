"""The functions of --format templates: Go's own and the ones Docker adds. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Nil:
    """A field that is there and has no value: shown as <nil>, where what is not there is <no value>."""

    def __bool__(self) -> bool:
        return False

    def document(self) -> None:
        return None


NIL = _Nil()


def go_type(value: "Any") -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def truth(value: "Any") -> bool:
    return bool(value)


def shown(value: "Any", *, top: bool = False) -> str:
    """As fmt.Print shows it: maps sorted by key, no quotes."""
    if value is None:
        return "<no value>" if top else "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(shown(item) for item in value) + "]"
    document = getattr(value, "document", None)
    return shown(document()) if document else str(value)


def _float(value: float) -> str:
    text = repr(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return text


def to_json(value: "Any") -> str:
    """Compact JSON; rows become the object of all their fields."""
    import json

    document = getattr(value, "document", None)
    text = json.dumps(document() if document else value, separators=(",", ":"), ensure_ascii=False)
    return escape_html(text) if document else text


def escape_html(text: str) -> str:
    """Go's encoder writes these so unless told otherwise."""
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _text(value: "Any") -> str:
    if not isinstance(value, str):
        kind = "nil" if value is None else go_type(value)
        raise TypeError(f"wrong type for value; expected string; got {kind}")
    return value


def _join(values: "Any", separator: str) -> str:
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"wrong type for value; expected []string; got {go_type(values)}")
    return _text(separator).join(shown(value) for value in values)


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + _text(text) + " " * after if text else _text(text)


def _truncate(text: str, length: int) -> str:
    return _text(text)[:length]


def _title(text: str) -> str:
    pieces, previous = [], " "
    for char in _text(text):
        pieces.append(char.upper() if not (previous.isalnum() or previous in "_'") else char)
        previous = char
    return "".join(pieces)


def _index(value: "Any", *keys: "Any") -> "Any":
    for key in keys:
        if value is None:
            raise TypeError("index of untyped nil")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(key, bool) or not isinstance(key, int):
            raise TypeError(f"cannot index slice/array with type {go_type(key)}")
        elif not 0 <= key < len(value):
            raise LookupError(f"index out of range: {key}")
        else:
            value = value[key] if not isinstance(value, str) else value.encode()[key]
    return value


def _slice(value: "Any", *bounds: int) -> "Any":
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= end <= len(value):
        raise LookupError(f"index out of range: {end if start <= end else start}")
    return value[start:end]


def _printf(form: str, *args: "Any") -> str:
    pieces, position, taken = [], 0, 0
    while position < len(form):
        char = form[position]
        position += 1
        if char != "%":
            pieces.append(char)
            continue
        end = position
        while end < len(form) and form[end] in "+-# 0123456789.":
            end += 1
        flags, verb = form[position:end], form[end : end + 1]
        position = end + 1
        if verb == "%":
            pieces.append("%")
        elif taken >= len(args):
            pieces.append(f"%!{verb}(MISSING)")
        else:
            pieces.append(_verb(flags, verb, args[taken]))
            taken += 1
    if taken < len(args):
        extra = ", ".join(f"{go_type(value)}={shown(value)}" for value in args[taken:])
        pieces.append(f"%!(EXTRA {extra})")
    return "".join(pieces)


def _verb(flags: str, verb: str, value: "Any") -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if verb == "v" or (verb == "s" and not number) or (verb == "t" and isinstance(value, bool)):
        return f"%{flags.replace('#', '').replace('+', '')}s" % shown(value)
    if verb == "q" and isinstance(value, str):
        return f"%{flags}s" % to_json(value)
    if verb in "dxXoc" and isinstance(value, int) and number:
        return f"%{flags}{verb}" % value
    if verb in "xX" and isinstance(value, str):
        return f"%{flags}s" % (value.encode().hex() if verb == "x" else value.encode().hex().upper())
    if verb in "feEgG" and isinstance(value, float):
        return f"%{flags}{verb}" % value
    return f"%!{verb}({go_type(value)}={shown(value)})"


def _same(first: "Any", *others: "Any") -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    for other in others:
        if isinstance(first, (dict, list)) or isinstance(other, (dict, list)):
            raise TypeError("incompatible types for comparison")
        if first is not None and other is not None and isinstance(first, str) != isinstance(other, str):
            raise TypeError("incompatible types for comparison")
    return any(first == other for other in others)


def _compare(test: "Callable[[Any, Any], bool]") -> "Callable[[Any, Any], bool]":
    def compare(left: "Any", right: "Any") -> bool:
        if isinstance(left, str) != isinstance(right, str):
            raise TypeError("incompatible types for comparison")
        return test(left, right)

    return compare


def _print(*values: "Any") -> str:
    pieces: list[str] = []
    for position, value in enumerate(values):
        # Print puts a blank between two values when neither is text
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            pieces.append(" ")
        pieces.append(shown(value))
    return "".join(pieces)


def _length(value: "Any") -> int:
    if value is None:
        raise TypeError("len of nil pointer")
    return len(value.encode()) if isinstance(value, str) else len(value)


FUNCTIONS: "dict[str, Callable[..., Any]]" = {
    "json": to_json,
    "split": lambda text, separator: _text(text).split(separator) if separator else list(text),
    "join": _join,
    "title": _title,
    "lower": lambda text: _text(text).lower(),
    "upper": lambda text: _text(text).upper(),
    "pad": _pad,
    "truncate": _truncate,
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "print": _print,
    "printf": _printf,
    "len": _length,
    "index": _index,
    "slice": _slice,
    "not": lambda value: not truth(value),
    "eq": _same,
    "ne": lambda left, right: not _same(left, right),
    "lt": _compare(lambda left, right: left < right),
    "le": _compare(lambda left, right: left <= right),
    "gt": _compare(lambda left, right: left > right),
    "ge": _compare(lambda left, right: left >= right),
    "html": lambda text: shown(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;"),
    "urlquery": lambda text: _quote(shown(text)),
}

# In the header line of a table the fields are column titles, which these leave alone
HEADER_FUNCTIONS: "dict[str, Callable[..., Any]]" = {
    **dict.fromkeys(("json", "title", "lower", "upper"), lambda text: text),
    "truncate": lambda text, _: text,
    "split": lambda text, _: [text],
}


def _quote(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)
