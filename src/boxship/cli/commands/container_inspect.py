"""container inspect"""

from boxship.cli.flags import BOOL, Call, Command
from boxship.cli.inspecting import show_documents
from boxship.cli.render import INSPECT_FORMAT_FLAG

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (INSPECT_FORMAT_FLAG, ("size", "s", BOOL, False, "Show the size of what was written")),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import containers

    store = call.store()
    return show_documents(call.args, call["format"], lambda name: containers.inspect(store, name, size=call["size"]))
