import pytest

from boxship.engine import names


def test_random_names_are_valid_and_differ() -> None:
    found = {names.random_name() for _ in range(500)}
    assert len(found) > 400
    assert all(names.is_valid(name) and name.count("_") == 1 for name in found)


@pytest.mark.parametrize("name", ["ab", "a1", "0a", "a_b", "a.b-c", "A" * 300])
def test_valid(name: str) -> None:
    assert names.is_valid(name)


@pytest.mark.parametrize("name", ["", "a", "_a", "-a", ".a", "a b", "a/b", "é1", "aé", "a\n"])
def test_invalid(name: str) -> None:
    assert not names.is_valid(name)
