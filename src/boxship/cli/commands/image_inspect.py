"""image inspect"""

from boxship.cli.flags import LATER, STRING, Call, Command
from boxship.cli.inspecting import show_documents
from boxship.cli.render import INSPECT_FORMAT_FLAG

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (INSPECT_FORMAT_FLAG, ("platform", "", STRING, "", "Show this platform's variant", LATER)),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import images

    store = call.store()
    return show_documents(call.args, call["format"], lambda name: images.inspect(store, name))
