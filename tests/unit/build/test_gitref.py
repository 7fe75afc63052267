"""Git references."""

import re

import pytest

from boxship.build.gitref import fragment_form, is_git, parse
from boxship.errors import InvalidArgument
from tests.tables import rows

_EMPTY = {
    "ref": "", "checksum": "", "subdir": "", "looks_local": False, "unencrypted": False, "keep_git_dir": None,
    "submodules": None, "mtime": "", "fetch_by_commit": False,
}  # fmt: skip


@pytest.mark.parametrize("row", rows("dockerfile/git_context"))
def test_context(row: dict) -> None:
    want = row["expect"]
    if "error" in want:
        assert not is_git(row["ref"])
        if want["error"]:
            with pytest.raises(InvalidArgument, match=re.escape(want["error"])):
                parse(row["ref"])
        return
    found = parse(row["ref"])
    assert found is not None
    assert {name: getattr(found, name) for name in found._fields} == {**_EMPTY, **want}


@pytest.mark.parametrize("row", rows("dockerfile/git_fragment"))
def test_fragment(row: dict) -> None:
    want = row["expect"]
    found = fragment_form(row["ref"], with_subdir=row["with_subdir"])
    assert found == (want["fragment_form"], want["is_git"])


@pytest.mark.parametrize(
    "text",
    ["", "a", "ftp://a/b.git", "https://a:port/b.git", "https://a/b c.git", "https://[::1/b.git", "https://a/b.git\n"],
)
def test_what_is_no_reference(text: str) -> None:
    assert parse(text) is None


def test_a_subdir_stays_inside() -> None:
    found = parse("https://a/b.git#main:../../x/./y")
    assert found is not None
    assert found.subdir == "x/y"
    assert fragment_form("https://a/b.git?subdir=../../../etc", with_subdir=True) == ("https://a/b.git#:etc", True)
