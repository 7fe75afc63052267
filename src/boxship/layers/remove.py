"""Removing a tree of any depth without following links, in constant memory and descriptors."""

import errno
import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: "str | bytes", dir_fd: int | None = None) -> None:
    """Remove a directory and all below it; no error when it is not there, or when others remove it too. Raises OSError.

    Directories below are renamed up before they are emptied, so neither the length of a path nor the depth matters.
    """
    gone = False
    while not gone:
        try:
            top = os.open(path, _DIRECTORY, dir_fd=dir_fd)
        except FileNotFoundError:
            return
        try:
            _empty(top)
        finally:
            os.close(top)
        gone = _without(path, dir_fd)


def _empty(top: int) -> None:
    prefix = f".{os.urandom(6).hex()}-"
    pending = [name for name in os.listdir(top) if not _unlinked(name, top)]
    count = 0
    while pending:
        name = pending.pop()
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=top)
        except FileNotFoundError:
            continue
        try:
            for child in os.listdir(fd):
                if not _unlinked(child, fd):
                    count += 1
                    if _moved_up(child, f"{prefix}{count}", fd, top):
                        pending.append(f"{prefix}{count}")
        finally:
            os.close(fd)
        if not _without(name, top):
            pending.append(name)


def _moved_up(child: str, name: str, fd: int, top: int) -> bool:
    try:
        os.rename(child, name, src_dir_fd=fd, dst_dir_fd=top)
    except FileNotFoundError:
        return False
    return True


def _without(path: "str | bytes", dir_fd: "int | None") -> bool:
    """False when somebody has put something into it meanwhile: another who removes the same tree and moves things up."""
    try:
        os.rmdir(path, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _unlinked(name: str, dir_fd: int) -> bool:
    """False when it is a directory."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True
