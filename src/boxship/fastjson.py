"""JSON for the run path, without `re`.

The json package imports re (5 ms of every command) only to skip white space and to find string ends; the
interpreter's own C scanner and encoder do the work in both cases. Documents that Boxship wrote itself are compact,
so this module is enough for them. Bytes from outside go through the json package. Falls back to it on interpreters
whose json has no C half.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii as _escape
    from _json import make_encoder as _make_encoder
    from _json import make_scanner as _make_scanner
except ImportError:  # pragma: no cover - PyPy and friends
    import json as _json

    loads = _json.loads

    def dumps(value: "Any") -> str:
        return _json.dumps(value, separators=(",", ":"))

else:

    class _Context:
        """What the C scanner asks of a JSONDecoder."""

        strict = False
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = float
        memo: "dict[str, str]" = {}

    _scan = _make_scanner(_Context())  # type: ignore[arg-type]

    def _refuse(value: object) -> "Any":
        raise TypeError(f"no JSON for {type(value).__name__}")

    # markers, default, encoder, indent, key separator, item separator, sort keys, skip keys, allow NaN
    _encode = _make_encoder(None, _refuse, _escape, None, ":", ",", False, False, False)

    def loads(text: "str | bytes") -> "Any":  # type: ignore[misc]
        """Parse a compact document. Raises ValueError on anything else."""
        if isinstance(text, bytes):
            text = text.decode()
        text = text.strip()
        try:
            value, end = _scan(text, 0)
        except StopIteration as stop:
            raise ValueError(f"not JSON at {stop.value}") from None
        if end != len(text):
            raise ValueError(f"not JSON at {end}")
        return value

    def dumps(value: "Any") -> str:
        """The compact document of `value`: dicts, lists, str, int, float, bool and None."""
        return "".join(_encode(value, 0))
