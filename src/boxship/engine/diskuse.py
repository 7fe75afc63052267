"""How much room a directory takes, while somebody may be writing and removing below it."""

import os


def used(directory: str) -> int:
    """Bytes of the regular files below; a file with several names counts once. What disappears meanwhile counts nothing."""
    total = 0
    seen: set[int] = set()
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as scan:
                entries = list(scan)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                total += _bytes(entry, seen)
    return total


def _bytes(entry: "os.DirEntry[str]", seen: "set[int]") -> int:
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if info.st_nlink > 1:
        if info.st_ino in seen:
            return 0
        seen.add(info.st_ino)
    return info.st_size
