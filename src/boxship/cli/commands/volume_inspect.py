"""volume inspect"""

from boxship.cli.flags import Call, Command
from boxship.cli.inspecting import show_documents
from boxship.cli.render import INSPECT_FORMAT_FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command("[OPTIONS] VOLUME [VOLUME...]", (INSPECT_FORMAT_FLAG,), least=1)


def main(call: Call) -> int:
    from boxship.engine import volumes

    store = call.store()
    return show_documents(call.args, call["format"], lambda name: _in_order(volumes.inspect(store, name)))


def _in_order(document: "dict[str, Any]") -> "dict[str, Any]":
    """Docker's client shows a volume's fields, and its labels and options, by name."""
    return {name: _in_order(value) if isinstance(value, dict) else value for name, value in sorted(document.items())}
