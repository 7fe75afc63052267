"""RUN: one isolated process over the layers so far; what it changes is the new layer."""

from __future__ import annotations

from boxship.build.names import quoted
from boxship.build.record import record
from boxship.errors import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from boxship.build import graph

    Output = Callable[[int, bytes], None]
    Runner = Callable[["Request", Output, Callable[[], bool]], int]
    """(request, called with (stream 1 or 2, bytes), says whether the build was cancelled) -> exit code"""


@record
class Place:
    """`lowers`: names below layers/, top first. `upper` and `work` are empty directories of the same file system."""

    lowers: tuple[str, ...]
    upper: str
    work: str


@record
class Request:
    """What the engine is asked to run. `lowers` are names below layers/, top first; `upper` and `work` are empty directories."""

    lowers: tuple[str, ...]
    upper: str
    work: str
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    script: graph.Script | None = None
    hostname: str = ""
    """"" is the engine's own."""


def run(op: graph.RunProcess, place: Place, runner: Runner, output: Output, stop: Callable[[], bool]) -> None:
    """Raises BuildFailed in BuildKit's words when the process does not end with 0."""
    env = (*op.env, *op.proxies)
    request = Request(place.lowers, place.upper, place.work, op.argv, env, op.cwd, op.user, op.script, op.hostname)
    code = runner(request, output, stop)
    if code:
        command = quoted([" ".join(op.argv)])[1:-1]
        raise BuildFailed(f"process {command} did not complete successfully: exit code: {code}", exit_code=code)
