"""README.md of docs/reference: what there is."""

from refpages.text import document, table

_ABOUT = {
    "docs/reference/cli.md": "every command and flag, and what is not supported yet",
    "docs/reference/configuration.md": "boxship.toml, environment variables, where things lie",
    "docs/reference/dockerfile.md": "every instruction: what is executed, what is refused",
    "docs/reference/defaults.md": "what a container may do, and what limits it has, when nothing is said",
    "docs/reference/errors-and-exit-codes.md": "what messages look like, and the code that scripts get",
    "docs/dev/schema.md": "the tables of the database, for who works on Boxship",
}
_INTRO = """
Made by `scripts/reference.py` from the code that it describes; `make check` fails when the two differ. To learn
how to use all this, begin with the [guides](../guides/README.md) and the [concepts](../concepts/README.md)."""


def page(pages: dict[str, str]) -> str:
    rows = []
    for name, text in pages.items():
        link = name.replace("docs/reference/", "").replace("docs/dev/", "../dev/")
        title = next(line for line in text.splitlines() if line.startswith("# "))
        rows.append((f"[{title.removeprefix('# ')}]({link})", _ABOUT[name]))
    return document("Reference", _INTRO, table(("page", "what is in it"), rows))
