"""docs: what is generated is what the code says, and every link leads somewhere."""

import importlib.util
import pathlib
import re
import sys
from types import ModuleType

import pytest

from tests.stores import CHECKOUT

_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", CHECKOUT / "scripts" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = path
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return _load()


@pytest.fixture(scope="module")
def made(reference: ModuleType) -> dict[str, str]:
    """The pages; the source is read once for all tests here."""
    found: dict[str, str] = reference.pages()
    return found


def test_the_reference_is_what_the_code_says(reference: ModuleType, made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "pages", lambda: made)
    assert reference.wrong() == [], "run python scripts/reference.py"


def test_a_change_is_found(
    reference: ModuleType, made: dict[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "CHECKOUT", tmp_path)
    monkeypatch.setattr(reference, "pages", lambda: made)
    reference.write()
    assert reference.wrong() == []
    (tmp_path / "docs/reference/cli.md").write_text("old")
    (tmp_path / "docs/reference/defaults.md").unlink()
    (tmp_path / "docs/reference/extra.md").write_text("")
    assert [line.partition(":")[0] for line in reference.wrong()] == [
        "docs/reference/cli.md",
        "docs/reference/defaults.md",
        "docs/reference/extra.md",
    ]


def test_every_offered_flag_is_in_it(made: dict[str, str]) -> None:
    from boxship.cli.containerflags import RUN_FLAGS
    from boxship.cli.flags import LATER

    text = made["docs/reference/cli.md"]
    section = text[text.index("\n## boxship run\n") :].split("\n## ")[1]
    offered, _, later = section.partition("Not supported yet:")
    for row in RUN_FLAGS:
        mark = row[5] if len(row) > 5 else ""
        assert f"`--{row[0]}`" in (later if mark == LATER else offered), row[0]


def test_settings_that_nobody_reads_are_refused(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reference.configuration.KEYS, ("log", "colour"), ("text", "none", "nothing reads it"))
    with pytest.raises(SystemExit, match="not read: .*colour"):
        reference.configuration.page(CHECKOUT / "src" / "boxship")


def _pages() -> list[pathlib.Path]:
    return sorted([*(CHECKOUT / "docs").rglob("*.md"), *CHECKOUT.glob("*.md"), *(CHECKOUT / "examples").rglob("*.md")])


@pytest.mark.parametrize("page", [pytest.param(path, id=str(path.relative_to(CHECKOUT))) for path in _pages()])
def test_links_lead_somewhere(reference: ModuleType, page: pathlib.Path) -> None:
    from refpages.text import anchor

    for target, place in _LINK.findall(_prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        found = page.parent / target if target else page
        assert found.exists(), target
        if place:
            headings = [line.lstrip("#").strip() for line in _prose(found).splitlines() if line.startswith("#")]
            assert place in [anchor(heading) for heading in headings], f"{target}#{place}"


def _prose(page: pathlib.Path) -> str:
    """Without what stands between ``` lines: a line of code may look like a link."""
    return "".join(page.read_text(encoding="utf-8").split("```")[::2])
