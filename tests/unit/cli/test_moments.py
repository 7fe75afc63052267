import time

import pytest

from boxship.cli.moments import parse_nanoseconds
from tests.tables import rows


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("case", rows("engine/timestamps_client"))
def test_moment(case):
    want = case["expect"]
    if "error" in want:
        with pytest.raises(ValueError):
            parse_nanoseconds(case["input"])
    elif "query" in want:
        seconds, _, fraction = want["query"].partition(".")
        assert parse_nanoseconds(case["input"]) == int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
    else:
        assert abs(time.time_ns() - want["seconds_before_now"] * 10**9 - parse_nanoseconds(case["input"])) < 2 * 10**9
