"""The name of a file that ADD fetches."""

from __future__ import annotations

from email.message import Message
from urllib.parse import unquote, urlsplit


def url_name(url: str, content_disposition: str = "") -> str:
    """The last part of the address, else the name the server gives; "" when neither tells.

    Never a name with a slash in it, never "." or "..": the result is joined to a directory of the image.
    """
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = ""
    return _base(path) or _base(_header_name(content_disposition))


def _header_name(value: str) -> str:
    message = Message()
    message["Content-Disposition"] = value.replace("\r", " ").replace("\n", " ")
    return message.get_filename("") if value else ""


def _base(path: str) -> str:
    name = path.rpartition("/")[2]
    return "" if name in (".", "..") or "\x00" in name else name
