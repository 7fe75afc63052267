"""--format: a template for each row, with a line of titles before it when it begins with `table`."""

from boxship.cli.flags import ClientError
from boxship.cli.render import Listing
from boxship.cli.streams import out
from boxship.cli.table import layout
from boxship.cli.template import Fields, Template, TemplateError
from boxship.cli.templatefuncs import HEADER_FUNCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def show_formatted(listing: Listing, rows: "list[Any]", form: str) -> None:
    """Raises ClientError in Docker's words when the template can't be read or carried out."""
    table = form.startswith("table ")
    source = form[6:].strip() if table else "{{json .}}" if form == "json" else form
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    template = _read(source)
    lines = [_fill(template, Fields(listing.kind, listing.fields, row)) for row in rows]
    if not table:
        out("".join(f"{line}\n" for line in lines))
        return
    titles = Template(source, HEADER_FUNCTIONS)
    getters: dict[str, Any] = {name: _constant(title) for name, title in listing.titles.items()}
    getters["Label"] = lambda _, name: name.rpartition(".")[2].replace("-", " ").replace("_", " ")
    out(layout([_fill(titles, Fields(listing.kind, getters, None)), *lines]))


def _constant(title: str) -> "Callable[[Any], str]":
    return lambda _: title


def show_one(document: "Any", form: str) -> str:
    """`document` (a container's, info, version) through `form`. Raises TemplateError."""
    return Template("{{json .}}" if form == "json" else form.replace("\\t", "\t").replace("\\n", "\n")).execute(document)


def _read(source: str) -> Template:
    try:
        return Template(source)
    except TemplateError as error:
        raise ClientError(f"failed to parse template: template: {error}") from None


def _fill(template: Template, row: Fields) -> str:
    try:
        return template.execute(row)
    except TemplateError as error:
        raise ClientError(f"failed to execute template: template: {error}") from None
