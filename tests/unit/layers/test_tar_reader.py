"""The reader against Python's own tarfile, and against hostile bytes."""

import bz2
import gzip
import hashlib
import io
import lzma
import resource
import subprocess
import sys
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, InvalidArgument
from boxship.layers import tar
from boxship.layers.compression import Inflater, inflate, media_compression
from boxship.layers.place import clean

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def entries(data: bytes) -> list[dict[str, Any]]:
    reader = tar.Reader(io.BytesIO(data))
    out = []
    while header := reader.next():
        content = reader.content() or b"".join(reader.chunks())
        out.append({name: getattr(header, name) for name in tar.Header.__slots__} | {"content": content})
    reader.drain()
    return out


def one(data: bytes) -> dict[str, Any]:
    (entry,) = entries(data)
    return entry


def make(info: tarfile.TarInfo, content: bytes = b"", form: int = tarfile.PAX_FORMAT, **more: Any) -> bytes:
    out = io.BytesIO()
    info.size = len(content) if info.isreg() else info.size
    with tarfile.open(fileobj=out, mode="w", format=form, **more) as archive:
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS.keys())
def test_dialects(form: int) -> None:
    info = tarfile.TarInfo("a/b")
    info.mode, info.uid, info.gid, info.mtime = 0o4751, 7, 8, 1_234_567_890
    entry = one(make(info, b"content", form))
    assert (entry["name"], entry["mode"], entry["uid"], entry["gid"]) == (b"a/b", 0o4751, 7, 8)
    assert (entry["mtime_ns"], entry["content"], entry["kind"]) == (1_234_567_890 * 10**9, b"content", tar.REG)


@pytest.mark.parametrize("missing", [512, 1024, 1024 + 1, 1024 + 505])
def test_the_last_padding_and_the_end_may_be_missing(missing: int) -> None:
    """Layers that umoci inserts end with the last byte of the last file. Go's reader takes them, so they are about."""
    whole = make(tarfile.TarInfo("a/b"), b"content", tarfile.USTAR_FORMAT)[: 512 + 512 + 1024]
    assert one(whole[: len(whole) - missing])["content"] == b"content"
    with pytest.raises(InvalidArgument, match="unexpected end of tar archive"):
        one(whole[: 512 + 6])


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_large_numbers(form: int) -> None:
    info = tarfile.TarInfo("d/" * 200 + "ü")
    info.type, info.linkname = tarfile.SYMTYPE, "t" * 300
    info.uid = info.gid = 4_000_000_000
    entry = one(make(info, form=form))
    assert entry["name"] == info.name.encode() and entry["link"] == b"t" * 300 and entry["uid"] == 4_000_000_000


def test_ustar_prefix() -> None:
    info = tarfile.TarInfo("p" * 90 + "/" + "n" * 90)
    assert one(make(info, form=tarfile.USTAR_FORMAT))["name"] == info.name.encode()


def test_pax_times_xattrs_and_global_headers() -> None:
    info = tarfile.TarInfo("x")
    info.pax_headers = {"mtime": "1.123456789", "SCHILY.xattr.user.a": "v=1", "comment": "no"}
    entry = one(make(info, b"", tarfile.PAX_FORMAT, pax_headers={"uid": "77"}))
    assert entry["mtime_ns"] == 1_123_456_789 and entry["xattrs"] == {b"user.a": b"v=1"} and entry["uid"] == 77


@pytest.mark.parametrize(
    "flags",
    [["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"], ["--format=pax", "--sparse-version=0.0"]],
)
def test_sparse_files_of_gnu_tar(flags: list[str], tmp_path: Any) -> None:
    from boxship.layers.apply import apply

    with open(tmp_path / "holes", "wb") as file:
        for place in range(0, 60):
            file.seek(place * 100_000)
            file.write(b"%05d" % place * 100)
        file.truncate(20_000_000)
    data = subprocess.run(["tar", "-cS", *flags, "-C", tmp_path, "holes"], capture_output=True, check=True).stdout
    assert len(data) < 2_000_000
    (tmp_path / "out").mkdir()
    applied = apply(io.BytesIO(data), str(tmp_path / "out"))
    assert applied.files == 1
    assert (tmp_path / "out/holes").read_bytes() == (tmp_path / "holes").read_bytes()
    assert (tmp_path / "out/holes").stat().st_blocks * 512 < 2_000_000


def test_hash_covers_the_fill_after_the_end() -> None:
    data = make(tarfile.TarInfo("x")) + bytes(5000)
    hasher = hashlib.sha256()
    reader = tar.Reader(io.BytesIO(data), hasher)
    while reader.next():
        pass
    reader.drain()
    assert hasher.digest() == hashlib.sha256(data).digest()


def _header(**fields: Any) -> bytes:
    info = tarfile.TarInfo(fields.pop("name", "x"))
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


