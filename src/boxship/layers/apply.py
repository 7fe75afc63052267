"""Tar stream -> directory, in one pass.

    layer      whiteouts on: the result is an overlay lower directory; the diff ID is the hash of the same pass
    archive    whiteouts off: a plain archive put into a tree (ADD, copying into a container)

`lowers` are the overlay directories below, top first; () when there are none, None when they are not known yet: then
LowersNeeded is raised where an entry can't be placed without them, and `Applied.implied` tells settle() what it has to
look at once they are known.
"""

import os
import stat
from errno import EDQUOT, ENOSPC, ENOTSUP, EPERM
from typing import Any, NamedTuple

from boxship.errors import BoxshipError, InvalidArgument, Unavailable
from boxship.layers import tar
from boxship.layers.compression import Readable
from boxship.layers.place import LowersNeeded, Meta, Tree, clean, meta_of
from boxship.layers.view import View
from boxship.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

__all__ = ["Applied", "LowersNeeded", "apply", "settle"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PREFIX = b".wh."
_OPAQUE = b".wh..wh..opq"
_DEVICES = {tar.CHAR: stat.S_IFCHR, tar.BLOCK: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}


class Applied(NamedTuple):
    """`size`: bytes of all files, a link's those of its target's name; `files`: entries; `implied`: directories without one."""

    size: int
    files: int
    implied: tuple[str, ...]


def apply(
    stream: Readable,
    directory: str,
    lowers: "list[str] | tuple[str, ...] | None" = (),
    hasher: Any = None,
    *,
    whiteouts: bool = True,
    owner: tuple[int, int] | None = None,
) -> Applied:
    """Unpack the plain tar `stream` into the existing `directory`; `hasher.update` sees the whole stream.

    `owner` overrides every entry's (uid, gid). Raises InvalidArgument for a bad archive, Unavailable when the disk is full.
    """
    job = _Job(stream, directory, lowers, hasher, whiteouts, owner)
    try:
        return job.run()
    except OSError as error:
        raise _in_words(error, job.name) from None
    finally:
        job.tree.close()


def _in_words(error: OSError, name: bytes) -> BoxshipError:
    where = name[:200].decode(errors="replace")
    if error.errno in (ENOSPC, EDQUOT):
        return Unavailable(f"no space left to unpack: {where}", hint="boxship image prune frees space")
    return InvalidArgument(f"can't unpack {where or '/'}: {(error.strerror or str(error)).lower()}")


class _Job:
    def __init__(
        self,
        stream: Readable,
        directory: str,
        lowers: "list[str] | tuple[str, ...] | None",
        hasher: Any,
        whiteouts: bool,
        owner: tuple[int, int] | None,
    ) -> None:
        self.reader = tar.Reader(stream, hasher)
        self.tree = Tree(directory, lowers)
        self.whiteouts = whiteouts
        self.owner = owner
        self.privileged = os.geteuid() == 0
        self.size = 0
        self.files = 0
        self.name = b""
        room = os.statvfs(directory)
        self.room = room.f_bavail * room.f_frsize

    def run(self) -> Applied:
        root_entry = False
        while header := self.reader.next():
            self.name = header.name
            path = clean(header.name)
            if self.owner is not None:
                header.uid, header.gid = self.owner
            self.files += 1
            if path:
                self._place(header, path)
            elif header.kind == tar.DIR:
                root_entry = True
                self.tree.dirs[b""] = _meta(header)
        self.reader.drain()
        self.name = b""
        if not root_entry and self.whiteouts:
            self._imply_root()
        self._finish_directories()
        implied = tuple(sorted(os.fsdecode(name) for name in self.tree.implied))
        return Applied(self.size, self.files, implied)

    def _imply_root(self) -> None:
        self.tree.implied.add(b"")
        if self.tree.view is not None:
            found = self.tree.view.find("/")
            if found is not None:
                self.tree.dirs[b""] = meta_of(found)

    def _place(self, header: tar.Header, path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        if self.whiteouts and name.startswith(_PREFIX):
            self._whiteout(parent, name)
            return
        kind = header.kind
        if kind == tar.DIR:
            self.tree.directory(parent, name, _meta(header))
            return
        if kind == tar.REG:
            self._file(header, parent, name)
        elif kind == tar.SYMLINK:
            self._symlink(header, parent, name)
        elif kind == tar.LINK:
            self._link(header, parent, name)
        else:
            self._node(header, parent, name)

    def _whiteout(self, parent: bytes, name: bytes) -> None:
        if name == _OPAQUE:
            self.tree.opaque(parent)
        elif name.startswith(b".wh..wh."):
            return  # aufs kept its own files under such names (.wh..wh.plnk, .wh..wh.aufs)
        elif name[4:] in (b"", b".", b".."):
            raise InvalidArgument(f"invalid whiteout entry: {self.name[:200].decode(errors='replace')}")
        else:
            self.tree.whiteout(parent, name[4:])

    # --- kinds

    def _file(self, header: tar.Header, parent: bytes, name: bytes) -> None:
        self.size += header.stored
        if self.size > self.room:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        fd = self._create(parent, name)
        try:
            if header.sparse is not None:
                self._write_sparse(fd, header)
            elif header.stored:
                small = self.reader.content()
                if small:
                    if os.write(fd, small) != len(small):
                        raise OSError(ENOSPC, os.strerror(ENOSPC))
                else:
                    for chunk in self.reader.chunks():
                        _write(fd, chunk)
            if self.privileged:
                os.fchown(fd, header.uid, header.gid)
            os.fchmod(fd, header.mode)
            if header.xattrs:
                set_xattrs(fd, header.xattrs)
            os.utime(fd, ns=(header.mtime_ns, header.mtime_ns))
        finally:
            os.close(fd)

    def _create(self, parent: bytes, name: bytes) -> int:
        fd, _ = self.tree.parent(parent)
        try:
            return os.open(name, _CREATE, 0o600, dir_fd=fd)
        except FileExistsError:
            fd, _ = self.tree.vacate(parent, name)
            return os.open(name, _CREATE, 0o600, dir_fd=fd)

    def _write_sparse(self, fd: int, header: tar.Header) -> None:
        pieces = iter(header.sparse or ())
        offset, left = 0, 0
        for chunk in self.reader.chunks():
            view = memoryview(chunk)
            while view:
                while not left:
                    offset, left = next(pieces)
                part = view[:left]
                written = os.pwrite(fd, part, offset)
                view = view[written:]
                offset += written
                left -= written
        os.ftruncate(fd, header.size)

    def _symlink(self, header: tar.Header, parent: bytes, name: bytes) -> None:
        fd, _ = self.tree.parent(parent)
        if not header.link:
            raise InvalidArgument(f"symbolic link without a target: {self.name[:200].decode(errors='replace')}")
        self.size += len(header.link)
        try:
            os.symlink(header.link, name, dir_fd=fd)
        except FileExistsError:
            fd, _ = self.tree.vacate(parent, name)
            os.symlink(header.link, name, dir_fd=fd)
        self._dress(fd, name, header, chmod=False)

    def _node(self, header: tar.Header, parent: bytes, name: bytes) -> None:
        kind = _DEVICES[header.kind]
        # the kernel's dev_t has 12 bits for the major and 20 for the minor number
        if not (0 <= header.major < 1 << 12 and 0 <= header.minor < 1 << 20):
            raise InvalidArgument(f"invalid device number: {header.major}:{header.minor}")
        device = 0 if header.kind == tar.FIFO else os.makedev(header.major, header.minor)
        fd, _ = self.tree.parent(parent)
        try:
            os.mknod(name, 0o600 | kind, device, dir_fd=fd)
        except FileExistsError:
            fd, _ = self.tree.vacate(parent, name)
            os.mknod(name, 0o600 | kind, device, dir_fd=fd)
        self._dress(fd, name, header, chmod=True)

    def _dress(self, fd: int, name: bytes, header: tar.Header, chmod: bool) -> None:
        """Owner, mode, attributes and time of what can't be opened."""
        if self.privileged:
            os.chown(name, header.uid, header.gid, dir_fd=fd, follow_symlinks=False)
        if chmod:
            os.chmod(name, header.mode, dir_fd=fd)  # never a link: it was made with O_EXCL's meaning just now
        if header.xattrs:
            set_xattrs(b"/proc/self/fd/%d/%s" % (fd, name), header.xattrs)
        os.utime(name, ns=(header.mtime_ns, header.mtime_ns), dir_fd=fd, follow_symlinks=False)

    # --- hard links

    def _link(self, header: tar.Header, parent: bytes, name: bytes) -> None:
        target = clean(b"/" + header.link)
        source_parent, _, source = target.rpartition(b"/")
        if not source:
            raise InvalidArgument(f"hard link to the root: {self.name[:200].decode(errors='replace')}")
        borrowed, real = self.tree.parent(source_parent, create=False)
        source_fd = os.dup(borrowed)
        try:
            self._need(source_fd, real, source)
            fd, here = self.tree.parent(parent)
            if (here, name) == (real, source):
                return
            try:
                os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                fd, _ = self.tree.vacate(parent, name)
                os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(source_fd)

    def _need(self, fd: int, real: bytes, name: bytes) -> None:
        """The link's target must be in this layer: a file of a lower one is copied up first."""
        try:
            info = os.lstat(name, dir_fd=fd)
            if not (self.whiteouts and stat.S_ISCHR(info.st_mode) and info.st_rdev == 0):
                return
        except FileNotFoundError:
            if not self.tree.known:
                raise LowersNeeded(os.fsdecode(name)) from None
            found = self.tree.below(real + b"/" + name if real else name)
            if found is not None and not stat.S_ISDIR(found.info.st_mode):
                self._copy_up(found.real, found.info, fd, name)
                return
        raise InvalidArgument(f"hard link to a file that does not exist: {self.name[:200].decode(errors='replace')}")

    def _copy_up(self, path: str, info: os.stat_result, fd: int, name: bytes) -> None:
        header = tar.Header()
        header.uid, header.gid, header.mode, header.mtime_ns = info.st_uid, info.st_gid, info.st_mode & 0o7777, info.st_mtime_ns
        names = [key for key in os.listxattr(path, follow_symlinks=False) if not key.startswith("trusted.overlay.")]
        header.xattrs = {os.fsencode(key): os.getxattr(path, key, follow_symlinks=False) for key in names}
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(path), name, dir_fd=fd)
        elif stat.S_ISREG(info.st_mode):
            _copy_file(path, fd, name)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=fd)
        self._dress(fd, name, header, chmod=not stat.S_ISLNK(info.st_mode))
        self.size += info.st_size

    # --- directories

    def _finish_directories(self) -> None:
        for real, meta in self.tree.dirs.items():
            finish_directory(self.tree.root, real, meta, self.privileged)


