"""The build context: a directory, seen through its .dockerignore, never left through a link.

Directories are read when a COPY asks for them, so a Dockerfile that copies one file costs one lstat. Contents are
hashed once and remembered with the file's stamp (size, mtime, ctime, inode); the next build walks and compares.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP, ENOENT, ENOTDIR

from boxship.layers.view import MAX_LINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from boxship.build.ignore import Matcher
    from boxship.build.tree import Node

    Stamp = tuple[int, int, int, int]
    """size, mtime_ns, ctime_ns, inode"""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry:
    """A node of the context. `path` is absolute inside it; `real` is on the host."""

    __slots__ = ("info", "path", "root")

    def __init__(self, path: str, root: str, info: os.stat_result) -> None:
        self.path = path
        self.root = root
        self.info = info

    @property
    def real(self) -> str:
        return self.root + self.path


class Stamps:
    """Digests of the context's files from earlier builds, and what this build adds.

    A file changed within `RACE` before it was hashed may have been changed again in the same tick of the clock: its
    stamp proves nothing and it is hashed anew, as git does with its index (git's Documentation/technical/racy-git.txt).
    """

    RACE = 2_000_000_000

    def __init__(self, known: dict[str, tuple[Stamp, int, bytes]], now: Callable[[], int]) -> None:
        self.known = known
        self.fresh: dict[str, tuple[Stamp, int, bytes]] = {}
        self._now = now

    def get(self, path: str, info: os.stat_result) -> bytes | None:
        found = self.known.get(path)
        if found is None:
            return None
        mtime, ctime = info.st_mtime_ns, info.st_ctime_ns
        if found[0] != (info.st_size, mtime, ctime, info.st_ino):
            return None
        return found[2] if (mtime if mtime > ctime else ctime) + self.RACE <= found[1] else None

    def put(self, path: str, info: os.stat_result, digest: bytes) -> None:
        self.known[path] = self.fresh[path] = (_stamp(info), self._now(), digest)


def _stamp(info: os.stat_result) -> Stamp:
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def _matcher(patterns: list[str]) -> Matcher:
    from boxship.build.ignore import Matcher

    return Matcher(patterns)


class Context:
    """The directory `root`. Close it when the build ends."""

    keeps_owner = False

    def __init__(self, root: str, patterns: list[str], stamps: Stamps) -> None:
        self.root = root
        self.stamps = stamps
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._ignore = _matcher(patterns) if patterns else None
        self._children: dict[str, dict[str, Entry]] = {}
        self._prefix = root.rstrip("/")
        self._top = Entry("/", self._prefix, os.fstat(self._fd))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def find(self, path: str, follow_last: bool = True) -> Node | None:
        stack = [self._top]
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                stack = stack[:-1] or stack
                continue
            if not stat.S_ISDIR(stack[-1].info.st_mode):
                raise OSError(ENOTDIR, os.strerror(ENOTDIR), stack[-1].path)
            found = self._child(stack[-1], name)
            if found is None:
                return None
            if stat.S_ISLNK(found.info.st_mode) and (pending or follow_last):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP), path)
                target = os.readlink(found.real)
                if target.startswith("/"):
                    del stack[1:]
                pending.extend(part for part in reversed(target.split("/")) if part and part != ".")
                continue
            stack.append(found)
        return stack[-1]

    def _child(self, parent: Entry, name: str) -> Entry | None:
        listed = self._children.get(parent.path)
        if listed is not None:
            return listed.get(name)
        path = f"{parent.path.rstrip('/')}/{name}"
        try:
            entry = Entry(path, self._prefix, os.lstat(self._prefix + path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return entry if self._visible(entry) else None

    def children(self, node: Node) -> list[Node]:
        listed = self._children.get(node.path)
        if listed is None:
            listed = self._children[node.path] = self._scan(node)
        return list(listed.values())

    def is_gone(self, path: str) -> bool:
        """Whether a directory that was read lacks the file; False where nobody looked."""
        folder, _, name = path.rpartition("/")
        listed = self._children.get(folder or "/")
        return listed is not None and name not in listed

    def _scan(self, node: Node) -> dict[str, Entry]:
        prefix = node.path.rstrip("/")
        fd = self._open(node.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(fd) as listing:
                infos = {item.name: item.stat(follow_symlinks=False) for item in listing}
        finally:
            os.close(fd)
        root = self._prefix
        found = {name: Entry(f"{prefix}/{name}", root, infos[name]) for name in sorted(infos)}
        if self._ignore is None and not any(stat.S_ISSOCK(info.st_mode) for info in infos.values()):
            return found
        return {name: entry for name, entry in found.items() if self._visible(entry)}

    def _visible(self, entry: Entry) -> bool:
        """Sockets are no part of a context; an ignored directory is, when an exception (`!`) brings something in it back."""
        if stat.S_ISSOCK(entry.info.st_mode):
            return False
        if self._ignore is None or not self._ignore.matches(entry.path[1:]):
            return True
        if not stat.S_ISDIR(entry.info.st_mode) or self._ignore.may_skip_dir(entry.path[1:]):
            return False
        return bool(self.children(entry))

    def _open(self, path: str, flags: int) -> int:
        """No part of the path may be a link: each is opened from the one before it. `..` never stands in a node's path."""
        *folders, last = path.strip("/").split("/")
        at = self._fd
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER, dir_fd=at)
                if at != self._fd:
                    os.close(at)
                at = below
            return os.open(last or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
        finally:
            if at != self._fd:
                os.close(at)

    def open(self, node: Node) -> int:
        # O_NONBLOCK: a fifo that took the file's place must not hang the build
        fd = self._open(node.path, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(ENOENT, os.strerror(ENOENT), node.path)
        return fd

    def digest(self, node: Node) -> str:
        known = self.stamps.get(node.path, node.info)
        if known is not None:
            return known.hex()
        from boxship.build.tree import digest_of

        fd = self.open(node)
        try:
            info = os.fstat(fd)
            digest = digest_of(fd)
        finally:
            os.close(fd)
        self.stamps.put(node.path, info, bytes.fromhex(digest))
        return digest
