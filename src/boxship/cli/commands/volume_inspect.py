"""volume inspect"""

from boxship.cli.flags import Call, Command
from boxship.cli.inspecting import show_documents
from boxship.cli.render import INSPECT_FORMAT_FLAG

COMMAND = Command("[OPTIONS] VOLUME [VOLUME...]", (INSPECT_FORMAT_FLAG,), least=1)


def main(call: Call) -> int:
    from boxship.engine import volumes

    store = call.store()
    return show_documents(call.args, call["format"], lambda name: volumes.inspect(store, name))
