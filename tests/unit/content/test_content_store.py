import hashlib
import os
import pathlib
import signal

import pytest

from boxship.content.store import ContentStore
from boxship.errors import InvalidArgument, NotFound


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> ContentStore:
    return ContentStore(str(tmp_path / "content"))


def test_put_read_delete(store: ContentStore) -> None:
    name = store.put(b"hello")
    assert name == digest(b"hello") == store.put(b"hello")
    assert store.exists(name) and store.read(name) == b"hello" and store.size(name) == 5
    with pytest.raises(InvalidArgument, match="larger than 4 bytes"):
        store.read(name, 4)
    store.delete(name)
    store.delete(name)
    assert not store.exists(name)
    with pytest.raises(NotFound, match="no such blob"):
        store.read(name)


@pytest.mark.parametrize(
    "name", ["", "sha256:", "sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 64, "sha256:" + "a" * 63]
)
def test_digest_is_never_a_path(store: ContentStore, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.path(name)


def test_mismatch_leaves_nothing(store: ContentStore) -> None:
    with store.ingest("x") as writer:
        writer.write(b"evil")
        with pytest.raises(InvalidArgument, match="does not match its digest"):
            writer.commit(digest(b"good"))
    assert not os.listdir(f"{store.root}/ingest")


def test_goes_on_where_a_killed_writer_ended(store: ContentStore) -> None:
    child = os.fork()
    if child == 0:
        writer = store.ingest("blob")
        writer.write(b"first half ")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with store.ingest("blob") as writer:
        assert writer.offset == 11
        writer.write(b"second half")
        assert writer.commit(digest(b"first half second half")) == digest(b"first half second half")
    assert store.read(writer.digest) == b"first half second half"
    assert not os.listdir(f"{store.root}/ingest")


def test_restart_forgets_the_partial(store: ContentStore) -> None:
    with store.ingest("blob") as writer:
        writer.write(b"old")
    with store.ingest("blob") as writer:
        assert writer.offset == 3
        writer.restart()
        writer.write(b"new")
        writer.commit(digest(b"new"))


def test_two_writers_of_the_same(store: ContentStore) -> None:
    with store.ingest("blob") as one, store.ingest("blob") as two:
        one.write(b"data")
        two.write(b"da")
        two.write(b"ta")
        assert one.commit(digest(b"data")) == two.commit(digest(b"data"))
    assert store.read(digest(b"data")) == b"data"


def test_sweep_spares_what_is_kept_or_written(store: ContentStore) -> None:
    kept, gone = store.put(b"kept"), store.put(b"gone!")
    with store.ingest("left") as writer:
        writer.write(b"1234567")
    with store.ingest("busy") as writer:
        writer.write(b"busy")
        assert store.sweep({kept}) == len(b"gone!") + 7
        writer.commit()
    assert store.exists(kept) and not store.exists(gone) and store.exists(digest(b"busy"))


def test_no_sweep_while_somebody_adds(store: ContentStore) -> None:
    with store.hold(), store.hold(), store.exclusive() as alone:
        assert not alone
    with store.exclusive() as alone:
        assert alone
