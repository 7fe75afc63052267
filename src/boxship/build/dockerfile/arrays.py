"""JSON arrays as Go reads them: no NaN, no number beyond a double, half a surrogate pair becomes U+FFFD.

Apart from `lexer`, which reads the usual arrays itself: the json package costs a build that needs no other 6 ms.
"""

from __future__ import annotations

import json
import re

from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read(text: str) -> list[str] | None:
    """The strings of the array; None when the text is none. Raises DockerfileError for other elements than strings."""
    try:
        elements = _DECODER(text)
    except (ValueError, RecursionError):
        return None
    words = [_LONE_SURROGATE.sub("\ufffd", element) for element in elements if isinstance(element, str)]
    if len(words) != len(elements):
        raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only")
    return words


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(digits)
    return value


def _refuse(constant: str) -> float:
    raise ValueError(constant)


_DECODER: Callable[[str], list[object]] = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_refuse
).decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
