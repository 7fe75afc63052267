"""volume prune: remove volumes that no container uses."""

from boxship.cli.flags import BOOL, Call, Command
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, confirmed, report

COMMAND = Command(
    "[OPTIONS]",
    (("all", "a", BOOL, False, "Remove named volumes too, not only anonymous ones"), FILTER_FLAG, FORCE_FLAG),
    most=0,
)


def main(call: Call) -> int:
    from boxship.engine import volumes

    kind = "all" if call["all"] else "anonymous"
    warning = f"This will remove {kind} local volumes not used by at least one container."
    if not call["force"] and not confirmed(warning):
        return 1
    result = volumes.prune(call.store(), all=call["all"])
    return report("Volumes", result.get("VolumesDeleted") or [], result)
