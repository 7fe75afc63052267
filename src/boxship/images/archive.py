"""An archive of images as a random-access file: an index of its entries, made by one walk over the headers.

Names, links and sizes in it are a stranger's. Links lead to other entries of the archive or nowhere; nothing is ever
written under a name from the archive; documents are read with a bound.
"""

import os
from typing import IO, Any

from boxship.errors import BoxshipError, InvalidArgument, Unavailable
from boxship.images.unpack import FileSource
from boxship.layers import tar
from boxship.layers.compression import detect, inflate
from boxship.layers.place import clean

_CHUNK = 1 << 18
_NAMES_MAX = 65_536
_LINKS_MAX = 10


class _Descriptor:
    """Reads from a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, size: int, /) -> bytes:
        return os.read(self.fd, size)

    def skip(self, count: int) -> None:
        os.lseek(self.fd, count, os.SEEK_CUR)


class Archive:
    """`fd` is a regular file that holds a plain tar; the archive closes it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.parts: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._index()

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _index(self) -> None:
        end = os.fstat(self.fd).st_size
        file = _Descriptor(self.fd)
        os.lseek(self.fd, 0, os.SEEK_SET)
        reader = tar.Reader(file, seek=file.skip)
        while header := reader.next():
            name = os.fsdecode(clean(header.name))
            if len(self.parts) + len(self._links) >= _NAMES_MAX:
                raise InvalidArgument(f"image archive has more than {_NAMES_MAX} entries")
            if header.kind == tar.REG and header.sparse is None:
                offset = reader.position
                if offset + header.stored > end:
                    raise InvalidArgument("unexpected end of tar archive")
                self.parts[name] = (offset, header.stored)
            elif header.kind == tar.SYMLINK:
                self._links[name] = os.fsdecode(os.path.join(os.path.dirname(clean(header.name)), header.link))
            elif header.kind == tar.LINK:
                self._links[name] = os.fsdecode(header.link)
            elif header.kind != tar.DIR:
                raise InvalidArgument(f"unexpected kind of entry in an image archive: {name[:200]}")

    def __contains__(self, name: str) -> bool:
        return name in self.parts or name in self._links

    def find(self, name: str) -> tuple[int, int]:
        """(offset, size). Links are followed within the archive. Raises InvalidArgument for what is not there or climbs out."""
        for _ in range(_LINKS_MAX):
            where = os.fsdecode(clean(os.fsencode(name)))
            if where in self.parts:
                return self.parts[where]
            if where not in self._links:
                raise InvalidArgument(f"no such file in the image archive: {name[:200]}")
            name = self._links[where]
        raise InvalidArgument(f"too many links in the image archive: {name[:200]}")

    def open(self, name: str, offset: int = 0) -> FileSource:
        start, size = self.find(name)
        return FileSource(self.fd, start + offset, size - offset, owned=False)

    def read(self, name: str, limit: int) -> bytes:
        """A whole document. Raises InvalidArgument when it is larger than `limit` bytes."""
        start, size = self.find(name)
        if size > limit:
            raise InvalidArgument(f"{name[:200]} in the image archive is larger than {limit} bytes: {size}")
        return os.pread(self.fd, size, start)


def open_archive(source: IO[bytes], folder: str) -> Archive:
    """An archive from a file, or from a stream or a compressed file, which is spooled into `folder` first."""
    direct = _regular(source)
    if direct is not None and not detect(os.pread(direct, 6, 0)):
        return _opened(os.dup(direct))
    return _opened(spool(source, folder))


def _opened(fd: int) -> Archive:
    try:
        return Archive(fd)
    except BoxshipError:
        os.close(fd)
        raise


def _regular(source: IO[bytes]) -> int | None:
    """The descriptor of a regular file that is read from its beginning."""
    import stat

    try:
        fd = source.fileno()
        if stat.S_ISREG(os.fstat(fd).st_mode) and source.tell() == 0:
            return fd
    except (OSError, ValueError, AttributeError):
        pass
    return None


def spool(source: Any, folder: str) -> int:
    """The plain bytes of a stream, in an unnamed file below `folder`. Raises Unavailable when the disk is full."""
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        room = os.fstatvfs(fd)
        left = room.f_bavail * room.f_frsize
        plain = inflate(source)
        while data := plain.read(_CHUNK):
            left -= len(data)
            if left < 0:
                raise Unavailable("no space left for the archive", hint=f"it is spooled in {folder}")
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
    except BaseException:
        os.close(fd)
        raise
    return fd
