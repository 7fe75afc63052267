"""container prune: remove stopped containers."""

from boxship.cli.flags import Call, Command
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, confirmed, report

COMMAND = Command("[OPTIONS]", (FILTER_FLAG, FORCE_FLAG), most=0)


def main(call: Call) -> int:
    from boxship.engine import containers

    if not call["force"] and not confirmed("This will remove all stopped containers."):
        return 1
    result = containers.prune(call.store())
    return report("Containers", result.get("ContainersDeleted") or [], result)
