"""Reading json-file logs back. A million lines must not cost a million steps of the interpreter: records are taken by the chunk.

    {"log":"TEXT","stream":"stdout","time":"TIME"}     one a line, written by json_file

In TEXT every quote is escaped, so `,"stream":"` can't be part of it, whatever a container prints: what stands between two texts is
found in the raw bytes, and what is left is unescaped by one call. Lines of another form (cut short by a full disk, or written by
somebody else) are read one by one.
"""

import json
import os
import re
from collections.abc import Iterator
from itertools import groupby

from boxship.engine import timestamps

_HEAD = b'{"log":"'
_BETWEEN = re.compile(rb'","stream":"(stdout|stderr)","time":"([^"\\\n]*)"}\n{"log":"')
_STREAMS = {b"stdout": 1, b"stderr": 2}
_DECODER = json.JSONDecoder(strict=False)
_CHUNK = 1 << 18
_BLOCK = 1 << 16
# a separator that occurs more rarely than this in a chunk is left to the regular expression
_OFTEN = 64

Entry = tuple[int, bytes]


class Cursor:
    """A place in one file of a log; closes it when it is done."""

    def __init__(self, fd: int, position: int = 0) -> None:
        self.fd = fd
        self.position = position
        self.inode = os.fstat(fd).st_ino

    def chunks(self) -> Iterator[bytes]:
        """Whole lines, as far as they are written."""
        if os.fstat(self.fd).st_size < self.position:
            self.position = 0  # emptied, as max-file=1 does
        size = _CHUNK
        while data := os.pread(self.fd, size, self.position):
            end = data.rfind(b"\n") + 1
            if end:
                self.position += end
                size = _CHUNK
                yield data[:end]
            elif len(data) < size:
                return
            else:
                size *= 2

    def skip_to_last(self, records: int) -> int:
        """Go to where the last so many records begin; how many there are at most."""
        self.position, seen = 0, 0
        place = os.fstat(self.fd).st_size
        while place:
            step = min(_BLOCK, place)
            place -= step
            block = os.pread(self.fd, step, place)
            count = block.count(b"\n")
            if seen + count > records:
                at = len(block)
                for _ in range(records + 1 - seen):
                    at = block.rfind(b"\n", 0, at)
                self.position = place + at + 1
                return records
            seen += count
        return seen

    def close(self) -> None:
        os.close(self.fd)


def open_files(path: str) -> list[Cursor]:
    """The log's files, oldest first. The writer may be renaming them: from new to old nothing is missed, only seen twice."""
    folder, _, name = path.rpartition("/")
    found: dict[int, Cursor] = {}
    number, last = 0, _last_number(folder, name)
    while number <= last:
        try:
            fd = os.open(f"{path}.{number}" if number else path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            pass
        else:
            cursor = Cursor(fd)
            if found.setdefault(cursor.inode, cursor) is not cursor:
                cursor.close()
        if number == last:
            last = _last_number(folder, name)
        number += 1
    return list(found.values())[::-1]


def _last_number(folder: str, name: str) -> int:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    numbers = [one[len(name) + 1 :] for one in names if one.startswith(f"{name}.")]
    return max([int(number) for number in numbers if number.isascii() and number.isdigit()], default=0)


class Decoder:
    """Chunks of records to bytes as the container wrote them. `past`: a record later than `until` was seen."""

    def __init__(self, since: int | None = None, until: int | None = None, stamps: bool = False) -> None:
        """Times in nanoseconds; None for no bound."""
        self.since = since
        self.until = until
        self._since = timestamps.rfc3339(since, fixed=True).encode() if since is not None else b""
        self._until = timestamps.rfc3339(until, fixed=True).encode() if until is not None else b""
        self.stamps = stamps
        self.past = False

    def decode(self, chunk: bytes) -> list[Entry]:
        """`chunk` is whole lines."""
        try:
            if not (self._since or self._until or self.stamps):
                for stream, other in ((b"stdout", b"stderr"), (b"stderr", b"stdout")):
                    if b'","stream":"%s","time":"' % other not in chunk:
                        return [(_STREAMS[stream], _unescaped(_joined(chunk)))]
            return self._by_record(chunk)
        except ValueError:
            return [entry for line in chunk.splitlines() for entry in self._one(line)]

    def _by_record(self, chunk: bytes) -> list[Entry]:
        if not chunk.startswith(_HEAD):
            raise ValueError("no record")
        parts = _BETWEEN.split(chunk[len(_HEAD) :] + _HEAD)
        records = list(zip(parts[1::3], parts[2::3], parts[:-1:3], strict=True))
        if parts[-1] or any(b"\n" in text for text in parts[::3]):
            raise ValueError("not records only")
        if self._since or self._until:
            records = self._in_time(records)
        entries = []
        for stream, run in groupby(records, _stream):
            texts = [b"%b %b" % (when, text) if self.stamps else text for _, when, text in run]
            entries.append((_STREAMS[stream], _unescaped(b"".join(texts))))
        return entries

    def _in_time(self, records: list[tuple[bytes, bytes, bytes]]) -> list[tuple[bytes, bytes, bytes]]:
        """Times are all of one width, so they compare as text."""
        kept = [record for record in records if record[1] >= self._since] if self._since else records
        if self._until:
            early = [record for record in kept if record[1] <= self._until]
            self.past = self.past or len(early) < len(kept)
            kept = early
        return kept

    def _one(self, line: bytes) -> list[Entry]:
        """A line of a form that we do not write; nothing for one that is no record."""
        record = _parsed(line) or _parsed(line[max(line.rfind(_HEAD), 0) :])
        if record is None:
            return []
        try:
            when = timestamps.rfc3339(timestamps.moment(str(record.get("time") or "")) or 0, fixed=True).encode()
        except ValueError:
            return []
        if self._since and when < self._since:
            return []
        if self._until and when > self._until:
            self.past = True
            return []
        text = str(record["log"]).encode("utf-8", "replace")
        return [(2 if record.get("stream") == "stderr" else 1, b"%b %b" % (when, text) if self.stamps else text)]


def _stream(record: tuple[bytes, bytes, bytes]) -> bytes:
    return record[0]


def _parsed(line: bytes) -> "dict[str, object] | None":
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("log"), str) else None


def _joined(chunk: bytes) -> bytes:
    """The escaped texts of a chunk of one stream, one after the other. ValueError when it is not records only."""
    if not chunk.startswith(_HEAD):
        raise ValueError("no record")
    body = chunk[len(_HEAD) :] + _HEAD
    while found := _BETWEEN.search(body):
        # what one write of the container made shares its time
        separator = found[0]
        rest = body.replace(separator, b"")
        if len(body) - len(rest) < _OFTEN * len(separator):
            body = _BETWEEN.sub(b"", rest)
            break
        body = rest
    if b"\n" in body:
        raise ValueError("not records only")
    return body


def _unescaped(text: bytes) -> bytes:
    found = _DECODER.decode(f'"{text.decode("utf-8", "replace")}"')
    if not isinstance(found, str):
        raise ValueError("a quote in the text")
    return found.encode("utf-8", "replace")
