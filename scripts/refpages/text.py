"""Markdown: what all pages share."""

from collections.abc import Iterable, Sequence

MADE = "<!-- Made by scripts/reference.py from the code: change that, then run the script. -->"


def document(title: str, *parts: str) -> str:
    return "\n\n".join([MADE, f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(titles), " | ".join("---" for _ in titles)]
    lines += [" | ".join(cell(text) for text in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def cell(text: str) -> str:
    """A cell can't hold a line break or a bar; `<` would begin a tag, but not inside of backquotes."""
    parts = text.replace("|", "\\|").replace("\n", "<br>").split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;").replace("&lt;br>", "<br>") for at, part in enumerate(parts))


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def codes(words: Iterable[str]) -> str:
    return ", ".join(code(word) for word in words)


def block(text: str, language: str = "") -> str:
    body = text.strip("\n")
    return f"```{language}\n{body}\n```"


def anchor(heading: str) -> str:
    """The id that Markdown viewers give a heading."""
    kept = (char for char in heading.lower() if char.isalnum() or char in " -_")
    return "".join(kept).replace(" ", "-")
