"""Where an entry of an archive goes: its parent directory as a descriptor, found without ever leaving the root.

Every component is opened by itself with O_NOFOLLOW; a symbolic link is read and resolved by hand, as in a chroot.
What the layer itself does not have is looked up in the layers below (`lowers`): a link there is followed, a directory's
owner, mode, times and attributes are taken over, for in an overlay the upper directory's are those that count.
"""

import os
import stat
from errno import EEXIST, ELOOP, ENOENT, ENOTDIR

from boxship.errors import InvalidArgument
from boxship.layers.remove import remove_tree
from boxship.layers.view import MAX_LINKS, OPAQUE, Found, View, is_whiteout

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FDS = 128


class Meta:
    """What a directory gets once all its children are there: writing a child changes its time."""

    __slots__ = ("gid", "mode", "mtime_ns", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int | None, xattrs: dict[bytes, bytes] | None) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.xattrs = xattrs


class LowersNeeded(Exception):
    """The entry speaks of something in the layers below, and these were not given."""


class Tree:
    """The directory being written. `lowers` None: not known yet."""

    def __init__(self, directory: str, lowers: "list[str] | tuple[str, ...] | None") -> None:
        self.root = os.open(directory, _OPEN)
        self.known = lowers is not None
        self.view = View(lowers) if lowers else None
        self.dirs: dict[bytes, Meta] = {}  # by real path
        self.implied: set[bytes] = set()
        self._opaque: set[bytes] = set()
        self._redirected = False
        self._fds: dict[bytes, tuple[int, bytes]] = {}

    def close(self) -> None:
        self.forget()
        os.close(self.root)

    def forget(self) -> None:
        """A directory or link was replaced: paths may lead elsewhere now."""
        for fd, _ in self._fds.values():
            os.close(fd)
        self._fds.clear()

    # --- finding

    def parent(self, path: bytes, create: bool = True) -> tuple[int, bytes]:
        """(descriptor, real path) of the directory `path` (cleaned, b"" is the root).

        The descriptor belongs to the tree and is good until the next call of any method.
        """
        if not path:
            return self.root, b""
        if self._redirected:
            self.forget()  # a new entry may hide the lower layer's link that led there
        known = self._fds.pop(path, None)
        if known is None:
            known = self._walk(path, create)
            if len(self._fds) >= _FDS:
                oldest = next(iter(self._fds))
                os.close(self._fds.pop(oldest)[0])
        self._fds[path] = known
        return known

    def _walk(self, path: bytes, create: bool) -> tuple[int, bytes]:
        stack: list[bytes] = []
        fd = os.dup(self.root)
        pending = path.split(b"/")
        pending.reverse()
        links = 0
        try:
            while pending:
                name = pending.pop()
                if name in (b"", b"."):
                    continue
                if name == b"..":
                    if stack:
                        stack.pop()
                        fd = self._swap(fd, self._reopen(stack))
                    continue
                if pending and pending[-1] == b".." and self._missing(fd, stack, name):
                    pending.pop()  # `absent/..` in a link's target leads nowhere else, as in Go's SecureJoin
                    continue
                step = self._step(fd, stack, name, create)
                if isinstance(step, int):
                    fd = self._swap(fd, step)
                    stack.append(name)
                    continue
                links += 1
                if links > MAX_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP), path)
                if step.startswith(b"/"):
                    stack.clear()
                    fd = self._swap(fd, os.dup(self.root))
                pending.extend(reversed(step.split(b"/")))
        except BaseException:
            os.close(fd)
            raise
        return fd, b"/".join(stack)

    @staticmethod
    def _swap(old: int, new: int) -> int:
        os.close(old)
        return new

    def _reopen(self, stack: list[bytes]) -> int:
        """`..` goes up the path that was walked. Not through the kernel's "..": a directory moved meanwhile has another."""
        fd = os.dup(self.root)
        for name in stack:
            fd = self._swap(fd, os.open(name, _OPEN, dir_fd=fd))
        return fd

    def _step(self, fd: int, stack: list[bytes], name: bytes, create: bool) -> int | bytes:
        """One component: the next directory's descriptor, or where a link leads."""
        try:
            return os.open(name, _OPEN, dir_fd=fd)
        except OSError as error:
            if error.errno == ENOENT:
                return self._step_below(fd, stack, name, create)
            if error.errno not in (ELOOP, ENOTDIR):
                raise
        info = os.lstat(name, dir_fd=fd)
        if stat.S_ISLNK(info.st_mode):
            return os.readlink(name, dir_fd=fd)
        if not create:
            raise OSError(ENOENT, os.strerror(ENOENT), b"/".join([*stack, name]))
        os.unlink(name, dir_fd=fd)
        return self._make(fd, b"/".join([*stack, name]), name, Meta(0o755, 0, 0, None, None), is_whiteout(info))

    def _missing(self, fd: int, stack: list[bytes], name: bytes) -> bool:
        try:
            os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            return self.below(b"/".join([*stack, name])) is None
        return False

    def _step_below(self, fd: int, stack: list[bytes], name: bytes, create: bool) -> int | bytes:
        real = b"/".join([*stack, name])
        found = self.below(real)
        if found is not None and stat.S_ISLNK(found.info.st_mode):
            self._redirected = True
            return os.fsencode(os.readlink(found.real))
        if not create and (found is None or not stat.S_ISDIR(found.info.st_mode)):
            if not self.known:
                raise LowersNeeded(os.fsdecode(real))
            raise OSError(ENOENT, os.strerror(ENOENT), real)
        meta = Meta(0o755, 0, 0, None, None)
        if found is not None and stat.S_ISDIR(found.info.st_mode):
            meta = meta_of(found)
        return self._make(fd, real, name, meta, False)

    def below(self, real: bytes) -> Found | None:
        """What the layers below have there, unless something of this layer hides it."""
        if self.view is None:
            return None
        at = len(real)
        while self._opaque and (at := real.rfind(b"/", 0, at)) > 0:
            if real[:at] in self._opaque:
                return None
        if b"" in self._opaque:
            return None
        try:
            return self.view.find(os.fsdecode(real), follow_last=False)
        except OSError:
            return None

    # --- making

    def _make(self, fd: int, real: bytes, name: bytes, meta: Meta, opaque: bool) -> int:
        os.mkdir(name, 0o700, dir_fd=fd)
        self.dirs[real] = meta
        self.implied.add(real)
        child = os.open(name, _OPEN, dir_fd=fd)
        if opaque:
            self._set_opaque(child, real)
        return child

    def _set_opaque(self, fd: int, real: bytes) -> None:
        os.setxattr(fd, OPAQUE, b"y")
        self._opaque.add(real)

    def opaque(self, path: bytes) -> None:
        """Hide what lower layers have in the directory."""
        fd, real = self.parent(path)
        self._set_opaque(fd, real)

    def directory(self, parent: bytes, name: bytes, meta: Meta) -> None:
        """An entry that is a directory: made, or merged with the one that is there."""
        fd, real = self.parent(parent)
        hidden = False
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            info = os.lstat(name, dir_fd=fd)
            if not stat.S_ISDIR(info.st_mode):
                hidden = is_whiteout(info)
                fd, real = self.vacate(parent, name)
                os.mkdir(name, 0o700, dir_fd=fd)
        path = real + b"/" + name if real else name
        self.dirs[path] = meta
        self.implied.discard(path)
        if hidden:
            self._hide(fd, name, path)

    def vacate(self, parent: bytes, name: bytes) -> tuple[int, bytes]:
        """Remove what stands in the way of a new entry; returns the parent, which may be another directory now."""
        fd, real = self.parent(parent)
        path = real + b"/" + name if real else name
        if stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
            remove_tree(name, dir_fd=fd)
            inside = path + b"/"
            for gone in [key for key in self.dirs if key == path or key.startswith(inside)]:
                del self.dirs[gone]
                self.implied.discard(gone)
            self._opaque = {key for key in self._opaque if key != path and not key.startswith(inside)}
        else:
            os.unlink(name, dir_fd=fd)
        self.forget()
        return self.parent(parent)

    def _hide(self, fd: int, name: bytes, path: bytes) -> None:
        child = os.open(name, _OPEN, dir_fd=fd)
        try:
            self._set_opaque(child, path)
        finally:
            os.close(child)

    def whiteout(self, parent: bytes, name: bytes) -> None:
        """Hide what lower layers have under that name; what this layer has there itself stays."""
        fd, real = self.parent(parent)
        path = real + b"/" + name if real else name
        try:
            os.mknod(name, 0o600 | stat.S_IFCHR, 0, dir_fd=fd)
        except OSError as error:
            if error.errno != EEXIST:
                raise
            if stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
                self._hide(fd, name, path)


def meta_of(found: Found) -> Meta:
    """The attributes a directory of a lower layer has, to be repeated above it."""
    info = found.info
    xattrs = {}
    for name in os.listxattr(found.real, follow_symlinks=False):
        if not name.startswith("trusted.overlay."):
            xattrs[os.fsencode(name)] = os.getxattr(found.real, name, follow_symlinks=False)
    return Meta(stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, xattrs or None)


def clean(name: bytes) -> bytes:
    """The path without `.`, doubled slashes and `..`; b"" is the root. Raises InvalidArgument when it climbs out."""
    if name.startswith(b"./"):
        name = name[2:]
    name = name.rstrip(b"/")
    if b"." not in name and b"//" not in name and not name.startswith(b"/"):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts and not name.startswith(b"/"):
                raise InvalidArgument(f"unsafe tar path: {name[:200].decode(errors='replace')}")
            if parts:
                parts.pop()
        elif part and part != b".":
            parts.append(part)
    return b"/".join(parts)
