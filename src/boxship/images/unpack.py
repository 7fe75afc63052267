"""One pass over a layer's blob: source -> sha256 -> blob -> inflate -> sha256 -> directory."""

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from boxship.content.store import Writer
from boxship.errors import InvalidArgument, Unavailable
from boxship.layers.apply import Applied, LowersNeeded, apply, settle
from boxship.layers.compression import inflate
from boxship.layers.remove import remove_tree

_CHUNK = 1 << 18


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Cancelled(Exception):
    """Another layer of the same image failed."""


class Unpacked(NamedTuple):
    """A directory in overlay form. `applied` None: the entries need the layers below, apply the blob again."""

    path: str
    diff_id: str
    tar_size: int
    compression: str
    applied: Applied | None


class Tee:
    """Reads what a writer has of the blob already, then the source, which is written down on the way."""

    def __init__(self, writer: Writer, path: str, source: Source | None, total: int, tick: Callable[[int], None]) -> None:
        self._writer = writer
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if writer.offset else -1
        self._source = source
        self._total = total
        self._tick = tick

    def read(self, size: int = _CHUNK, /) -> bytes:
        self._tick(self._writer.size)
        if self._fd >= 0:
            data = os.read(self._fd, size)
            if data:
                return data
            self.close()
        if self._source is None:
            return b""
        data = self._source.read(min(size, _CHUNK))
        if self._writer.size + len(data) > self._total:
            raise InvalidArgument(f"blob is larger than its descriptor says: more than {self._total} bytes")
        self._writer.write(data)
        return data

    def drain(self) -> None:
        while self.read():
            pass

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileSource:
    """A part of a file, as a source. `limit` None: to its end."""

    def __init__(self, fd: int, offset: int = 0, limit: int | None = None, owned: bool = True) -> None:
        self._fd = fd
        self._at = offset
        self._end = None if limit is None else offset + limit
        self._owned = owned

    def read(self, size: int = _CHUNK, /) -> bytes:
        if self._end is not None:
            size = min(size, self._end - self._at)
        if size <= 0:
            return b""
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        if self._owned and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class _Counting:
    """The plain stream: its hash is the diff ID, its length the size of the tar."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.size = 0

    def update(self, data: bytes) -> None:
        self.hash.update(data)
        self.size += len(data)


def unpack(source: Source | Tee, directory: str, lowers: list[str] | None, allowed: tuple[str, ...] = ("gzip", "zstd")) -> Unpacked:
    """Unpack a layer's blob into the new `directory`. With `lowers` None, what needs lower layers waits for settle_layer().

    `allowed`: the compressions that are taken.
    """
    os.mkdir(directory)
    os.chmod(directory, 0o755)  # noqa: S103 - what a root directory has that no entry speaks of, whatever the umask
    counting = _Counting()
    try:
        plain = inflate(source, allowed)
        compression = getattr(plain, "kind", "")
        applied: Applied | None
        try:
            applied = apply(plain, directory, lowers, counting)
        except LowersNeeded:
            applied = None
        # a pass that stopped half-way still owes the rest of the hash
        while data := plain.read(_CHUNK):
            if applied is None:
                counting.update(data)
    except BaseException:
        remove_tree(directory)
        raise
    digest = f"sha256:{counting.hash.hexdigest()}"
    return Unpacked(directory, digest, counting.size, compression, applied)


def settle_layer(unpacked: Unpacked, lowers: list[str], again: Callable[[], Source]) -> int:
    """Finish a layer once all below it are in place; `again` opens its blob anew. Returns the bytes of its files."""
    if unpacked.applied is not None:
        try:
            settle(unpacked.path, unpacked.applied, lowers)
            return unpacked.applied.size
        except LowersNeeded:
            pass
    remove_tree(unpacked.path)
    source = again()
    try:
        done = unpack(source, unpacked.path, lowers)
    finally:
        source.close()
    if done.diff_id != unpacked.diff_id or done.applied is None:
        raise Unavailable("a layer's blob changed while it was unpacked")
    return done.applied.size
