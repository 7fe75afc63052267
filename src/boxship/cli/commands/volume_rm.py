"""volume rm"""

from boxship.cli.flags import BOOL, Call, Command
from boxship.cli.several import each

COMMAND = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    (("force", "f", BOOL, False, "Don't complain about volumes that are not there"),),
    least=1,
)


def main(call: Call) -> int:
    from boxship.engine import volumes

    store = call.store()
    return each(call.args, lambda name: volumes.remove(store, name, call["force"]))
