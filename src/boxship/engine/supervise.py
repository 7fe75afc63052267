"""What the fork server's children do: run a container, run a command in one, run one step of a build.

Each operation is the whole life of one forked process. It gets everything it needs in its message: no database is read to
start something; a container's end is written to it by `record`.
"""

import _socket

from boxship.config import Paths
from boxship.engine import joiner, keeper, stage, starter, taskrun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Operation = Callable[[Paths, _socket.socket, dict[str, Any], bytes, list[int]], None]


def warm_up() -> None:
    """Load what the forks would otherwise load each for themselves, and compile the usual seccomp filter."""
    stage.warm_up()


OPERATIONS: "dict[str, Operation]" = {"start": keeper.start, "exec": joiner.execute, "task": taskrun.supervise}

__all__ = ["OPERATIONS", "starter", "warm_up"]
