from typing import Any

import pytest

from boxship.engine import matching
from boxship.errors import InvalidArgument
from tests.tables import rows

_KINDS = {"match": matching.match, "exact": matching.exact, "only_exact": matching.only_exact, "prefix": matching.prefix}
_CASES = [row for row in rows("engine/filters") if not row.values[0] or row.values[0]["kind"] not in ("decode", "encode")]


@pytest.mark.parametrize("case", _CASES)
def test_table(case: dict[str, Any]) -> None:
    filters, field, want = case["filters"], case["field"], case["expect"]
    if case["kind"] == "bool":
        if "error" in want:
            with pytest.raises(InvalidArgument) as caught:
                matching.boolean(filters, field, case["default"])
            assert all(value in str(caught.value) for value in want["values"])
        else:
            assert matching.boolean(filters, field, case["default"]) is want["value"]
    elif case["kind"] == "match_kv":
        assert matching.match_pairs(filters, field, case["source"]) is want["match"]
    else:
        assert _KINDS[case["kind"]](filters, field, case["source"]) is want["match"]


def test_unknown_filters_are_refused_in_dockers_words() -> None:
    matching.check({"name": ["a"]}, ["name"])
    with pytest.raises(InvalidArgument, match="^invalid filter 'nane'$"):
        matching.check({"nane": ["a"]}, ["name"])
