import pytest

from boxship.dockerapi import filters
from boxship.errors import InvalidArgument
from tests.tables import rows

KINDS = ("decode", "encode", "bool")


@pytest.mark.parametrize("case", [row for row in rows("engine/filters") if not row.values[0] or row.values[0]["kind"] in KINDS])
def test_filters(case):
    want = case["expect"]
    if case["kind"] == "bool":
        if "error" in want:
            with pytest.raises(InvalidArgument) as caught:
                filters.boolean(case["filters"], case["field"], case["default"])
            assert " ".join(want["values"]) in str(caught.value)
        else:
            assert filters.boolean(case["filters"], case["field"], case["default"]) is want["value"]
    elif "error" in want:
        with pytest.raises(InvalidArgument):
            filters.decode(case["filters"])
    else:
        assert {name: sorted(values) for name, values in filters.decode(case["filters"]).items()} == want["filters"]


def test_terms():
    assert filters.collect([("a", "x"), ("a", "y"), ("b", "z"), ("a", "x")]) == {"a": ["x", "y"], "b": ["z"]}


def test_there_and_back():
    both = {"label": ["b=2", "a"], "status": ["exited"]}
    assert filters.decode(filters.encode(both)) == {"label": ["a", "b=2"], "status": ["exited"]}
    assert filters.encode({}) == "" and filters.decode("") == {}


@pytest.mark.parametrize("text", ["[]", '"a"', "{", '{"a": 1}', '{"a": [1]}', "null"])
def test_no_filters(text):
    with pytest.raises(InvalidArgument):
        filters.decode(text)


def test_absent_is_the_default():
    assert filters.boolean({}, "dangling", True) is True
    assert filters.boolean({}, "dangling", False) is False
