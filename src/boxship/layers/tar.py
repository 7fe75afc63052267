"""A reader of tar streams, made for speed and for hostile input.

Understands ustar, pax (local and global records, SCHILY.xattr, GNU.sparse 0.0 to 1.0), old V7, GNU long names and
links, GNU sparse files and base-256 numbers. Names are bytes. Formats: POSIX.1-2017 `pax`; GNU tar's manual, "Basic Tar
Format" and "Sparse Formats".
"""

from collections.abc import Callable
from typing import Any

from boxship.errors import InvalidArgument
from boxship.layers.compression import CHUNK, Readable

META_LIMIT = 1 << 20
TRAILER_LIMIT = 16 << 20
PATH_LIMIT = 4096
ENTRY_LIMIT = 999_999
_ZERO = bytes(512)
_XATTR = b"SCHILY.xattr."

REG, LINK, SYMLINK, CHAR, BLOCK, DIR, FIFO = b"0123456"
_KNOWN = frozenset(b"0123456")
_PLAIN = frozenset(b"\x0001234567")  # 0: V7, 7: contiguous file


class Header:
    """One entry. `size` is the file's own size; `sparse` lists (offset, length) of its data when it has holes."""

    __slots__ = (
        "gid", "kind", "link", "major", "minor", "mode", "mtime_ns", "name", "size", "sparse", "stored", "uid", "xattrs",
    )  # fmt: skip

    name: bytes
    link: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    stored: int
    mtime_ns: int
    major: int
    minor: int
    xattrs: dict[bytes, bytes] | None
    sparse: list[tuple[int, int]] | None


