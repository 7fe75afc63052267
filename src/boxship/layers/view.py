"""The merged tree of stacked layers, read without mounting.

A layer is an overlay lower directory: a character device 0:0 is a whiteout, a directory with
trusted.overlay.opaque=y hides what is below it (Documentation/filesystems/overlayfs.rst). Paths are the
container's; symbolic links resolve inside the root, as in a chroot. On the run path: the standard library's light
half only.
"""

import os
import stat
from errno import EINVAL, ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTSUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OPAQUE = "trusted.overlay.opaque"
WHITEOUT = "trusted.overlay.whiteout"
MAX_LINKS = 40


def is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: "str | int") -> bool:
    """Does the overlay directory hide what lower layers have there?"""
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError as error:
        if error.errno in (ENODATA, ENOTSUP):
            return False
        raise


def _fail(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)


class Found:
    """What stands at a merged path: `real` is where it lies, `info` its lstat, `dirs` all directories that merge there."""

    __slots__ = ("dirs", "info", "path", "real")

    def __init__(self, path: str, real: str, info: os.stat_result, dirs: "tuple[str, ...]") -> None:
        self.path = path
        self.real = real
        self.info = info
        self.dirs = dirs


class View:
    """`lowers`: overlay directories, top first. They must not change while the view is in use (it remembers directories)."""

    def __init__(self, lowers: "list[str] | tuple[str, ...]") -> None:
        self.lowers = tuple(lowers)
        self._dirs: dict[str, Found] = {}

    def _root(self) -> Found:
        found = self._dirs.get("/")
        if found is None:
            if not self.lowers:
                raise _fail(ENOENT, "/")
            found = Found("/", self.lowers[0], os.lstat(self.lowers[0]), _until_opaque(self.lowers))
            self._dirs["/"] = found
        return found

    def _child(self, parent: Found, name: str) -> "Found | None":
        path = f"/{name}" if parent.path == "/" else f"{parent.path}/{name}"
        known = self._dirs.get(path)
        if known is not None:
            return known
        first: os.stat_result | None = None
        dirs: list[str] = []
        for folder in parent.dirs:
            real = f"{folder}/{name}"
            try:
                info = os.lstat(real)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(info.st_mode):
                if not dirs and not is_whiteout(info) and not _is_xattr_whiteout(real, info):
                    return Found(path, real, info, ())
                break
            first = first or info
            dirs.append(real)
        if first is None:
            return None
        found = Found(path, dirs[0], first, _until_opaque(dirs))
        self._dirs[path] = found
        return found

    def find(self, path: str, follow_last: bool = True) -> "Found | None":
        """What stands there, links resolved inside the root; None when there is nothing. Raises OSError: ELOOP, ENOTDIR."""
        found, rest, _ = self._walk(path, follow_last)
        return None if rest else found

    def _walk(self, path: str, follow_last: bool) -> "tuple[Found, list[str], str]":
        """How far the path leads: (last thing found, components that do not exist, the merged path without links)."""
        stack = [self._root()]
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                if len(stack) > 1:
                    stack.pop()
                continue
            here = stack[-1]
            if not stat.S_ISDIR(here.info.st_mode):
                raise _fail(ENOTDIR, here.path)
            found = self._child(here, name)
            if found is None:
                rest = _lexical([name, *reversed(pending)])
                base = "" if here.path == "/" else here.path
                return here, rest or [name], f"{base}/{'/'.join(rest)}".rstrip("/") or "/"
            if stat.S_ISLNK(found.info.st_mode) and (pending or follow_last):
                links += 1
                if links > MAX_LINKS:
                    raise _fail(ELOOP, path)
                target = os.readlink(found.real)
                if target.startswith("/"):
                    del stack[1:]
                pending.extend(part for part in reversed(target.split("/")) if part and part != ".")
                continue
            stack.append(found)
        return stack[-1], [], stack[-1].path

    def resolve(self, path: str, follow_last: bool = True) -> "tuple[str | None, str]":
        """(where it lies or None, the path in the container without links). What does not exist is kept as written."""
        found, rest, merged = self._walk(path, follow_last)
        return (None if rest else found.real), merged

    def _must(self, path: str, follow_last: bool) -> Found:
        found = self.find(path, follow_last)
        if found is None:
            raise _fail(ENOENT, path)
        return found

    def exists(self, path: str) -> bool:
        try:
            return self.find(path) is not None
        except OSError:
            return False

    def lstat(self, path: str) -> os.stat_result:
        return self._must(path, False).info

    def stat(self, path: str) -> os.stat_result:
        return self._must(path, True).info

    def readlink(self, path: str) -> str:
        found = self._must(path, False)
        if not stat.S_ISLNK(found.info.st_mode):
            raise _fail(EINVAL, path)
        return os.readlink(found.real)

    def open(self, path: str) -> int:
        """A descriptor of the file to read from. Never blocks on a fifo; never follows a link out of the root."""
        found = self._must(path, True)
        return os.open(found.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)

    def read(self, path: str, limit: int = 1 << 20) -> "bytes | None":
        """The content of a regular file, at most `limit` bytes; None when there is no such file or it is larger."""
        try:
            found = self.find(path)
            if found is None or not stat.S_ISREG(found.info.st_mode):
                return None
            fd = os.open(found.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            chunks = []
            while limit >= 0 and (chunk := os.read(fd, min(limit + 1, 1 << 18))):
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks) if limit >= 0 else None
        finally:
            os.close(fd)

    def listdir(self, path: str) -> "list[str]":
        """Sorted names. Raises OSError: ENOENT, ENOTDIR."""
        return [found.path.rpartition("/")[2] for found in self.children(self._must(path, True))]

    def children(self, parent: Found) -> "list[Found]":
        """What the directory holds, sorted by name."""
        if not stat.S_ISDIR(parent.info.st_mode):
            raise _fail(ENOTDIR, parent.path)
        names: set[str] = set()
        for folder in parent.dirs:
            names.update(os.listdir(folder))
        found = (self._child(parent, name) for name in sorted(names))
        return [child for child in found if child is not None]

    def walk(self, path: str = "/") -> "Iterator[Found]":
        """Everything below `path` (not itself), parents before children, sorted, links not followed."""
        start = self._must(path, True)
        pending = self.children(start) if stat.S_ISDIR(start.info.st_mode) else []
        pending.reverse()
        while pending:
            found = pending.pop()
            yield found
            if stat.S_ISDIR(found.info.st_mode):
                pending.extend(reversed(self.children(found)))

    def getxattr(self, path: str, name: str, follow_last: bool = True) -> bytes:
        return os.getxattr(self._must(path, follow_last).real, name, follow_symlinks=False)

    def listxattr(self, path: str, follow_last: bool = True) -> "list[str]":
        """Names, without the overlay's own."""
        names = os.listxattr(self._must(path, follow_last).real, follow_symlinks=False)
        return sorted(name for name in names if not name.startswith("trusted.overlay."))


def _lexical(parts: "list[str]") -> "list[str]":
    """`..` taken away from what does not exist, as far as it goes."""
    out: list[str] = []
    for part in parts:
        if part == "..":
            if out:
                out.pop()
        else:
            out.append(part)
    return out


def _until_opaque(dirs: "list[str] | tuple[str, ...]") -> "tuple[str, ...]":
    for number, folder in enumerate(dirs[:-1], 1):
        if is_opaque(folder):
            return tuple(dirs[:number])
    return tuple(dirs)


def _is_xattr_whiteout(real: str, info: os.stat_result) -> bool:
    """The other form of a whiteout, an empty file with an attribute (since Linux 6.7)."""
    if info.st_size or not stat.S_ISREG(info.st_mode):
        return False
    try:
        os.getxattr(real, WHITEOUT, follow_symlinks=False)
    except OSError:
        return False
    return True
