from typing import Any

import pytest

from boxship.engine import timestamps
from boxship.errors import InvalidArgument
from tests.tables import rows


@pytest.mark.parametrize("case", rows("engine/timestamps"))
def test_table(case: dict[str, Any]) -> None:
    want = case["expect"]
    if case["kind"] == "unix":
        if "error" in want:
            with pytest.raises(InvalidArgument):
                timestamps.unix(case["input"])
        else:
            assert timestamps.unix(case["input"]) == want["seconds"] * 10**9 + want["nanoseconds"]
        return
    now = timestamps.moment(case["now"])
    if "error" in want:
        with pytest.raises(InvalidArgument, match="failed to parse value as time or duration"):
            timestamps.moment(case["input"], now)
    else:
        found = timestamps.moment(case["input"], now)
        assert found is not None
        assert timestamps.rfc3339(found) == want["time"]


@pytest.mark.parametrize(("text", "want"), [("1h30m", 5400 * 10**9), ("-1.5s", -15 * 10**8), ("300ms", 3 * 10**8), ("0", 0), ("1", None),
                                            ("", None), ("1h x", None), (".5m", 30 * 10**9), ("m", None)])  # fmt: skip
def test_duration(text: str, want: "int | None") -> None:
    assert timestamps.duration(text) == want


def test_moment_takes_numbers_and_nothing() -> None:
    assert timestamps.moment(None) is None
    assert timestamps.moment("") is None
    assert timestamps.moment(12.5) == 12_500_000_000
    with pytest.raises(InvalidArgument):
        timestamps.moment("2024-02-30")


def test_rfc3339() -> None:
    assert timestamps.rfc3339(0) == "0001-01-01T00:00:00Z"
    assert timestamps.rfc3339(1_500_000_000) == "1970-01-01T00:00:01.5Z"
    assert timestamps.rfc3339(2_000_000_000) == "1970-01-01T00:00:02Z"
    assert timestamps.rfc3339(2_000_000_000, fixed=True) == "1970-01-01T00:00:02.000000000Z"


@pytest.mark.parametrize(("seconds", "want"), [
    (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (150, "2 minutes"), (3600, "About an hour"),
    (3600 * 5, "5 hours"), (3600 * 24 * 3, "3 days"), (3600 * 24 * 15, "2 weeks"), (3600 * 24 * 70, "2 months"),
    (3600 * 24 * 365 * 3, "3 years"),
])  # fmt: skip
def test_span(seconds: float, want: str) -> None:
    assert timestamps.span(int(seconds * 10**9)) == want


def test_span_agrees_with_the_command_line() -> None:
    from boxship.cli.units import human_duration

    for exponent in range(0, 90):
        seconds = int(1.25**exponent)
        assert timestamps.span(seconds * 10**9) == human_duration(seconds)
