"""User and group names of COPY --chown and of WORKDIR under USER, looked up in the image that is being built. Pure."""

from __future__ import annotations

from boxship.build.upper import Owner
from boxship.errors import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], bytes | None]
    """A file of the image by its path; None when it is not there."""

_MAX_ID = (1 << 31) - 1


def lookup(text: str, read: Read) -> Owner:
    """`user[:group]`, each a name or a number. A number alone is the group's too, a name brings its own group.

    A name that is not in /etc/passwd is root, one that is not in /etc/group changes nothing: so it is in BuildKit, and
    Dockerfiles name users that a later line makes.
    """
    user, colon, group = text.partition(":")
    owner = _user(user, read)
    if not (colon and group):
        return owner
    gid = _group(group, read)
    return owner if gid is None else Owner(owner.uid, gid)


def _number(text: str) -> int | None:
    if text in ("", "root"):
        return 0
    if not (text.isascii() and text.isdecimal()):
        return None
    if int(text) > _MAX_ID:
        raise BuildFailed(f"uids and gids must be in range 0-{_MAX_ID}: {text}")
    return int(text)


def _user(text: str, read: Read) -> Owner:
    number = _number(text)
    if number is not None:
        return Owner(number, number)
    for fields in _lines(read("/etc/passwd"), 4):
        if fields[0] == text and fields[2].isdecimal() and fields[3].isdecimal():
            return Owner(int(fields[2]), int(fields[3]))
    return Owner()


def _group(text: str, read: Read) -> int | None:
    number = _number(text)
    if number is not None:
        return number
    for fields in _lines(read("/etc/group"), 3):
        if fields[0] == text and fields[2].isdecimal():
            return int(fields[2])
    return None


def _lines(data: bytes | None, least: int) -> list[list[str]]:
    text = (data or b"").decode("utf-8", "replace")
    rows = (line.split(":") for line in text.splitlines())
    return [row for row in rows if len(row) >= least]
