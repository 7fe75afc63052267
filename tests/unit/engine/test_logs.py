"""Reading logs back: whatever was printed, from any place, while it is being written."""

import json
import os
import pathlib
import random
import threading
import time
from typing import Any

import pytest

from boxship.engine import logs, timestamps
from boxship.engine.logdrivers import json_file, json_reader
from boxship.engine.store import Store
from boxship.errors import InvalidArgument, NotFound, Unsupported
from boxship.runtime import active
from tests.unit.engine.conftest import SECOND, add_container


def log_path(store: Store) -> str:
    ident = f"{1:064x}"
    os.makedirs(f"{store.paths.containers}/{ident}", exist_ok=True)
    return f"{store.paths.containers}/{ident}/{ident}-json.log"


@pytest.fixture
def path(opened: Store) -> str:
    add_container(opened, 1)
    return log_path(opened)


def write(path: str, *entries: tuple[int, bytes], **options: int) -> None:
    writer = json_file.Writer(path, **options)
    for stream, data in entries:
        writer.write(stream, data)
    writer.close()


def merged(entries: Any) -> list[tuple[int, bytes]]:
    """Neighbours of one stream as one."""
    found: list[tuple[int, bytes]] = []
    for stream, data in entries:
        if found and found[-1][0] == stream:
            found[-1] = (stream, found[-1][1] + data)
        else:
            found.append((stream, data))
    return found


def text(entries: Any) -> bytes:
    return b"".join(data for _, data in entries)


NASTY = [
    b"plain\n", b'","stream":"stderr","time":"x"}\n', b'{"log":"x\n', b'"}\n{"log":"\n', b"\\\n", b'\\"\n', b"\\u0041\n", b"\\n\n", b"\n",
    b"\x00\x01\x1b[31m\n", "ü🚀\u2028\n".encode(), b"<&>\n", b"\r\n", b"\t\n", b"x" * 20000 + b"\n",
]  # fmt: skip


@pytest.mark.parametrize("line", NASTY, ids=lambda line: repr(line[:20]))
@pytest.mark.parametrize("stamps", [False, True])
def test_every_text_comes_back(opened: Store, path: str, line: bytes, stamps: bool) -> None:
    write(path, (1, b"before\n"), (1, line), (2, line), (1, b"after\n"))
    found = merged(logs.read(opened, "n1", timestamps=stamps))
    if stamps:
        assert [stream for stream, _ in found] == [1, 2, 1]
        parts = [part.partition(b" ") for part in found[2][1].splitlines(keepends=True)]
        assert [rest for _, _, rest in parts] == [b"after\n"]
        assert len(parts[0][0]) == len("2026-01-02T03:04:05.123456789Z")
    else:
        assert found == [(1, b"before\n" + line), (2, line), (1, b"after\n")]


def test_random_bytes_in_random_pieces(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "_CHUNK", 300)
    chance = random.Random(7)
    alphabet = [b"\\", b'"', b"\n", b"n", b"}", b"{", b",", b"log", b"stream", b"\xc3\xa9", b"<", b"\x00", b" "]
    wanted: dict[int, bytes] = {1: b"", 2: b""}
    writer = json_file.Writer(path, max_size=4000, max_files=1000)
    for _ in range(400):
        stream = chance.choice((1, 1, 1, 2))
        data = b"".join(chance.choice(alphabet) for _ in range(chance.randrange(60)))
        wanted[stream] += data
        writer.write(stream, data)
    writer.close()
    found = list(logs.read(opened, "n1"))
    for stream in (1, 2):
        assert text(entry for entry in found if entry[0] == stream) == wanted[stream]


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 100, 399, 400, 1000])
def test_tail_over_rotated_files(opened: Store, path: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "_BLOCK", 64)
    write(path, *((1, b"line %d\n" % number) for number in range(400)), max_size=1000, max_files=1000)
    assert len(os.listdir(os.path.dirname(path))) > 10
    wanted = b"".join(b"line %d\n" % number for number in range(max(0, 400 - count), 400))
    assert text(logs.read(opened, "n1", tail=count)) == wanted
    assert text(logs.read(opened, "n1", tail=str(count))) == wanted


def test_a_tail_reads_only_the_end(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, (1, b"some text\n" * 100_000), max_size=1 << 30)
    size = os.stat(path).st_size
    read: list[int] = []
    real = os.pread

    def counted(fd: int, count: int, place: int) -> bytes:
        read.append(place)
        return real(fd, count, place)

    monkeypatch.setattr(os, "pread", counted)
    assert text(logs.read(opened, "n1", tail=5)) == b"some text\n" * 5
    assert min(read) > size - (1 << 17)


@pytest.mark.parametrize("tail", ["all", "", None, "-3", "x", -1])
def test_anything_but_a_number_means_all(opened: Store, path: str, tail: Any) -> None:
    write(path, (1, b"a\nb\n"))
    assert text(logs.read(opened, "n1", tail=tail)) == b"a\nb\n"


def at(path: str, *records: tuple[float, str]) -> None:
    """Records with times of their own."""
    with open(path, "a", encoding="utf-8") as file:
        for seconds, word in records:
            file.write(json_file.frame(f"{word}\n".encode(), "stdout", timestamps.rfc3339(int(seconds * SECOND), fixed=True)))


