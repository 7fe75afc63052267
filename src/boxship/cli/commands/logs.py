"""logs: what a container has written."""

import sys

from boxship.cli.flags import BOOL, LATER, STRING, Call, ClientError, Command

COMMAND = Command(
    "[OPTIONS] CONTAINER",
    (
        ("details", "", BOOL, False, "Show the extra fields of log drivers", LATER),
        ("follow", "f", BOOL, False, "Go on as more is written"),
        ("since", "", STRING, "", 'Show what was written since a time ("2013-01-02T13:23:37Z") or a span back ("42m")'),
        ("tail", "n", STRING, "all", "Number of lines from the end"),
        ("timestamps", "t", BOOL, False, "Show when each line was written"),
        ("until", "", STRING, "", 'Show what was written before a time ("2013-01-02T13:23:37Z") or a span back ("42m")'),
    ),
    least=1,
    most=1,
)


def main(call: Call) -> int:
    from boxship.engine import logs

    entries = logs.read(
        call.store(),
        call.args[0],
        follow=call["follow"],
        tail=_tail(call["tail"]),
        since=_moment(call, "since"),
        until=_moment(call, "until"),
        timestamps=call["timestamps"],
    )
    streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    for stream, data in entries:
        streams[stream].write(data)
        if call["follow"] or stream == 2:
            # what went to the other stream before comes before
            sys.stdout.buffer.flush()
            sys.stderr.buffer.flush()
    return 0


def _tail(text: str) -> "int | None":
    """Docker takes anything that is no number of lines for all of them, and so must scripts that rely on it."""
    return int(text) if text.isascii() and text.isdigit() else None


def _moment(call: Call, flag: str) -> "float | None":
    if not call[flag]:
        return None
    from boxship.cli.moments import parse_moment

    try:
        return parse_moment(call[flag])
    except ValueError as error:
        raise ClientError(f'invalid value for "{flag}": {error}') from None
