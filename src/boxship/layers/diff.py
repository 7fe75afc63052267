"""Overlay upper directory -> layer tar: the same bytes for the same tree, wherever and whenever it is made.

Names are sorted, a directory before its content, the opaque marker first in it. Whiteouts become `.wh.` files, owners are
numbers, times whole seconds. A header is ustar as long as it can say everything, else one pax header stands before it, with
its records sorted. Sockets are left out: no archive can hold them.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from errno import ENODATA, ENOTSUP

from boxship.errors import InvalidArgument
from boxship.layers.view import WHITEOUT

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIR = _READ | os.O_DIRECTORY
_FLUSH = 1 << 18
_OCTAL7 = 0o7777777
_OCTAL11 = 0o77777777777
_KINDS = {stat.S_IFLNK: b"2", stat.S_IFCHR: b"3", stat.S_IFBLK: b"4", stat.S_IFDIR: b"5", stat.S_IFIFO: b"6"}
_END = bytes(1024)


def tar_name(key: bytes, user: bool = False) -> bytes | None:
    """The name an attribute on disk has in a layer: None for overlayfs' own, unescaped where disk_name() escaped it."""
    own = b"user.overlay." if user else b"trusted.overlay."
    if not key.startswith(own):
        return key
    rest = key[len(own) :]
    return own + rest[8:] if rest.startswith(b"overlay.") else None


def chunks(directory: str, clamp: int | None = None) -> Iterator[bytes]:
    """The layer's tar in pieces of about 1 MiB. `clamp`: no time is later than this (seconds). Raises InvalidArgument."""
    return _Packer(clamp).run(directory)


def write_tar(directory: str, write: Callable[[bytes], object], clamp: int | None = None) -> int:
    """The layer's tar into `write`; returns its size in bytes."""
    size = 0
    for chunk in chunks(directory, clamp):
        size += len(chunk)
        write(chunk)
    return size


def digest_of(directory: str, clamp: int | None = None) -> tuple[str, int]:
    """(diff ID, size of the tar) without keeping the tar."""
    hasher = hashlib.sha256()
    size = write_tar(directory, hasher.update, clamp)
    return f"sha256:{hasher.hexdigest()}", size


class TarStream:
    """The layer's tar as something to read()."""

    def __init__(self, directory: str, clamp: int | None = None) -> None:
        self._chunks = chunks(directory, clamp)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            out, self._rest = self._rest + b"".join(self._chunks), b""
            return out
        if not self._rest:
            self._rest = next(self._chunks, b"")
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def tar_stream(directory: str, clamp: int | None = None) -> TarStream:
    return TarStream(directory, clamp)


def file_header(name: str, size: int, mtime: int = 0, mode: int = 0o644, kind: bytes = b"0") -> bytes:
    """The header of a file (or, kind b"5", a directory) that a caller writes himself, followed by its padded content."""
    packer = _Packer(None)
    packer._emit(name.encode(), b"", mode, 0, 0, size, max(0, mtime), kind, {})
    return b"".join(packer.parts)