def finish_directory(root: int, real: bytes, meta: Meta, privileged: bool) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    fd = openat2(root, os.fsdecode(real) or ".", flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    try:
        if privileged:
            os.fchown(fd, meta.uid, meta.gid)
        os.fchmod(fd, meta.mode)
        if meta.xattrs:
            set_xattrs(fd, meta.xattrs)
        if meta.mtime_ns is not None:
            os.utime(fd, ns=(meta.mtime_ns, meta.mtime_ns))
    finally:
        os.close(fd)


def settle(directory: str, applied: Applied, lowers: "list[str] | tuple[str, ...]") -> None:
    """Give directories without an entry of their own the attributes of the layer below, now that it is known.

    Raises LowersNeeded when such a path leads through a link of a lower layer: the layer must be applied again, with `lowers`.
    """
    if not applied.implied or not lowers:
        return
    view = View(lowers)
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in applied.implied:
            found = _below(view, path)
            if found is None:
                continue
            if stat.S_ISLNK(found.info.st_mode):
                raise LowersNeeded(path)
            if stat.S_ISDIR(found.info.st_mode):
                finish_directory(root, os.fsencode(path), meta_of(found), os.geteuid() == 0)
    finally:
        os.close(root)


def _below(view: View, path: str) -> Any:
    try:
        return view.find(path, follow_last=False)
    except OSError:
        return None


def _meta(header: tar.Header) -> Meta:
    return Meta(header.mode, header.uid, header.gid, header.mtime_ns, header.xattrs)


def disk_name(key: bytes, user: bool = False) -> bytes:
    """The name an attribute of a layer gets on disk: what overlayfs would take for its own is escaped (Linux 6.7)."""
    own = b"user.overlay." if user else b"trusted.overlay."
    return own + b"overlay." + key[len(own) :] if key.startswith(own) else key


def set_xattrs(target: int | bytes, xattrs: dict[bytes, bytes]) -> None:
    for key, value in xattrs.items():
        try:
            if isinstance(target, int):
                os.setxattr(target, disk_name(key), value)
            else:
                os.setxattr(target, disk_name(key), value, follow_symlinks=False)
        except OSError as error:
            # as Docker does: a file system without attributes, or a name space the kernel keeps to itself
            if error.errno not in (ENOTSUP, EPERM):
                raise


def _write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _copy_file(path: str, dir_fd: int, name: bytes) -> None:
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        target = os.open(name, _CREATE, 0o600, dir_fd=dir_fd)
        try:
            while os.sendfile(target, source, None, 1 << 30):
                pass
        finally:
            os.close(target)
    finally:
        os.close(source)
