"""image prune: remove images that nothing uses."""

from boxship.cli.flags import BOOL, Call, Command
from boxship.cli.pruning import FILTER_FLAG, FORCE_FLAG, confirmed, report

COMMAND = Command(
    "[OPTIONS]",
    (("all", "a", BOOL, False, "Remove every image no container uses, not only those without a name"), FILTER_FLAG, FORCE_FLAG),
    most=0,
)


def main(call: Call) -> int:
    from boxship.engine import images

    which = "all images without at least one container associated to them" if call["all"] else "all dangling images"
    if not call["force"] and not confirmed(f"This will remove {which}."):
        return 1
    result = images.prune(call.store(), all=call["all"])
    entries = [f"{what.lower()}: {name}" for entry in result.get("ImagesDeleted") or [] for what, name in entry.items()]
    return report("Images", entries, result)