class _Packer:
    def __init__(self, clamp: int | None) -> None:
        self.clamp = clamp
        self.links: dict[tuple[int, int], bytes] = {}
        self.parts: list[bytes] = []
        self.held = 0

    def run(self, directory: str) -> Iterator[bytes]:
        top = os.open(directory, _OPEN_DIR)
        stack = [(top, b"", self._names(top))]
        try:
            while stack:
                fd, prefix, names = stack[-1]
                if not names:
                    stack.pop()
                    os.close(fd)
                    continue
                shown, name, info = names.pop()
                if stat.S_ISDIR(info.st_mode):
                    child = os.open(name, _OPEN_DIR, dir_fd=fd)
                    stack.append((child, prefix + shown + b"/", []))
                    self._directory(child, prefix + shown + b"/", info, stack)
                elif stat.S_ISREG(info.st_mode) and shown is name:
                    yield from self._file(fd, name, prefix + name, info)
                else:
                    self._other(fd, name, prefix + shown, info)
                if self.held >= _FLUSH:
                    yield self._flush()
            self._add(_END)
            yield self._flush()
        finally:
            for fd, _, _ in stack:
                os.close(fd)

    def _flush(self) -> bytes:
        out = b"".join(self.parts)
        self.parts.clear()
        self.held = 0
        return out

    def _add(self, data: bytes) -> None:
        self.parts.append(data)
        self.held += len(data)

    def _names(self, fd: int) -> list[tuple[bytes, bytes, os.stat_result]]:
        """(name in the tar, name on disk, lstat), last first. A whiteout's two names differ."""
        out = []
        with os.scandir(fd) as scan:
            for entry in scan:
                name = os.fsencode(entry.name)
                info = entry.stat(follow_symlinks=False)
                kind = stat.S_IFMT(info.st_mode)
                if name.startswith(b".wh."):
                    raise InvalidArgument(
                        f"file name is reserved for layers: {entry.name}", hint="names with .wh. in front mark deletions"
                    )
                if kind == stat.S_IFSOCK:
                    continue
                hidden = (kind == stat.S_IFCHR and info.st_rdev == 0) or (
                    kind == stat.S_IFREG and not info.st_size and _marked(fd, entry.name)
                )
                out.append((b".wh." + name if hidden else name, name, info))
        out.sort(reverse=True)
        return out

    # --- entries

    def _directory(
        self, fd: int, path: bytes, info: os.stat_result, stack: list[tuple[int, bytes, list[tuple[bytes, bytes, os.stat_result]]]]
    ) -> None:
        xattrs, opaque = _xattrs(fd)
        self._header(path, info, b"5", xattrs=xattrs)
        if opaque:
            self._whiteout(path + b".wh..wh..opq")
        stack[-1] = (fd, path, self._names(fd))

    def _whiteout(self, path: bytes) -> None:
        # no time: the kernel's whiteout tells when something was removed, which nobody can see in a container, and an
        # unpacked one when it was unpacked; with it the same layer would have another digest on each machine
        self._emit(path, b"", 0, 0, 0, 0, 0, b"0", {})

    def _file(self, dir_fd: int, name: bytes, path: bytes, info: os.stat_result) -> Iterator[bytes]:
        fd = os.open(name, _READ, dir_fd=dir_fd)
        try:
            if info.st_nlink > 1 and self._linked(path, info, fd):
                return
            size = info.st_size
            self._header(path, info, b"0", xattrs=_xattrs(fd)[0], size=size)
            left = size
            while left:
                data = os.read(fd, min(left, _FLUSH))
                if not data:
                    raise InvalidArgument(f"file became shorter while it was read: {os.fsdecode(path)}")
                left -= len(data)
                self._add(data)
                if left and self.held >= _FLUSH:
                    yield self._flush()
            if size % 512:
                self._add(bytes(-size % 512))
        finally:
            os.close(fd)

    def _linked(self, path: bytes, info: os.stat_result, target: "int | bytes") -> bool:
        """Written as a link to a name from before. It repeats the attributes: Docker gives the file its owner once more
        at each name, and with that the kernel takes its capabilities away."""
        key = (info.st_dev, info.st_ino)
        first = self.links.setdefault(key, path)
        if first is path:
            return False
        self._header(path, info, b"1", link=first, xattrs=_xattrs(target)[0])
        return True

    def _other(self, dir_fd: int, name: bytes, path: bytes, info: os.stat_result) -> None:
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if name is not path and path.rpartition(b"/")[2] != name:
            self._whiteout(path)
            return
        assert kind is not None
        where = b"/proc/self/fd/%d/%s" % (dir_fd, name)
        if info.st_nlink > 1 and self._linked(path, info, where):
            return
        link = os.readlink(name, dir_fd=dir_fd) if kind == b"2" else b""
        xattrs, _ = _xattrs(where)
        self._header(path, info, kind, link=link, xattrs=xattrs)

    # --- headers

    def _time(self, info: os.stat_result) -> int:
        seconds = max(0, info.st_mtime_ns // 1_000_000_000)
        return seconds if self.clamp is None else min(seconds, self.clamp)

    def _header(
        self,
        path: bytes,
        info: os.stat_result,
        kind: bytes,
        *,
        link: bytes = b"",
        xattrs: dict[bytes, bytes] | None = None,
        size: int = 0,
    ) -> None:
        device = info.st_rdev if kind in (b"3", b"4") else 0
        self._emit(path, link, info.st_mode & 0o7777, info.st_uid, info.st_gid, size, self._time(info), kind, xattrs or {}, device)

    def _emit(
        self,
        path: bytes,
        link: bytes,
        mode: int,
        uid: int,
        gid: int,
        size: int,
        mtime: int,
        kind: bytes,
        xattrs: dict[bytes, bytes],
        device: int = 0,
    ) -> None:
        pax = {b"SCHILY.xattr." + key: value for key, value in xattrs.items()}
        prefix, name = b"", path
        if len(path) > 100:
            prefix, name = _split(path)
            if not name:
                pax[b"path"] = path
                prefix, name = b"", _shortened(path)
        if len(link) > 100:
            pax[b"linkpath"] = link
            link = link[:100]
        big = ((b"uid", uid, _OCTAL7), (b"gid", gid, _OCTAL7), (b"size", size, _OCTAL11), (b"mtime", mtime, _OCTAL11))
        pax.update((key, b"%d" % value) for key, value, limit in big if value > limit)
        if pax:
            self._pax(pax, name, mtime)
        uid, gid = (0 if uid > _OCTAL7 else uid), (0 if gid > _OCTAL7 else gid)
        size, mtime = (0 if size > _OCTAL11 else size), min(mtime, _OCTAL11)
        self._add(_ustar(name, prefix, link, mode, uid, gid, size, mtime, kind, device))

    def _pax(self, pax: dict[bytes, bytes], name: bytes, mtime: int) -> None:
        data = b"".join(_record(key, pax[key]) for key in sorted(pax))
        short = b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2][:80]
        self._add(_ustar(short, b"", b"", 0o644, 0, 0, len(data), min(mtime, _OCTAL11), b"x", 0))
        self._add(data + bytes(-len(data) % 512))


