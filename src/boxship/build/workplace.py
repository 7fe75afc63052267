"""Where a build works: one directory below tmp/, locked while its process lives, and one lock per cache key.

A killed build leaves its directory without a lock: the next build removes it. The lock is flock(2) on the directory
itself, so it needs no file beside it and dies with the process. Whoever takes a lock checks that the name still means
what was locked: between opening and locking it may have been swept.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from boxship.errors import BoxshipError, Unavailable
from boxship.snapshots.overlay import short_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from boxship.config import Paths

_PREFIX = "build-"
_KEY = "buildkey-"
_PAUSE = 0.02
# linux/fs.h; the numbers of 64-bit machines
_GETFLAGS, _SETFLAGS, _TOPDIR = 0x80086601, 0x40086602, 0x00020000


class Workplace:
    """`with Workplace(paths) as place:` place.path is an empty directory that is gone afterwards."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.path = ""
        self._fd = -1

    def __enter__(self) -> Workplace:
        sweep(self.paths)
        spread(self.paths.tmp)
        while True:
            path = f"{self.paths.tmp}/{_PREFIX}{short_name()}"
            try:
                os.mkdir(path, 0o711)
            except OSError as error:
                raise in_words(error, "make a place to work") from None
            fd = _locked(path, os.O_RDONLY | os.O_DIRECTORY)
            if fd is not None:
                self.path, self._fd = path, fd
                return self

    def __exit__(self, *_: object) -> None:
        try:
            os.rmdir(self.path)
        except OSError:
            _remove(self.path)
        os.close(self._fd)


def spread(path: str) -> None:
    """Let ext4 put each directory made in `path` into another block group (the T of chattr(1)).

    Where thousands of inodes were freed a moment ago, each create in the same group walks over all of them, for they must
    not be used again at once (recently_deleted in fs/ext4/ialloc.c): a COPY of 10,000 files took 8 s instead of 1.5 s.
    Other file systems refuse the flag or ignore it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _GETFLAGS, bytes(8))[:4], sys.byteorder)
        if not flags & _TOPDIR:
            fcntl.ioctl(fd, _SETFLAGS, (flags | _TOPDIR).to_bytes(8, sys.byteorder))
    except OSError:
        pass
    finally:
        os.close(fd)


def _locked(path: str, flags: int) -> int | None:
    """A descriptor that holds the lock of what `path` names; None when another has it, or when it is gone."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named, mine = os.lstat(path), os.fstat(fd)
        if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def sweep(paths: Paths) -> int:
    """Remove what killed builds have left; how many there were."""
    count = 0
    for name in os.listdir(paths.tmp):
        path = f"{paths.tmp}/{name}"
        directory = name.startswith(_PREFIX)
        if not directory and not name.startswith(_KEY):
            continue
        fd = _locked(path, os.O_RDONLY | (os.O_DIRECTORY if directory else 0))
        if fd is None:
            continue
        try:
            if directory:
                _remove(path)
            else:
                os.unlink(path)
        except OSError:
            pass
        finally:
            os.close(fd)
        count += directory
    return count


def _remove(path: str) -> None:
    """As far as it can be done: what is left is for the next sweep."""
    from boxship.layers.remove import remove_tree

    try:
        remove_tree(path)
    except OSError:
        pass


class key_lock:
    """`with key_lock(...):` one build at a time works on a key, whatever process it is in.

    `check` is called while waiting and may raise.
    """

    def __init__(self, paths: Paths, key: str, check: Callable[[], None]) -> None:
        self._path = f"{paths.tmp}/{_KEY}{key[:32]}"
        self._check = check
        self._fd = -1

    def __enter__(self) -> None:
        while (fd := _locked(self._path, os.O_RDWR | os.O_CREAT)) is None:
            self._check()
            time.sleep(_PAUSE)
        self._fd = fd

    def __exit__(self, *_: object) -> None:
        # removed while it is still locked: whoever opened it meanwhile sees that the name is gone and asks again
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        os.close(self._fd)


def in_words(error: OSError, what: str) -> BoxshipError:
    """An operating system error as the user should read it."""
    from errno import EDQUOT, ENOSPC

    if error.errno in (ENOSPC, EDQUOT):
        return Unavailable(f"no space left on device: can't {what}", hint="boxship image prune frees space")
    where = f": {error.filename}" if error.filename else ""
    return Unavailable(f"can't {what}: {(error.strerror or str(error)).lower()}{where}")