HOSTILE = {
    "cut header": _header()[:300],
    "cut content": _header(size=5000) + b"x" * 100,
    "noise": b"\x01" * 1024,
    "text": b"this is no archive\n" * 100,
    "huge pax header": _header(type=b"x", size=1 << 30),
    "huge long name": _header(type=b"L", size=1 << 30),
    "huge global header": _header(type=b"g", size=1 << 40),
    "negative size": _header(size=-1),
    "size beyond the file system": _header(size=1 << 62),
    "negative owner": _header(uid=-5),
    "owner that wraps to zero": _header(uid=1 << 32),
    "path too long": _header(type=b"L", size=5001) + b"a/" * 2500 + b"a" + bytes(-5001 % 512) + _header(),
    "pax record without a length": _header(type=b"x", size=9) + b"path=abc\n" + bytes(503) + _header(),
    "pax record that lies": _header(type=b"x", size=9) + b"99 a=bcd\n" + bytes(503) + _header(),
    "pax size that is no number": _header(type=b"x", size=11) + b"11 size=ab\n" + bytes(501) + _header(),
    "pax time that is no number": _header(type=b"x", size=12) + b"12 mtime=in\n" + bytes(500) + _header(),
    "sparse map that lies": _header(type=b"S", size=512) + bytes(512),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_end_in_one_clear_error(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        entries(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 1500), st.binary(min_size=1, max_size=30))
def test_damaged_archives_never_crash(noise: bytes, place: int, patch: bytes) -> None:
    info = tarfile.TarInfo("some/" + "long" * 40)
    info.pax_headers = {"SCHILY.xattr.user.a": "b"}
    good = make(info, b"content" * 50)
    for data in (noise, good[:place] + patch + good[place + len(patch) :]):
        try:
            entries(data)
        except BoxshipError:
            pass


@settings(max_examples=200, deadline=None)
@given(st.text("ab./", max_size=40))
def test_cleaned_names_stay_inside(name: str) -> None:
    try:
        parts = clean(name.encode()).split(b"/")
    except InvalidArgument:
        return
    assert b".." not in parts and b"." not in parts and (parts == [b""] or b"" not in parts)


def _packed(kind: str, data: bytes) -> bytes:
    if kind == "zstd":
        from backports import zstd

        return bytes(zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}))
    return {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}[kind](data)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_compression_by_first_bytes(kind: str) -> None:
    if kind == "zstd":
        pytest.importorskip("backports.zstd")
    plain = bytes(range(256)) * 5000
    packed = _packed(kind, plain)
    for data in (packed, packed + _packed(kind, b"more")):
        stream = inflate(io.BytesIO(data))
        out = b"".join(iter(lambda: stream.read(70_000), b""))
        assert out == (plain if data == packed else plain + b"more")
    for bad in (packed[:-5], packed[: len(packed) // 2], packed[:20] + b"\xff" * 40 + packed[60:], packed + b"garbage after it"):
        with pytest.raises(InvalidArgument):
            stream = inflate(io.BytesIO(bad))
            while stream.read(1 << 20):
                pass
    with pytest.raises(InvalidArgument, match="unexpected compression"):
        inflate(io.BytesIO(packed), allowed=())


def test_media_types() -> None:
    assert media_compression("application/vnd.oci.image.layer.v1.tar+zstd") == "zstd"
    assert media_compression("application/vnd.docker.image.rootfs.diff.tar.gzip") == "gzip"
    assert media_compression("application/vnd.oci.image.layer.v1.tar") == ""


BOMBS = {
    "gzip": "from isal import isal_zlib as z; c = z.compressobj(3, z.DEFLATED, 31)",
    "zstd": "from backports import zstd as z; c = z.ZstdCompressor()",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_end_under_a_memory_bound(kind: str) -> None:
    """10 GiB of zeros: an error before they are all made, in a process that may have 300 MB."""
    code = f"""
import io, resource, sys
{BOMBS[kind]}
zeros = bytes(1 << 24)
data = b"".join([c.compress(zeros) for _ in range(640)]) + c.flush()
resource.setrlimit(resource.RLIMIT_AS, ({300 << 20}, {300 << 20}))
from boxship.layers.compression import inflate
from boxship.errors import InvalidArgument
stream = inflate(io.BytesIO(data))
try:
    while stream.read(1 << 18):
        pass
except InvalidArgument as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert "compressed data grows more than 250 times" in done.stdout, done.stderr


class _Endless:
    """Entries without end."""

    def __init__(self) -> None:
        self.block = _header() * 512

    def read(self, size: int) -> bytes:
        return self.block


def test_a_million_entries_are_refused() -> None:
    reader = tar.Reader(_Endless())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidArgument, match="more than 999999 entries"):
        while reader.next():
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_inflater_counts() -> None:
    stream = inflate(io.BytesIO(gzip.compress(b"x" * 1000)))
    assert isinstance(stream, Inflater)
    assert stream.read(10) == b"x" * 10 and stream.given == 10
