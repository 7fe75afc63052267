"""COPY and ADD: files go straight into the new layer's directory, by the rules of BuildKit's copier.

    source is a directory   its contents go into the destination, which is made when missing (0755, or --chmod)
    source is a file        goes to the destination, or into it when it is a directory
    destination exists      a file may replace a file or link; a directory and a file never replace each other
    links                   the destination's are followed inside the root; those in a copied directory are copied

A layer holds what was copied and the directories it stands in, nothing else.
"""

from __future__ import annotations

import os
import posixpath
import stat
from errno import EINVAL, ENOSYS, ENOTSUP, EPERM, EXDEV

from boxship.build import owners
from boxship.build.record import record
from boxship.build.selection import Selected
from boxship.build.tree import is_dir, xattrs
from boxship.build.upper import ROOT, Owner, Upper
from boxship.errors import BoxshipError, BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from boxship.build import graph
    from boxship.build.tree import Node, Tree

    class Cancelled(Protocol):
        def __call__(self) -> None:
            """Raises when the build was cancelled."""


_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RANGE = (EXDEV, EINVAL, ENOSYS, ENOTSUP, EPERM)
_CHUNK = 1 << 20


@record
class Loose:
    """A single file that is in no tree: a download or a here-document. `path` is where it lies now."""

    name: str
    path: str
    mode: int
    mtime_ns: int


Item = Selected | Loose


def copy_files(op: graph.CopyFiles, upper: Upper, sources: list[list[Item]], check: Cancelled) -> None:
    """Everything of one COPY or ADD, by source. Raises BuildFailed, OSError."""
    owner = owners.lookup(op.chown, upper.read) if op.chown else None
    placed: set[str] = set()
    for items in sources:
        # of what one wildcard matches the last may win, as in BuildKit; files named one by one must not hide each other
        mine = {_copy_one(op, upper, owner, item, check) for item in items} - {""}
        if mine & placed:
            keyword = "ADD" if op.unpack else "COPY"
            raise BuildFailed(
                f"When using {keyword} with more than one source file, the destination must be a directory and end with a /",
                hint=f"write {op.dest}/",
            )
        placed |= mine
    upper.finish()


def _copy_one(op: graph.CopyFiles, upper: Upper, owner: Owner | None, item: Item, check: Cancelled) -> str:
    """The destination when it became the file; "" for what went into a directory."""
    job = _Copy(op, upper, owner, check)
    if isinstance(item, Loose):
        return job.loose(item)
    if op.unpack and _is_archive(item):
        job.unpack(item)
        return ""
    return job.tree(item)


