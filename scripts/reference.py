"""The pages of docs/reference and docs/dev/schema.md, made from the code that they describe.

    python scripts/reference.py            write them
    python scripts/reference.py --check    say which are not what the code makes (exit 1)

Facts are asked of the code: flags of the command tables, refusals of the functions that refuse, the runtime spec of the
function that makes it. What the code can't say about itself (the meaning of a setting, in words) stands in
scripts/refpages beside a check that nothing is missing from it.
"""

import pathlib
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CHECKOUT / "src"), str(CHECKOUT / "scripts")]

from refpages import cli, configuration, defaults, dockerfile, failures, index, schema  # noqa: E402

MADE_HERE = ("docs/reference", "docs/dev/schema.md")


def pages() -> dict[str, str]:
    """Path from the top of the checkout: text."""
    found = {
        "docs/reference/cli.md": cli.page(),
        "docs/reference/configuration.md": configuration.page(CHECKOUT / "src" / "boxship"),
        "docs/reference/defaults.md": defaults.page(),
        "docs/reference/dockerfile.md": dockerfile.page(),
        "docs/reference/errors-and-exit-codes.md": failures.page(),
        "docs/dev/schema.md": schema.page(CHECKOUT / "src" / "boxship" / "state" / "schema"),
    }
    return {"docs/reference/README.md": index.page(found), **found}


def wrong() -> list[str]:
    """What is missing, different, or left over from a page that is made no more."""
    made = pages()
    lines = []
    for name, text in made.items():
        path = CHECKOUT / name
        if not path.exists():
            lines.append(f"{name}: missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{name}: not what the code says")
    kept = [str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "docs" / "reference").rglob("*") if path.is_file()]
    return lines + [f"{name}: not made by scripts/reference.py" for name in sorted(kept) if name not in made]


def write() -> None:
    for name, text in pages().items():
        path = CHECKOUT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(name)


def main(words: list[str]) -> int:
    if words not in ([], ["--check"]):
        print("usage: reference.py [--check]", file=sys.stderr)
        return 2
    if not words:
        write()
        return 0
    lines = wrong()
    for line in lines:
        print(line)
    if lines:
        print("hint: run python scripts/reference.py, and commit what it changed")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
