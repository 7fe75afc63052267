"""Expansion of words."""

import re
import time

import pytest

from boxship.build.dockerfile.environment import env_map
from boxship.build.dockerfile.patterns import pattern_regexp, replace, reverse_pattern, trim_prefix, trim_suffix
from boxship.build.dockerfile.words import expand, expand_words, process
from boxship.errors import DockerfileError
from tests.tables import rows, table

_BASH_ONLY = {
    case["id"]: "bash only: BuildKit does it in another way, says the table"
    for case in table("dockerfile/expand_bash")["cases"]
    if case["bash_only"]
}


@pytest.mark.parametrize(
    "row", rows("dockerfile/expand_word") + rows("dockerfile/expand_modifiers") + rows("dockerfile/expand_bash", **_BASH_ONLY)
)
def test_expand(row: dict) -> None:
    want = row["expect"]
    if "error" in want:
        with pytest.raises(DockerfileError, match=re.escape(want["error"]) or None):
            expand(row["word"], row["env"])
        return
    result = process(row["word"], row["env"])
    assert result.text == want["result"]
    if "matched" in want:
        assert (sorted(result.matched), sorted(result.unmatched)) == (want["matched"], want["unmatched"])


@pytest.mark.parametrize("row", rows("dockerfile/expand_words"))
def test_expand_words(row: dict) -> None:
    env = env_map(row["env_list"])
    if "error" in row["expect"]:
        with pytest.raises(DockerfileError):
            expand_words(row["text"], env)
        return
    assert expand_words(row["text"], env) == row["expect"]["words"]


@pytest.mark.parametrize("row", rows("dockerfile/expand_patterns"))
def test_patterns(row: dict) -> None:
    want = row["expect"]
    if "env_list" in row:
        assert env_map(row["env_list"])[row["name"]] == want["value"]
    elif "reverse_pattern" in row:
        assert reverse_pattern(row["reverse_pattern"]) == want["reversed"]
    elif "error" in want:
        with pytest.raises(DockerfileError):
            pattern_regexp(row["pattern"])
    else:
        assert pattern_regexp(row["pattern"]) == want["regexp"]


def test_names_are_collected_and_escape_can_change() -> None:
    used: set[str] = set()
    assert expand("`$A $B ${C:-$D}", {"B": "b"}, "`", used=used) == "$A b "
    assert used == {"B", "C", "D"}
    assert expand("'$B' \"x\"", {"B": "b"}, quotes=False) == "'b' \"x\""


def test_mandatory_says_its_message() -> None:
    with pytest.raises(DockerfileError, match=r'failed to process "\$\{A:\?give A\}": A: give A'):
        expand("${A:?give A}", {"A": ""})
    with pytest.raises(DockerfileError, match="A: is not allowed to be unset"):
        expand("${A?}", {})


@pytest.mark.parametrize(
    ("pattern", "value", "shortest", "longest"),
    [("*/", "a/b/c", "b/c", "c"), ("a*b?", "axbxbz!", "xbz!"[1:], "!"), ("", "x", "x", "x"), ("*", "xy", "xy", "")],
)
def test_prefixes(pattern: str, value: str, shortest: str, longest: str) -> None:
    assert trim_prefix(pattern, value, greedy=False) == shortest
    assert trim_prefix(pattern, value, greedy=True) == longest
    assert trim_suffix(reverse_pattern(pattern), value[::-1], greedy=True) == longest[::-1]


def test_empty_matches_are_replaced_as_in_go() -> None:
    assert replace("*", "abc", "x", every=True) == "x"
    assert replace("", "ab", "-", every=True) == "-a-b-"
    assert replace("b", "abcb", "$0\\1", every=True) == "a$0\\1c$0\\1"


def test_no_pattern_takes_exponential_time() -> None:
    start = time.perf_counter()
    assert trim_prefix("*a" * 40 + "!", "a" * 5000, greedy=True) == "a" * 5000
    assert trim_suffix("!" + "a*" * 40, "a" * 5000, greedy=False) == "a" * 5000
    assert time.perf_counter() - start < 2


def test_deep_nesting_is_refused_without_a_crash() -> None:
    assert expand("${a:-" * 50 + "x" + "}" * 50, {}) == "x"
    with pytest.raises(DockerfileError, match="nested more than 64 deep"):
        expand("${a:-" * 5000 + "}" * 5000, {})
