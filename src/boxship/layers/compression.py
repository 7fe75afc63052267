"""Compressed streams in and out: gzip (isal), zstd, and for archives that people hand us bzip2 and xz.

What a stream is, its first bytes say, whatever its media type claims. No output is made faster than it is asked
for, so memory stays bounded; a stream that grows out of all proportion is refused (a bomb).
"""

import zlib
from typing import Any, Protocol

from boxship.errors import InvalidArgument, Unsupported

_gzip: Any
igzip_lib: Any
try:
    from isal import igzip_lib
    from isal import isal_zlib as _gzip
except ImportError:  # pragma: no cover - machines without an isal wheel
    _gzip, igzip_lib = zlib, None

CHUNK = 1 << 18  # stays in the second level cache between reading, hashing and writing
BOMB_RATIO = 250
BOMB_FLOOR = 1 << 30
GZIP_LEVEL = 2

_MAGIC = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def detect(head: bytes) -> str:
    """'gzip', 'zstd', 'bzip2', 'xz' or '' by the first bytes (6 are enough)."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    # a skippable frame may open a zstd stream (RFC 8878, 3.1.2)
    if len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"
    return ""


def media_compression(media_type: str) -> str:
    """What a layer's media type promises: 'gzip', 'zstd' or ''."""
    for suffix in ("gzip", "zstd"):
        if media_type.endswith((f"+{suffix}", f".{suffix}")):
            return suffix
    return ""


def _zstd() -> Any:
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):  # the first since Python 3.14
        try:
            return import_module(name)
        except ImportError:
            continue
    raise Unsupported("zstd is not available", hint="install the package backports.zstd")


class _Gzip:
    """zlib with the zstd module's manner: decompress(data, max_length), needs_input, eof, unused_data."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _decoder(kind: str) -> Any:
    if kind == "gzip":
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP) if igzip_lib is not None else _Gzip()
    if kind == "zstd":
        return _zstd().ZstdDecompressor()
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)


class Inflater:
    """Reads the plain bytes of a compressed stream. `source.read(n)` gives at least one byte unless it ended."""

    def __init__(self, source: Readable, kind: str, head: bytes = b"") -> None:
        self._source = source
        self.kind = kind
        self._head = head
        self._decoder = _decoder(kind)
        self._done = False
        self.taken = 0
        self.given = 0

    def read(self, size: int = CHUNK, /) -> bytes:
        """Some bytes, at most `size`; b"" at the end. Raises InvalidArgument for what is damaged, cut or a bomb."""
        while not self._done:
            data = b""
            if self._decoder.needs_input:
                data = self._fill()
                if not data:
                    raise InvalidArgument(f"{self.kind} stream ends too early")
            out = self._decode(data, size)
            if self._decoder.eof:
                self._next_member(self._decoder.unused_data)
            if out:
                self.given += len(out)
                if self.given > BOMB_FLOOR and self.given > BOMB_RATIO * self.taken:
                    raise InvalidArgument(
                        f"compressed data grows more than {BOMB_RATIO} times: {self.given} bytes out of {self.taken}",
                        hint="this is what a decompression bomb looks like",
                    )
                return out
        return b""

    def _decode(self, data: bytes, size: int) -> bytes:
        try:
            return self._decoder.decompress(data, size)  # type: ignore[no-any-return]
        except (InvalidArgument, MemoryError):
            raise
        except Exception as error:  # zlib.error, ZstdError, OSError, LZMAError, IsalError: no common base
            raise InvalidArgument(f"damaged {self.kind} stream: {str(error)[:200]}") from None

    def _fill(self) -> bytes:
        data = self._head or self._source.read(CHUNK)
        self._head = b""
        self.taken += len(data)
        return data

    def _next_member(self, rest: bytes) -> None:
        """Members, frames and streams may follow each other; zeros may fill up the end (RFC 1952, 2.2)."""
        while True:
            rest = rest.lstrip(b"\0")
            if len(rest) < 6:
                more = self._fill()
                rest += more
                if more:
                    continue
            break
        if not rest:
            self._done = True
        elif detect(rest) == self.kind:
            self._decoder = _decoder(self.kind)
            self._head = rest
            self.taken -= len(rest)
        else:
            raise InvalidArgument(f"trailing data after the {self.kind} stream")


class Plain:
    """The stream as it is, with the first bytes put back."""

    def __init__(self, source: Readable, head: bytes) -> None:
        self._source = source
        self._head = head

    def read(self, size: int = CHUNK, /) -> bytes:
        if self._head:
            out, self._head = self._head[:size], self._head[size:]
            return out
        return self._source.read(size)


def inflate(source: Readable, allowed: tuple[str, ...] = ("gzip", "zstd", "bzip2", "xz")) -> Inflater | Plain:
    """The plain bytes of `source`, whatever it is compressed with. Raises InvalidArgument for what is not `allowed`."""
    head = b""
    while len(head) < 6 and (more := source.read(6 - len(head))):
        head += more
    kind = detect(head)
    if not kind:
        return Plain(source, head)
    if kind not in allowed:
        raise InvalidArgument(f"unexpected compression: {kind}")
    return Inflater(source, kind, head)


def gzip_encoder(level: int = GZIP_LEVEL) -> Any:
    """compress(data), flush(): a gzip stream without name and time, the same bytes for the same input."""
    if _gzip is zlib:  # pragma: no cover
        return zlib.compressobj(min(level, 9), zlib.DEFLATED, 31)
    return _gzip.compressobj(min(level, 3), _gzip.DEFLATED, 31)
