"""What the inspect commands share: documents as JSON or through a template; refusals after what was found."""

from boxship.cli.flags import ClientError
from boxship.cli.streams import err, out
from boxship.errors import BoxshipError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def show_documents(names: "list[str]", form: str, find: "Callable[[str], dict[str, Any]]") -> int:
    """Print the document of each name. The exit code is 1 when one was not found or the template failed."""
    found, refused = [], []
    for name in names:
        try:
            found.append(find(name))
        except ClientError as error:
            refused.append(str(error))
        except BoxshipError as error:
            refused.append(f"Error response from daemon: {error}")
    if form in ("", "json"):
        out(_as_json(found, compact=bool(form)))
    else:
        refused = _through(found, form) + refused
    if refused:
        err("".join(f"{line}\n" for line in refused))
    return 1 if refused else 0


def _as_json(documents: "list[dict[str, Any]]", *, compact: bool) -> str:
    import json

    if not documents:
        return "[]\n"
    if compact:
        return json.dumps(documents, separators=(",", ":"), ensure_ascii=False) + "\n"
    return json.dumps(documents, indent=4, ensure_ascii=False) + "\n"


def _through(documents: "list[dict[str, Any]]", form: str) -> "list[str]":
    """Print each; the complaint when one failed, after an empty line in its place as Docker does."""
    from boxship.cli.formatted import show_one
    from boxship.cli.template import Template, TemplateError

    try:
        Template(form)
    except TemplateError as error:
        return [f"template parsing error: template: {error}"]
    if not documents:
        out("\n")
    for document in documents:
        try:
            out(f"{show_one(document, form)}\n")
        except TemplateError as error:
            out("\n")
            return [f"template parsing error: template: {error}"]
    return []
