"""The conformance tables, where they are at hand: JSON files with `cases`, each case with an `id`."""

import json
import os
import pathlib
from typing import Any

import pytest

_HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path(os.environ.get("BOXSHIP_SHARED") or _HERE.parent.parent / "shared") / "data"


def table(name: str) -> dict[str, Any]:
    """The whole table; {} with no cases when the tables are absent."""
    path = DATA / f"{name}.json"
    if not path.exists():
        return {"cases": [], "missing": str(path)}
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def rows(name: str, **skip: str) -> list[Any]:
    """pytest parameters of the table's cases; `skip` maps a case id to the reason why it does not apply."""
    cases = table(name)["cases"]
    if not cases:
        return [pytest.param({}, id=name, marks=pytest.mark.skip(reason=f"the conformance tables are absent: {name}"))]
    return [
        pytest.param(case, id=case["id"], marks=[pytest.mark.skip(reason=skip[case["id"]])] if case["id"] in skip else [])
        for case in cases
    ]
