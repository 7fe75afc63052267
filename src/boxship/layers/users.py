"""`user[:group]` looked up in the texts of /etc/passwd and /etc/group, by the rules of moby/sys/user. Pure, on the run path.

A numeric user is always an id, never a name: an image whose passwd calls somebody "1000" must not make `--user 1000`
that somebody (CVE-2016-3697). The files belong to the image: only the first MiB counts, damaged lines are passed over.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxship.layers.view import View

FILE_LIMIT = 1 << 20
_ID_MAX = (1 << 31) - 1


class User:
    """uid, gid, the supplementary gids in file order, the home directory ("/" when passwd does not know the user)."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: "list[int]", home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def _atoi(text: str) -> "int | None":
    """Go's strconv.Atoi: a sign and decimal digits within 64 bits, else None."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or len(digits) > 30 or not digits.isascii() or not digits.isdigit():
        return None
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else None


def _lines(data: "bytes | None", fields: int) -> "Iterator[list[str]]":
    for raw in (data or b"")[:FILE_LIMIT].split(b"\n"):
        line = raw.strip()
        if line:
            parts = line.decode("utf-8", "surrogateescape").split(":")
            yield parts + [""] * (fields - len(parts))


def _in_range(value: int) -> int:
    if not 0 <= value <= _ID_MAX:
        raise InvalidArgument(f"uids and gids must be in range 0-{_ID_MAX}: {value}")
    return value


def _file_id(text: str) -> int:
    return _in_range(_atoi(text) or 0)


def lookup(spec: str, passwd: "bytes | None" = None, group: "bytes | None" = None) -> User:
    """Whom `spec` ("", "name", "1000", "name:group", ":group") stands for. Raises InvalidArgument in Docker's words."""
    name, _, rest = spec.partition(":")
    group_name = rest.partition(":")[0]
    uid = _atoi(name)
    found = _find_user(name, uid, passwd)
    if found is not None:
        user = User(_file_id(found[2]), _file_id(found[3]), [], found[5] or "/")
    elif not name:
        user = User(0, 0, [], "/")
    elif uid is not None:
        user = User(_in_range(uid), 0, [], "/")
    else:
        raise InvalidArgument(
            f"unable to find user {name}: no matching entries in passwd file", hint="name a user of the image, or a numeric id"
        )
    if group_name:
        user.gid = _find_group(group_name, group)
    elif found is not None and found[0]:
        user.groups = [_file_id(line[2]) for line in _lines(group, 4) if found[0] in line[3].split(",")]
    return user


def _find_user(name: str, uid: "int | None", passwd: "bytes | None") -> "list[str] | None":
    for line in _lines(passwd, 7):
        if not name:
            if (_atoi(line[2]) or 0) == 0:
                return line
        elif uid is not None:
            if (_atoi(line[2]) or 0) == uid:
                return line
        elif line[0] == name:
            return line
    return None


def _find_group(name: str, group: "bytes | None") -> int:
    gid = _atoi(name)
    for line in _lines(group, 4):
        if (gid is not None and (_atoi(line[2]) or 0) == gid) or (gid is None and line[0] == name):
            return _file_id(line[2])
    if gid is None:
        raise InvalidArgument(
            f"unable to find group {name}: no matching entries in group file", hint="name a group of the image, or a numeric id"
        )
    return _in_range(gid)


def extra_groups(names: "list[str]", group: "bytes | None") -> "list[int]":
    """The gids of --group-add, without repeats. Raises InvalidArgument for a name that the image does not know."""
    out: list[int] = []
    for name in names:
        gid = next((_file_id(line[2]) for line in _lines(group, 4) if name in (line[0], line[2])), None)
        if gid is None:
            number = _atoi(name)
            if number is None:
                raise InvalidArgument(f"unable to find group {name}: no matching entries in group file")
            gid = _in_range(number)
        if gid not in out:
            out.append(gid)
    return out


def lookup_in(view: "View", spec: str) -> User:
    """lookup() with the passwd and group files of a merged tree. A file that is larger than 1 MiB counts as absent."""
    return lookup(spec, view.read("/etc/passwd", FILE_LIMIT), view.read("/etc/group", FILE_LIMIT))