class _Copy:
    """One source. Hard links are kept within it."""

    def __init__(self, op: graph.CopyFiles, upper: Upper, owner: Owner | None, check: Cancelled) -> None:
        self.op = op
        self.upper = upper
        self.owner = owner
        self.check = check
        self._inodes: dict[tuple[int, int], str] = {}
        self._privileged = os.geteuid() == 0

    # --- where

    def _made_mode(self) -> int:
        return 0o755 if self.op.chmod is None else self.op.chmod

    def _target(self, name: str, directory: bool) -> tuple[str, str]:
        """(the resolved path the source goes to, the same when it is the destination itself); parents are made."""
        upper, dest = self.upper, self.op.dest
        ensure = dest if dest.endswith(("/", "/.")) else posixpath.dirname(dest)
        upper.make_directories(upper.resolve(ensure), self._made_mode(), self.owner or ROOT)
        alone = target = upper.resolve(dest)
        info = upper.lstat(target)
        if not directory and info is not None and stat.S_ISDIR(info.st_mode):
            target = posixpath.join(target, name)
            alone = ""
        parent = target if directory and info is None else posixpath.dirname(target)
        upper.make_directories(parent, self._made_mode(), self.owner or ROOT)
        return target, alone

    # --- what

    def tree(self, item: Selected) -> str:
        directory = is_dir(item.node)
        target, alone = self._target(item.name, directory)
        self._node(item.tree, item.node, target, overwrite=False)
        return "" if directory else alone

    def loose(self, item: Loose) -> str:
        target, alone = self._target(item.name, directory=False)
        real = self._vacate(target)
        source = os.open(item.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._write(source, real)
        finally:
            os.close(source)
        owner = self.owner or ROOT
        self._dress(real, owner, item.mode if self.op.chmod is None else self.op.chmod)
        os.utime(real, ns=(item.mtime_ns, item.mtime_ns))
        return alone

    def unpack(self, item: Selected) -> None:
        """An archive's content, owned as it says; links in it can't leave the destination."""
        from boxship.layers.apply import apply
        from boxship.layers.compression import inflate

        target = self.upper.resolve(self.op.dest)
        self.upper.make_directories(target, 0o755, self.owner or ROOT)
        self.upper.copy_up(target)
        lowers = self.upper.merged(target)
        owner = (self.owner.uid, self.owner.gid) if self.owner else None
        with os.fdopen(item.tree.open(item.node), "rb") as file:
            apply(inflate(file), self.upper.real(target), lowers, whiteouts=False, owner=owner)
        self.upper.forget()

    def _node(self, tree: Tree, node: Node, target: str, *, overwrite: bool) -> None:
        if is_dir(node):
            self._directory(tree, node, target, overwrite=overwrite)
            return
        self.check()
        if stat.S_ISSOCK(node.info.st_mode):
            return  # no archive can hold one
        real = self._vacate(target)
        kind = stat.S_IFMT(node.info.st_mode)
        if kind == stat.S_IFREG:
            if not self._file(tree, node, real):
                return
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(node.real), real)
        else:
            self._device(node, real)
        self._info(tree, node, real)

    def _directory(self, tree: Tree, node: Node, target: str, *, overwrite: bool) -> None:
        info = self.upper.lstat(target)
        if info is not None and not stat.S_ISDIR(info.st_mode):
            raise BuildFailed(f"cannot copy to non-directory: {target}", hint="a file of that name is in the way")
        real = self.upper.real(target)
        if info is None:
            self.upper.copy_up(posixpath.dirname(target))
            os.mkdir(real, 0o700)
            self.upper.note_directory(target)
        else:
            self.upper.copy_up(target)
        for child in tree.children(node):
            self._node(tree, child, posixpath.join(target, posixpath.basename(child.path)), overwrite=True)
        if overwrite or info is None:
            self._info(tree, node, real)
        self.upper.keep_time(target, (node.info.st_atime_ns, node.info.st_mtime_ns))

    def _vacate(self, target: str) -> str:
        """Where a new entry that is no directory goes; an older file or link there is dropped."""
        info = self.upper.lstat(target)
        if info is not None and stat.S_ISDIR(info.st_mode):
            raise BuildFailed(f"cannot replace to directory {target} with file", hint="a directory of that name is in the way")
        self.upper.copy_up(posixpath.dirname(target))
        real = self.upper.real(target)
        if info is not None:
            try:
                os.unlink(real)
            except FileNotFoundError:
                pass
        return real

    def _file(self, tree: Tree, node: Node, real: str) -> bool:
        """False when it became a hard link to one that has its attributes already."""
        inode = (node.info.st_dev, node.info.st_ino)
        if node.info.st_nlink > 1 and (first := self._inodes.get(inode)) is not None:
            os.link(first, real)
            return False
        source = tree.open(node)
        try:
            self._write(source, real)
            after = os.fstat(source)
        finally:
            os.close(source)
        # what was hashed and what was copied must be the same, or the cache would remember a lie
        if (after.st_size, after.st_mtime_ns, after.st_ino) != (node.info.st_size, node.info.st_mtime_ns, node.info.st_ino):
            raise BuildFailed(f"file changed while it was copied: {node.path}", hint="build again when nothing writes there")
        if node.info.st_nlink > 1:
            self._inodes[inode] = real
        return True

    def _write(self, source: int, real: str) -> None:
        target = os.open(real, _CREATE, 0o600)
        try:
            copy_content(source, target)
        finally:
            os.close(target)

    @staticmethod
    def _device(node: Node, real: str) -> None:
        info = node.info
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            raise BuildFailed(f"device 0:0 can't be copied: {node.path}", hint="overlayfs takes such a device for a deleted file")
        os.mknod(real, info.st_mode, info.st_rdev)

    # --- how it looks

    def _info(self, tree: Tree, node: Node, real: str) -> None:
        info = node.info
        owner = self.owner or (Owner(info.st_uid, info.st_gid) if tree.keeps_owner else ROOT)
        mode = stat.S_IMODE(info.st_mode) if self.op.chmod is None else self.op.chmod
        self._dress(real, owner, None if stat.S_ISLNK(info.st_mode) else mode)
        if tree.keeps_owner:
            for name, value in xattrs(node).items():
                _set_xattr(real, name, value)
        os.utime(real, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)

    def _dress(self, real: str, owner: Owner, mode: int | None) -> None:
        # chown before chmod: it clears the set-user-ID bit (chown(2))
        if owner != ROOT or not self._privileged:
            os.chown(real, owner.uid, owner.gid, follow_symlinks=False)
        if mode is not None:
            os.chmod(real, mode)


def _set_xattr(real: str, name: str, value: bytes) -> None:
    try:
        os.setxattr(real, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (ENOTSUP, EPERM, EINVAL):
            raise


def copy_content(source: int, target: int) -> None:
    """All of a file, inside the kernel and as shared blocks where the file system can."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
        return
    except OSError as error:
        if error.errno not in _NO_RANGE:
            raise
    while chunk := os.read(source, _CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]


def _is_archive(item: Selected) -> bool:
    """Does the file begin like a tar, plain or compressed?"""
    if not stat.S_ISREG(item.node.info.st_mode) or item.node.info.st_size == 0:
        return False
    from boxship.layers import tar
    from boxship.layers.compression import inflate

    with os.fdopen(item.tree.open(item.node), "rb") as file:
        try:
            return tar.Reader(inflate(file)).next() is not None
        except (BoxshipError, EOFError, OSError, ValueError):
            return False