@pytest.mark.parametrize(
    ("since", "until", "want"),
    [
        ("", "", b"a\nb\nc\n"), ("2", "", b"b\nc\n"), ("2.5", "", b"c\n"), ("", "2", b"a\nb\n"), ("1.5", "2.5", b"b\n"),
        ("1970-01-01T00:00:03Z", "", b"c\n"), (2.5, None, b"c\n"), (None, 1.0, b"a\n"), ("10m", "", b""), ("", "10m", b"a\nb\nc\n"),
    ],
)  # fmt: skip
def test_since_and_until(opened: Store, path: str, since: Any, until: Any, want: bytes) -> None:
    at(path, (1, "a"), (2, "b"), (3, "c"))
    assert text(logs.read(opened, "n1", since=since, until=until)) == want


def test_tail_comes_before_since(opened: Store, path: str) -> None:
    at(path, (1, "a"), (2, "b"), (3, "c"))
    assert text(logs.read(opened, "n1", tail=2, until="2")) == b"b\n"


def test_older_files_are_skipped_for_since(opened: Store, path: str) -> None:
    at(f"{path}.1", (1, "a"))
    os.utime(f"{path}.1", (1, 1))
    at(path, (3, "c"))
    assert text(logs.read(opened, "n1", since="2")) == b"c\n"
    assert text(logs.read(opened, "n1")) == b"a\nc\n"


@pytest.mark.parametrize("value", ["bad", "2024-13-01", "1h x"])
def test_bad_times(opened: Store, path: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match=f'invalid value for "until": failed to parse value as time or duration: "{value}"'):
        logs.read(opened, "n1", until=value)


def test_nothing_to_read(opened: Store, path: str) -> None:
    assert list(logs.read(opened, "n1")) == []
    assert list(logs.read(opened, "n1", follow=True)) == []
    with pytest.raises(NotFound, match="No such container: nope"):
        logs.read(opened, "nope")
    add_container(opened, 2, host={"LogConfig": {"Type": "none"}})
    with pytest.raises(Unsupported, match="does not support reading"):
        logs.read(opened, "n2")


def test_broken_and_foreign_lines(opened: Store, path: str) -> None:
    write(path, (1, b"first\n"))
    with open(path, "ab") as file:
        file.write(b'{"log":"cut sho')  # a full disk
        file.write(json_file.frame(b"second\n", "stdout", "2026-01-02T03:04:05.123456789Z").encode())
        file.write(b"no json\n[]\n{}\n\xff\xfe\n")
        file.write(json.dumps({"log": "third\n", "stream": "stderr", "attrs": {"a": 1}, "time": "2026-01-02T03:04:06.5Z"}).encode() + b"\n")
        file.write(b'{"log":"not yet whole')
    assert merged(logs.read(opened, "n1")) == [(1, b"first\nsecond\n"), (2, b"third\n")]
    assert text(logs.read(opened, "n1", since="2026-01-02T03:04:06Z", until="2026-01-02T03:04:07Z")) == b"third\n"
    assert b"2026-01-02T03:04:06.500000000Z third\n" in text(logs.read(opened, "n1", timestamps=True))


# -- follow --------------------------------------------------------------------------------------------------------------------
class Follower:
    """`logs -f` in a thread, of a container that lives as long as `alive`."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.alive = True
        self.got: list[tuple[int, bytes]] = []
        monkeypatch.setattr(active, "holder", lambda *_: int(self.alive))
        entries = logs.read(store, "n1", follow=True, **more)
        self.thread = threading.Thread(target=lambda: self.got.extend(entries), daemon=True)
        self.thread.start()

    def end(self) -> bytes:
        self.alive = False
        self.thread.join(10)
        assert not self.thread.is_alive()
        return text(self.got)


def test_follow_with_rotation_misses_nothing(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = json_file.Writer(path, max_size=5000, max_files=50)
    writer.write(1, b"early\n")
    follower = Follower(opened, monkeypatch)
    wanted = b"early\n"
    for number in range(600):
        line = b"line %d\n" % number
        wanted += line
        writer.write(1, line)
        if number % 20 == 0:
            time.sleep(0.004)
    writer.write(1, b"no line end")
    writer.close()
    assert follower.end() == wanted + b"no line end"


def test_follow_begins_before_there_is_a_log(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(opened, monkeypatch, tail=0)
    time.sleep(0.03)
    write(path, (2, b"at last\n"))
    time.sleep(0.1)
    assert follower.got == [(2, b"at last\n")]
    assert follower.end() == b"at last\n"


def test_follow_survives_an_emptied_file_and_a_removed_container(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, (1, b"one two three\n" * 10))
    follower = Follower(opened, monkeypatch, tail="1")
    time.sleep(0.05)
    os.truncate(path, 0)
    write(path, (1, b"new\n"))
    time.sleep(0.15)
    os.unlink(path)
    assert follower.end() == b"one two three\nnew\n"


def test_follow_stops_at_until(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, (1, b"a\n"))
    follower = Follower(opened, monkeypatch, until=time.time() + 0.2)
    follower.thread.join(5)
    assert not follower.thread.is_alive()
    assert text(follower.got) == b"a\n"


def test_a_follower_that_is_given_up_closes_its_files(opened: Store, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, (1, b"a\n"))
    monkeypatch.setattr(active, "holder", lambda *_: 1)
    before = len(os.listdir("/proc/self/fd"))
    entries = logs.read(opened, "n1", follow=True)
    assert next(entries) == (1, b"a\n")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    entries.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_are_seen_once_while_they_are_renamed(tmp_path: pathlib.Path) -> None:
    for name in ("log", "log.1", "log.3"):
        (tmp_path / name).write_text(name)
    os.link(tmp_path / "log.1", tmp_path / "log.2")
    (tmp_path / "log.gz").write_text("no part")
    found = json_reader.open_files(str(tmp_path / "log"))
    assert [os.pread(cursor.fd, 99, 0) for cursor in found] == [b"log.3", b"log.1", b"log"]
    for cursor in found:
        cursor.close()
