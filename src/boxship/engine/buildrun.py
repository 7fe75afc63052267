"""RUN, handed to the engine's tasks: one isolated process that shares nothing but the layers below it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from boxship.build.ops.run import Output, Request
    from boxship.engine.store import Store
    from boxship.engine.task import Tasks, TaskSpec


class Runner:
    """What does the RUN steps of one build. They share sandboxes, which are given back at the end.

    Nothing is imported or opened before the first step runs: most builds find all of them in the cache.
    """

    def __init__(self, store: Store) -> None:
        from _thread import allocate_lock

        self._store = store
        self._lock = allocate_lock()
        self._tasks: Tasks | None = None

    def __call__(self, request: Request, output: Output, stop: Callable[[], bool]) -> int:
        from boxship.errors import ExecFailed

        try:
            return self._opened().run(_spec(request), output, stop)
        except ExecFailed as error:
            output(2, f"{error.message}\n".encode())
            return error.exit_code

    def _opened(self) -> Tasks:
        from boxship.engine.task import Tasks

        with self._lock:
            if self._tasks is None:
                self._tasks = Tasks(self._store)
            return self._tasks

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks is not None:
            self._tasks.close()


def _spec(request: Request) -> TaskSpec:
    from boxship.engine.task import TaskSpec

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
