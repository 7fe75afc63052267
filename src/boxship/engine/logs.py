"""The use case of `logs`: what a container has written, from its json-file log and its rotated parts."""

import os
import time
from collections.abc import Iterator

from boxship import fastjson
from boxship.engine import containers, timestamps
from boxship.engine.logdrivers.json_reader import Cursor, Decoder, Entry, open_files
from boxship.engine.store import Store
from boxship.errors import InvalidArgument, Unsupported
from boxship.runtime import active

_SHORTEST, _LONGEST = 0.002, 0.05


def read(
    store: Store,
    ident: str,
    follow: bool = False,
    tail: "str | int | None" = "all",
    since: "str | float | None" = "",
    until: "str | float | None" = "",
    timestamps: bool = False,
) -> Iterator[Entry]:
    """(1 for stdout or 2 for stderr, bytes) in the order in which they were written, many lines at once.

    `tail`: how many lines from the end, "all" for all of them. `since`, `until`: RFC 3339, Unix seconds, or a span back ("10m").
    `follow`: go on until the container ends. Raises NotFound, InvalidArgument, Unsupported.
    """
    row = containers.find(store, ident)
    log = fastjson.loads(row.host_config).get("LogConfig") or {}
    if log.get("Type") == "none":
        raise Unsupported("configured logging driver does not support reading")
    decoder = Decoder(_moment("since", since), _moment("until", until), timestamps)
    path = f"{store.paths.containers}/{row.id}/{row.id}-json.log"
    if not follow:
        return _written(open_files(path), _count(tail), decoder)
    return _followed(store, row.id, path, _count(tail), decoder)


def _moment(name: str, value: "str | float | None") -> "int | None":
    try:
        return timestamps.moment(value)
    except InvalidArgument as error:
        raise InvalidArgument(f'invalid value for "{name}": {error.message}', hint=error.hint) from None


def _count(tail: "str | int | None") -> int:
    """-1 for all; as with Docker that is what anything but a number means."""
    if tail is None or (isinstance(tail, str) and not (tail.isascii() and tail.isdigit())):
        return -1
    return max(int(tail), -1)


def _written(files: "list[Cursor]", count: int, decoder: Decoder) -> Iterator[Entry]:
    """What is there now; closes the files."""
    try:
        for cursor in _from(files, count, decoder):
            for chunk in cursor.chunks():
                yield from decoder.decode(chunk)
                if decoder.past:
                    return
    finally:
        for cursor in files:
            cursor.close()


def _from(files: "list[Cursor]", count: int, decoder: Decoder) -> "list[Cursor]":
    """Those of the files that hold something wanted, each at its first wanted record."""
    wanted: list[Cursor] = []
    for cursor in reversed(files):
        if count == 0 and wanted:
            break
        if decoder.since is not None and os.fstat(cursor.fd).st_mtime_ns < decoder.since and wanted:
            break  # nothing was written to it since
        if count >= 0:
            count -= cursor.skip_to_last(count)
        wanted.insert(0, cursor)
    return wanted


def _followed(store: Store, container_id: str, path: str, count: int, decoder: Decoder) -> Iterator[Entry]:
    files = open_files(path)
    try:
        for one in _from(files, count, decoder):
            yield from _decoded(one, decoder)
        cursor = files.pop() if files else None
    finally:
        for one in files:
            one.close()
    pause = _SHORTEST
    try:
        while not _over(decoder):
            # asked before the last look, so that nothing written before the end is missed
            ended = not active.holder(store.paths, container_id)
            before = cursor.position if cursor else 0
            yield from _decoded(cursor, decoder)
            newer = _newer(path, cursor)
            if newer is not None:
                yield from _decoded(cursor, decoder)
                if cursor is not None:
                    cursor.close()
                cursor = newer
            elif ended:
                return
            else:
                pause = min(pause * 2, _LONGEST) if cursor is None or cursor.position == before else _SHORTEST
                time.sleep(pause)
    finally:
        if cursor is not None:
            cursor.close()


def _decoded(cursor: "Cursor | None", decoder: Decoder) -> Iterator[Entry]:
    for chunk in cursor.chunks() if cursor is not None else ():
        yield from decoder.decode(chunk)


def _over(decoder: Decoder) -> bool:
    return decoder.past or (decoder.until is not None and time.time_ns() > decoder.until)


def _newer(path: str, cursor: "Cursor | None") -> "Cursor | None":
    """The file that comes after `cursor`'s, when the writer has begun another; the oldest when `cursor`'s is gone by now."""
    try:
        if cursor is not None and os.stat(path).st_ino == cursor.inode:
            return None
    except OSError:
        return None
    files = open_files(path)
    inodes = [one.inode for one in files]
    place = inodes.index(cursor.inode) + 1 if cursor is not None and cursor.inode in inodes else 0
    chosen = files[place] if place < len(files) else None
    for one in files:
        if one is not chosen:
            one.close()
    return chosen
