"""Removing a tree of any depth without following links, in constant memory and descriptors."""

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: "str | bytes", dir_fd: int | None = None) -> None:
    """Remove a directory and all below it; no error when it is not there. Raises OSError.

    Directories below are renamed up before they are emptied, so neither the length of a path nor the depth matters.
    """
    try:
        top = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        prefix = f".{os.urandom(6).hex()}-"
        pending = [name for name in os.listdir(top) if not _unlinked(name, top)]
        count = 0
        while pending:
            name = pending.pop()
            fd = os.open(name, _DIRECTORY, dir_fd=top)
            try:
                for child in os.listdir(fd):
                    if not _unlinked(child, fd):
                        count += 1
                        os.rename(child, f"{prefix}{count}", src_dir_fd=fd, dst_dir_fd=top)
                        pending.append(f"{prefix}{count}")
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=dir_fd)


def _unlinked(name: str, dir_fd: int) -> bool:
    """False when it is a directory."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True
