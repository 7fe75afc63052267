"""What COPY reads from: the build context, or the file system of another stage, seen as one kind of tree.

A tree gives nodes (path inside the tree, lstat, where it really lies) and resolves symbolic links inside its own root:
nothing outside can be reached, whatever links the tree holds.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Node(Protocol):
        @property
        def path(self) -> str: ...
        @property
        def real(self) -> str: ...
        @property
        def info(self) -> os.stat_result: ...

    class Tree(Protocol):
        keeps_owner: bool
        """COPY without --chown: true leaves owners and extended attributes as they are, false makes all 0:0."""

        def find(self, path: str, follow_last: bool = True) -> Node | None:
            """What stands there; None when there is nothing. Raises OSError: ELOOP, ENOTDIR."""

        def children(self, node: Node) -> list[Node]:
            """Sorted by name."""

        def open(self, node: Node) -> int:
            """A regular file to read from; a link that took its place meanwhile is not followed."""

        def digest(self, node: Node) -> str:
            """sha256 of a regular file's content, hexadecimal."""

_CHUNK = 1 << 18


class LayerTree:
    """The file system of a stage or image."""

    keeps_owner = True

    def __init__(self, lowers: list[str]) -> None:
        from boxship.layers.view import View

        self._view = View(lowers)
        self._empty = not lowers

    def find(self, path: str, follow_last: bool = True) -> Node | None:
        return None if self._empty else self._view.find(path, follow_last)

    def children(self, node: Node) -> list[Node]:
        found = self._view.find(node.path, False)
        return list(self._view.children(found)) if found is not None else []

    def open(self, node: Node) -> int:
        return os.open(node.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def digest(self, node: Node) -> str:
        fd = self.open(node)
        try:
            return digest_of(fd)
        finally:
            os.close(fd)


def digest_of(fd: int) -> str:
    # OpenSSL here, not the C module for small texts: it is five times as quick, which pays for loading it
    from hashlib import sha256

    state = sha256()
    while chunk := os.read(fd, _CHUNK):
        state.update(chunk)
    return state.hexdigest()


def is_dir(node: Node) -> bool:
    return stat.S_ISDIR(node.info.st_mode)


def xattrs(node: Node) -> dict[str, bytes]:
    """Extended attributes, without the overlay's own."""
    found = {}
    for name in sorted(os.listxattr(node.real, follow_symlinks=False)):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            found[name] = os.getxattr(node.real, name, follow_symlinks=False)
    return found
