"""What the prune commands share: the warning, the question, the report."""

import sys

from boxship.cli.flags import BOOL, FILTER, LATER
from boxship.cli.streams import out
from boxship.cli.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORCE_FLAG = ("force", "f", BOOL, False, "Don't ask")
FILTER_FLAG = ("filter", "", FILTER, (), "Remove only those that meet the condition", LATER)


def confirmed(warning: str) -> bool:
    """Ask on standard output; only y, Y, yes... agree. The end of standard input does not."""
    out(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def report(title: str, names: "list[str]", result: "dict[str, Any]") -> int:
    """What was removed and how much room that made."""
    if names:
        out(f"Deleted {title}:\n" + "".join(f"{name}\n" for name in names) + "\n")
    out(f"Total reclaimed space: {format_size(result.get('SpaceReclaimed') or 0)}\n")
    return 0
