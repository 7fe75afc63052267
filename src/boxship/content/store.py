"""Blobs by digest.

    root/sha256/HEX       complete, verified, never changed
    root/ingest/NAME      partial; its writer holds a flock on it. Without a holder it is the remains of a
                          killed writer: the next ingest of the same reference goes on where it ended.
    root/lock             shared by whoever is about to refer to new blobs, exclusive for the sweep

A blob appears by rename after its digest was verified, so a kill leaves nothing that looks complete and is not.
There is no fsync: after a power cut a blob may be short, and every reader of ours verifies what it unpacks.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator

from boxship.errors import InvalidArgument, NotFound

_HEX = frozenset("0123456789abcdef")
_CHUNK = 1 << 20


def check_digest(digest: str) -> str:
    """The hex part of a sha256 digest. Raises InvalidArgument: a digest becomes a file name here."""
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or not _HEX.issuperset(hexadecimal):
        raise InvalidArgument(f"invalid or unsupported digest: {digest[:100]}", hint="sha256 is what registries use")
    return hexadecimal


class Writer:
    """One blob on its way in: write, then commit or abort. `offset` bytes were already there when it was opened."""

    def __init__(self, store: "ContentStore", path: str, fd: int) -> None:
        self._store = store
        self.path = path
        self._fd = fd
        self._hash = hashlib.sha256()
        self.offset = 0
        while chunk := os.read(fd, _CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        self.size = self.offset

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        return len(data)

    def restart(self) -> None:
        """Forget what is there: the source can't go on from `offset`."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.offset = self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self, digest: str | None = None) -> str:
        """Verify (None: take what it is) and move into place; returns the digest. A mismatch removes the partial."""
        found = self.digest
        if digest is not None and digest != found:
            self.abort()
            raise InvalidArgument(f"content does not match its digest: expected {digest}, got {found}")
        target = self._store.path(found)
        os.fchmod(self._fd, 0o600)
        try:
            os.rename(self.path, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            os.rename(self.path, target)
        self.close()
        return found

    def abort(self) -> None:
        """Remove the partial."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Leave the partial where it is, for a later ingest of the same reference."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ContentStore:
    """The blobs below `root`. Holds no state of its own: any number of processes may use one store at once."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, digest: str) -> str:
        return f"{self.root}/sha256/{check_digest(digest)}"

    def exists(self, digest: str) -> bool:
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Bytes. Raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def open(self, digest: str) -> int:
        """A file descriptor to read from; the caller closes it. Raises NotFound."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def read(self, digest: str, limit: int = 4 << 20) -> bytes:
        """The whole blob. Raises NotFound, InvalidArgument for one larger than `limit` bytes."""
        with os.fdopen(self.open(digest), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidArgument(f"blob is larger than {limit} bytes: {digest}")
        return data

    def ingest(self, ref: str) -> Writer:
        """Begin or go on. `ref` names the work (the digest, say); a second writer of the same gets a file of its own."""
        folder = f"{self.root}/ingest"
        os.makedirs(folder, 0o700, exist_ok=True)
        name = hashlib.sha256(ref.encode()).hexdigest()[:32]
        path = f"{folder}/{name}"
        fd = _lock_partial(path)
        while fd is None:
            path = f"{folder}/{name}.{secrets.token_hex(4)}"
            fd = _lock_partial(path)
        return Writer(self, path, fd)

    def put(self, data: bytes) -> str:
        """Store a small document; returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self.exists(digest):
            with self.ingest(f"put {secrets.token_hex(8)}") as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    def delete(self, digest: str) -> None:
        """Remove the blob; it is no error when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """No sweep while this lasts: from the first blob written to the transaction that refers to it."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Nobody else adds blobs while this lasts. False when somebody does just now: sweep another time."""
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        os.makedirs(self.root, 0o700, exist_ok=True)
        fd = os.open(f"{self.root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def total(self) -> int:
        """Bytes of all blobs."""
        return sum(entry.stat(follow_symlinks=False).st_size for entry in _entries(f"{self.root}/sha256"))

    def sweep(self, keep: set[str]) -> int:
        """Delete blobs whose digest is not in `keep`, and partials nobody writes. Bytes freed. Call it in `exclusive()`."""
        freed = 0
        for entry in _entries(f"{self.root}/sha256"):
            if f"sha256:{entry.name}" not in keep:
                freed += entry.stat(follow_symlinks=False).st_size
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
        for entry in _entries(f"{self.root}/ingest"):
            fd = _lock_partial(entry.path, create=False)
            if fd is not None:
                freed += os.fstat(fd).st_size
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
                os.close(fd)
        return freed


def _entries(path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as scan:
            return list(scan)
    except FileNotFoundError:
        return []


def _lock_partial(path: str, create: bool = True) -> int | None:
    """The locked partial, or None when another writer holds it (or it is gone and `create` is false)."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    while True:
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the holder before us may have renamed it into place between our open and our lock
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        os.close(fd)
