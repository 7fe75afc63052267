"""`.dockerignore`."""

import random
import re
import time

import pytest

from boxship.build.ignore import Matcher, Verdict, file_names, read
from boxship.errors import InvalidArgument
from tests.tables import rows


@pytest.mark.parametrize("row", rows("dockerignore/read"))
def test_read(row: dict) -> None:
    want = row["expect"]
    if "text" in row:
        assert read(row["text"]) == want["patterns"]
        return
    matcher = Matcher(row["patterns"])
    assert matcher.has_exceptions == want["has_exceptions"]
    assert len(matcher.rules) == want.get("count", len(matcher.rules))


@pytest.mark.parametrize("row", rows("dockerignore/match"))
def test_match(row: dict) -> None:
    if "error" in row["expect"]:
        with pytest.raises(InvalidArgument):
            Matcher(row["patterns"])
        return
    assert Matcher(row["patterns"]).matches(row["path"]) == row["expect"]["match"]


_NAMES = ("file", "fileX", "dir", "dir2", "a", "aX", "b", "ace", ".", ".x", "abc.def", "abcZdef", "foo", "bar", "filetxt", "c")


def _meaning(kind: str, pattern: str, regexp: str | None, path: str) -> bool:
    if kind == "exact":
        return path == pattern
    if kind == "prefix":
        return path.startswith(pattern[:-2])
    if kind == "suffix":
        return path.endswith(pattern[2:]) or "/" + path == pattern[2:]
    return re.search(regexp or "", path) is not None


@pytest.mark.parametrize("row", rows("dockerignore/pattern_regexp"))
def test_meaning(row: dict) -> None:
    pattern, want = row["pattern"], row["expect"]
    dice = random.Random(row["id"])
    paths = ["/".join(dice.choices(_NAMES[:8] + _NAMES[9:], k=dice.randint(1, 4))) for _ in range(500)] + [pattern]
    for path in paths:
        parts = path.split("/")
        want_hit = any(
            _meaning(want["kind"], pattern, want.get("regexp"), "/".join(parts[:count]))
            for count in range(1, len(parts) + 1)
        )
        assert Matcher([pattern]).matches(path) == want_hit, path


@pytest.mark.parametrize("row", rows("dockerignore/context_selection"))
def test_selection(row: dict) -> None:
    want = row["expect"]
    sources = row.get("dockerignore_files", {".dockerignore": row.get("dockerignore")})
    text = next((sources[name] for name in file_names(row.get("dockerfile_name", "Dockerfile")) if sources.get(name)), "")
    if "error" in want:
        with pytest.raises(InvalidArgument, match=re.escape(want["error"]) or None):
            Matcher(read(text))
        return
    matcher = Matcher(read(text))
    kept = {path for path in row["context_files"] if not matcher.matches(path)}
    assert set(want["present"]) <= kept
    assert not {path for path in kept for gone in want["absent"] if path == gone or path.startswith(gone + "/")}
    assert not any(matcher.matches(folder) for folder in want.get("present_dirs", ()))
    assert kept == {path for path in row["context_files"] if not _ignored_by_a_walk(matcher, path)}


def _ignored_by_a_walk(matcher: Matcher, path: str) -> bool:
    parts = path.split("/")
    folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return any(matcher.may_skip_dir(folder) for folder in folders) or matcher.matches(path)


def test_skipping_folders_changes_no_result() -> None:
    dice = random.Random(7)
    pieces = ("a", "b", "*", "**", "a*", "[ab]", "?")
    for _ in range(3000):
        rules = [
            ("!" if dice.random() < 0.4 else "") + "/".join(dice.choices(pieces, k=dice.randint(1, 3)))
            for _ in range(dice.randint(1, 4))
        ]
        matcher = Matcher(rules)
        path = "/".join(dice.choices(("a", "b", "ab", "c"), k=dice.randint(1, 4)))
        assert _ignored_by_a_walk(matcher, path) == matcher.matches(path), (rules, path)


def test_folders_are_skipped_where_nothing_comes_back() -> None:
    matcher = Matcher(["node_modules", "build", "!build/keep", "*.d"])
    assert matcher.may_skip_dir("node_modules")
    assert matcher.may_skip_dir("x.d")
    assert not matcher.may_skip_dir("build")
    assert matcher.may_skip_dir("build/other")
    assert not matcher.may_skip_dir("src")
    assert not matcher.may_skip_dir(".")
    assert not Matcher(["node_modules", "!**/x.md"]).may_skip_dir("node_modules")


def test_the_rule_is_told() -> None:
    matcher = Matcher(["docs", "", "!docs/README.md", "*.md"])
    assert matcher.rules == ("docs", "!docs/README.md", "*.md")
    assert matcher.explain("docs/x") == Verdict(True, 0)
    assert matcher.explain("docs/README.md") == Verdict(False, 1)
    assert matcher.explain("a.md") == Verdict(True, 2)
    assert matcher.explain("src") == Verdict(False, None)


@pytest.mark.parametrize("text", ["\ufeffa\n", "a\r\n", "  a  \n", "/a", "./a", "b/../a", "a/"])
def test_one_rule_written_in_many_ways(text: str) -> None:
    assert read(text) == ["a"]


@pytest.mark.parametrize("pattern", ["[z-a]", "a[", "[", "[]", "[^]", "\\", "a/b\\", "!", "! ["])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        Matcher([pattern])


def test_ten_thousand_paths_are_quick() -> None:
    rules = [".git", "**/node_modules", "**/*.pyc", "dist/*", "!dist/keep", "**/__pycache__", "*.md", "!README.md", "a[0-9]*/x"]
    matcher = Matcher(rules * 3)
    paths = [f"src/pkg{at % 50}/mod{at % 7}/file{at}.py" for at in range(10_000)]
    start = time.process_time()
    assert not any(matcher.matches(path) for path in paths)
    assert time.process_time() - start < 1.0


def test_a_very_deep_path() -> None:
    assert Matcher(["a/b"]).matches("a/" + "b/" * 5000 + "c")