def _ustar(
    name: bytes, prefix: bytes, link: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, kind: bytes, device: int
) -> bytes:
    major, minor = (os.major(device), os.minor(device)) if device else (0, 0)
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime)
    tail = b"%b%bustar\00000%b%07o\0%07o\0%b" % (
        kind, link.ljust(100, b"\0"), bytes(64), major, minor, prefix.ljust(167, b"\0"),
    )  # fmt: skip
    return b"%b%06o\0 %b" % (head, sum(head) + sum(tail) + 256, tail)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """ustar's two name fields: up to 155 bytes before a slash, up to 100 after it; (b"", b"") when it does not fit."""
    at = path.rfind(b"/", 0, min(156, len(path) - 1))
    if at <= 0 or len(path) - at - 1 > 100:
        return b"", b""
    return path[:at], path[at + 1 :]


def _shortened(path: bytes) -> bytes:
    """What stands in the header of a path that only the pax record holds. A directory keeps its slash."""
    return path[:99] + b"/" if path.endswith(b"/") else path[:100]


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value\\n`, where the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _marked(fd: int, name: str) -> bool:
    try:
        os.getxattr(f"/proc/self/fd/{fd}/{name}", WHITEOUT, follow_symlinks=False)
    except OSError:
        return False
    return True


def _xattrs(target: "int | bytes") -> tuple[dict[bytes, bytes], bool]:
    """(attributes that belong into the layer, is it opaque)."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno == ENOTSUP:
            return {}, False
        raise
    if not names:
        return {}, False
    out: dict[bytes, bytes] = {}
    opaque = False
    for name in names:
        key = os.fsencode(name)
        try:
            value = os.getxattr(target, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno == ENODATA:
                continue
            raise
        opaque = opaque or (key == b"trusted.overlay.opaque" and value == b"y")
        shown = tar_name(key)
        if shown is not None:
            out[shown] = value
    return out, opaque