def number(field: bytes) -> int:
    """Octal text, or base-256 when the top bit is set (GNU). Raises InvalidArgument."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field) - 1
        value &= (1 << bits) - 1
        return value - (1 << bits) if first & 0x40 else value
    text = field.partition(b"\0")[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidArgument(f"invalid number in tar header: {text[:20]!r}") from None


def _numbers(header: Header, block: bytes) -> None:
    """The five numbers every header has. The plain form, octal digits and an end mark, is read without ceremony."""
    try:
        if block[107] | block[115] | block[123] | block[135] | block[147] not in (0, 32):
            raise ValueError
        header.mode = int(block[100:107], 8) & 0o7777
        header.uid = int(block[108:115], 8)
        header.gid = int(block[116:123], 8)
        header.stored = header.size = int(block[124:135], 8)
        header.mtime_ns = int(block[136:147], 8) * 1_000_000_000
    except ValueError:
        header.mode = number(block[100:108]) & 0o7777
        header.uid = number(block[108:116])
        header.gid = number(block[116:124])
        header.stored = header.size = number(block[124:136])
        header.mtime_ns = number(block[136:148]) * 1_000_000_000


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def records(data: bytes) -> list[tuple[bytes, bytes]]:
    """The key and value pairs of a pax header, in order. Raises InvalidArgument."""
    out = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise InvalidArgument("invalid pax record length")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space or data[end - 1] != 10 or not equals or not key:
            raise InvalidArgument("invalid pax record")
        out.append((key, value))
        position = end
    return out


def _decimal(value: bytes, what: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidArgument(f"invalid {what} in pax header: {value[:20]!r}") from None


def _nanoseconds(value: bytes) -> int:
    whole, _, fraction = value.partition(b".")
    if not (whole.lstrip(b"-").isdigit() and (not fraction or fraction.isdigit())):
        raise InvalidArgument(f"invalid time in pax header: {value[:30]!r}")
    extra = int(fraction[:9].ljust(9, b"0"))
    seconds = int(whole[:20]) * 1_000_000_000
    return seconds - extra if whole.startswith(b"-") else seconds + extra


class Reader:
    """Entries of a plain tar stream: next() gives a header, then read its content by chunks() or leave it.

    `hasher.update` sees every byte of the stream, the fill after the end of the archive too, once drain() was called.
    `seek(n)` moves the source n bytes on without reading them: for an index of a file's entries.
    """

    def __init__(self, source: Readable, hasher: Any = None, seek: Callable[[int], object] | None = None) -> None:
        self._source = source
        self._seek = seek
        self._hasher = hasher
        self._buffer = b""
        self._at = 0
        self._left = 0  # bytes of the current entry's content, with its padding to come
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self.entries = 0
        self.read_bytes = 0

    @property
    def position(self) -> int:
        """Where the current entry's content begins, as long as nothing of it was read."""
        return self.read_bytes - (len(self._buffer) - self._at)

    # --- bytes

    def _more(self) -> bool:
        data = self._source.read(CHUNK)
        if not data:
            return False
        if self._hasher is not None:
            self._hasher.update(data)
        self.read_bytes += len(data)
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        return True

    def _block(self) -> bytes | None:
        """The next 512 bytes; None at the very end."""
        at = self._at
        while len(self._buffer) - at < 512:
            if not self._more():
                if len(self._buffer) == self._at:
                    return None
                raise InvalidArgument("unexpected end of tar archive")
            at = self._at
        self._at = at + 512
        return self._buffer[at : at + 512]

    def _some(self, limit: int) -> bytes:
        if self._at >= len(self._buffer) and not self._more():
            raise InvalidArgument("unexpected end of tar archive")
        at = self._at
        out = self._buffer if at == 0 and len(self._buffer) <= limit else self._buffer[at : at + limit]
        self._at = at + len(out)
        return out

    def chunks(self) -> "Any":
        """The stored bytes of the current entry."""
        while self._left:
            out = self._some(self._left)
            self._left -= len(out)
            yield out

    def content(self) -> bytes:
        """The stored bytes when they lie in the buffer already (the common, small file), else b"" and nothing is taken."""
        left = self._left
        at = self._at
        if left and len(self._buffer) - at >= left:
            self._at = at + left
            self._left = 0
            return self._buffer[at : at + left]
        return b""

    def _skip(self) -> None:
        count, padding = self._left + self._padding, self._padding
        self._left = self._padding = 0
        while count:
            have = len(self._buffer) - self._at
            if have >= count:
                self._at += count
                return
            self._at = len(self._buffer)
            count -= have
            if self._seek is not None:
                self._seek(count)
                self.read_bytes += count
                return
            if not self._more():
                if count <= padding:
                    return  # the fill after the last file: what umoci inserts has none, and Go's reader asks for none
                raise InvalidArgument("unexpected end of tar archive")

    def _meta(self, size: int, what: str) -> bytes:
        if size > META_LIMIT:
            raise InvalidArgument(f"{what} in tar archive is too large: {size} bytes")
        self._left, self._padding = size, -size % 512
        data = b"".join(self.chunks())
        self._skip()
        return data

    def drain(self) -> None:
        """Read to the end of the stream, so that the hash covers all of it."""
        self._at = len(self._buffer)
        extra = 0
        while self._more():
            extra += len(self._buffer)
            self._at = len(self._buffer)
            if extra > TRAILER_LIMIT:
                raise InvalidArgument("too much data after the end of the tar archive")

    # --- headers

    def next(self) -> Header | None:
        """The next entry; None at the end of the archive. Raises InvalidArgument for whatever is no tar."""
        if self._left or self._padding:
            self._skip()
        local: dict[bytes, bytes] | None = None
        name = link = None
        while True:
            block = self._block()
            if block is None or block == _ZERO:
                return None
            self._count()
            _check_sum(block)
            kind = block[156]
            if kind in _PLAIN:
                return self._entry(block, kind, local, name, link)
            size = number(block[124:136])
            if size < 0:
                raise InvalidArgument(f"invalid size in tar header: {size}")
            if kind == 0x78:  # x
                local = self._pax(size, local)
            elif kind == 0x67:  # g
                self._global.update(records(self._meta(size, "pax header")))
                if sum(len(key) + len(value) for key, value in self._global.items()) > META_LIMIT:
                    raise InvalidArgument("global pax headers in tar archive are too large")
            elif kind == 0x4C:  # L
                name = _text(self._meta(size, "long name"))
            elif kind == 0x4B:  # K
                link = _text(self._meta(size, "long link name"))
            elif kind == 0x53:  # S
                return self._entry(block, kind, local, name, link)
            else:
                # vendors' own kinds (volume headers, dumpdirs): POSIX says treat as files, every image tool skips them
                self._left, self._padding = size, -size % 512
                self._skip()
                local = name = link = None

    def _count(self) -> None:
        self.entries += 1
        if self.entries > ENTRY_LIMIT:
            raise InvalidArgument(f"tar archive has more than {ENTRY_LIMIT} entries")

    def _pax(self, size: int, before: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
        out = before or {}
        numbers: list[bytes] = []
        for key, value in records(self._meta(size, "pax header")):
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                numbers.append(value)  # format 0.0 repeats these keys
            else:
                out[key] = value
        if numbers:
            out[b"GNU.sparse.map"] = b",".join(numbers)
        return out

    def _entry(self, block: bytes, kind: int, local: dict[bytes, bytes] | None, name: bytes | None, link: bytes | None) -> Header:
        header = Header()
        header.kind = kind if kind in _KNOWN else REG
        header.name = _text(block[:100])
        if block[345] and block[257:263] == b"ustar\0":
            header.name = _text(block[345:500]) + b"/" + header.name
        if name is not None:
            header.name = name
        header.link = link if link is not None else _text(block[157:257])
        _numbers(header, block)
        header.xattrs = header.sparse = None
        header.major = header.minor = 0
        if kind in b"34":
            header.major, header.minor = number(block[329:337]), number(block[337:345])
        if local or self._global:
            _apply_records(header, {**self._global, **local} if local else self._global)
        if header.kind != REG:
            # links and directories may state a size without having content; only old archives put data behind LINK
            header.stored = header.size = 0
        elif header.name.endswith(b"/") and kind in b"\x000":
            header.kind = DIR  # V7 had no kind of its own for directories
        self._check(header)
        self._left, self._padding = header.stored, -header.stored % 512
        if kind == 0x53:
            self._gnu_sparse(block, header)
        elif local and header.kind == REG:
            self._pax_sparse(header, local)
        return header

    @staticmethod
    def _check(header: Header) -> None:
        if header.size < 0 or header.stored < 0 or header.size >= 1 << 62:
            raise InvalidArgument(f"invalid size in tar header: {header.size}")
        if not (0 <= header.uid < 0xFFFFFFFF and 0 <= header.gid < 0xFFFFFFFF):
            raise InvalidArgument(f"invalid owner in tar header: {header.uid}:{header.gid}")
        if len(header.name) > PATH_LIMIT or len(header.link) > PATH_LIMIT:
            raise InvalidArgument(
                f"path in tar archive is too long: {max(len(header.name), len(header.link))} bytes",
                hint=f"Linux takes paths of {PATH_LIMIT} bytes",
            )
        if b"\0" in header.name or b"\0" in header.link:
            raise InvalidArgument("path in tar archive holds a zero byte")

    # --- sparse files

    def _gnu_sparse(self, block: bytes, header: Header) -> None:
        """Old GNU format: four pieces in the header, 21 in each extension block; the real size at 483."""
        pieces = []
        fields, extended = block[386:482], block[482]
        while True:
            for at in range(0, len(fields), 24):
                if fields[at]:
                    pieces.append((number(fields[at : at + 12]), number(fields[at + 12 : at + 24])))
            if not extended:
                break
            if len(pieces) > META_LIMIT // 24:
                raise InvalidArgument("sparse map in tar archive is too large")
            more = self._block()
            if more is None:
                raise InvalidArgument("unexpected end of tar archive")
            fields, extended = more[:504], more[504]
        header.size = number(block[483:495])
        _set_sparse(header, pieces, header.stored)

    def _pax_sparse(self, header: Header, local: dict[bytes, bytes]) -> None:
        if (local.get(b"GNU.sparse.major"), local.get(b"GNU.sparse.minor")) == (b"1", b"0"):
            pieces = self._sparse_map_in_content()
            left = self._left
        elif b"GNU.sparse.map" in local:
            pieces = _pairs(local[b"GNU.sparse.map"].split(b","))
            left = header.stored
        else:
            return
        real = local.get(b"GNU.sparse.realsize") or local.get(b"GNU.sparse.size") or b"0"
        header.size = _decimal(real, "size")
        header.name = local.get(b"GNU.sparse.name", header.name)
        self._check(header)
        _set_sparse(header, pieces, left)

    def _sparse_map_in_content(self) -> list[tuple[int, int]]:
        """Format 1.0: decimal numbers, one a line, before the data and filled up to whole blocks."""
        text = b""
        lines: list[bytes] = []
        wanted = 1
        while len(lines) < wanted:
            if self._left < 512 or len(text) > META_LIMIT:
                raise InvalidArgument("invalid sparse map in tar archive")
            text += self._block() or b""
            self._left -= 512
            lines = text.split(b"\n")[:-1]
            if lines:
                wanted = 1 + 2 * _decimal(lines[0], "sparse map")
        return _pairs(lines[1:wanted])


def _pairs(numbers: list[bytes]) -> list[tuple[int, int]]:
    if numbers == [b""]:
        return []
    if len(numbers) % 2:
        raise InvalidArgument("invalid sparse map in tar archive")
    values = [_decimal(text, "sparse map") for text in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def _set_sparse(header: Header, pieces: list[tuple[int, int]], stored: int) -> None:
    position = total = 0
    for offset, length in pieces:
        if offset < position or length < 0 or offset + length > header.size:
            raise InvalidArgument("invalid sparse map in tar archive")
        position = offset + length
        total += length
    if total != stored or not 0 <= header.size < 1 << 62:
        raise InvalidArgument("invalid sparse map in tar archive")
    header.sparse = pieces


def _check_sum(block: bytes) -> None:
    """The header's sum counts its own field as blanks (256); some old tars summed signed bytes."""
    stated = number(block[148:156])
    plain = sum(block) - sum(block[148:156]) + 256
    if stated != plain:
        high = sum(1 for byte in block[:148] + block[156:] if byte > 127)
        if stated != plain - 256 * high:
            raise InvalidArgument("invalid tar header", hint="the file is damaged or no tar archive")


def _apply_records(header: Header, pax: dict[bytes, bytes]) -> None:
    for key, value in pax.items():
        if key == b"path":
            header.name = value
        elif key == b"linkpath":
            header.link = value
        elif key == b"size":
            header.stored = header.size = _decimal(value, "size")
        elif key == b"uid":
            header.uid = _decimal(value, "uid")
        elif key == b"gid":
            header.gid = _decimal(value, "gid")
        elif key == b"mtime":
            header.mtime_ns = _nanoseconds(value)
        elif key.startswith(_XATTR) and len(key) > len(_XATTR):
            if header.xattrs is None:
                header.xattrs = {}
            header.xattrs[key[len(_XATTR) :]] = value
