"""RUN, handed to the engine's tasks: one isolated process that shares nothing but the layers below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from boxship.build.ops.run import Output, Request, Runner
from boxship.engine.store import Store
from boxship.engine.task import Tasks, TaskSpec
from boxship.errors import ExecFailed


@contextmanager
def runner(store: Store) -> Iterator[Runner]:
    """What does the RUN steps of one build. They share sandboxes, which are given back at the end."""
    tasks = Tasks(store)

    def run(request: Request, output: Output, stop: Callable[[], bool]) -> int:
        try:
            return tasks.run(_spec(request), output, stop)
        except ExecFailed as error:
            output(2, f"{error.message}\n".encode())
            return error.exit_code

    try:
        yield run
    finally:
        tasks.close()


def _spec(request: Request) -> TaskSpec:
    spec = TaskSpec(
        list(request.lowers),
        request.upper,
        request.work,
        list(request.argv),
        list(request.env),
        request.cwd,
        request.user,
    )
    if request.hostname:
        spec.hostname = request.hostname
    if request.script is not None:
        spec.scripts = {f"/dev/pipes/{request.script.name}": request.script.data.encode("utf-8", "surrogateescape")}
    return spec
