"""inspect: any object's document, by name or ID."""

from boxship.cli.flags import BOOL, STRING, Call, ClientError, Command, quoted
from boxship.cli.inspecting import show_documents
from boxship.cli.render import INSPECT_FORMAT_FLAG
from boxship.errors import NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.store import Store

COMMAND = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    (
        INSPECT_FORMAT_FLAG,
        ("size", "s", BOOL, False, "Show the size of what was written, of containers"),
        ("type", "", STRING, "", "Look at objects of this type only"),
    ),
    least=1,
)
_TYPES = ("container", "image", "volume")
_OTHERS = ("config", "network", "node", "plugin", "secret", "service", "task")


def main(call: Call) -> int:
    kind = call["type"]
    if kind in _OTHERS:
        raise Unsupported(f"--type {kind} is not supported yet", hint=f"use one of {', '.join(_TYPES)}")
    if "type" in call.given and kind not in _TYPES:
        known = ", ".join(quoted(name) for name in sorted(_TYPES + _OTHERS))
        raise ClientError(f"unknown type: {quoted(kind)}: must be one of {known}")
    store = call.store()
    kinds = (kind,) if kind else _TYPES
    return show_documents(call.args, call["format"], lambda name: _find(store, name, kinds, size=call["size"]))


def _find(store: "Store", name: str, kinds: "tuple[str, ...]", *, size: bool) -> "dict[str, Any]":
    for kind in kinds:
        try:
            return _document(store, kind, name, size=size)
        except NotFound:
            if len(kinds) == 1:
                raise
    raise ClientError(f"Error: No such object: {name}")


def _document(store: "Store", kind: str, name: str, *, size: bool) -> "dict[str, Any]":
    if kind == "container":
        from boxship.engine import containers

        return containers.inspect(store, name, size=size)
    if kind == "image":
        from boxship.engine import images

        return images.inspect(store, name)
    from boxship.engine import volumes

    return volumes.inspect(store, name)
