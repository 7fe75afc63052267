"""RUN, handed to the engine's tasks: one isolated process that shares nothing but the layers below it."""

from __future__ import annotations

from collections.abc import Callable

from boxship.build.ops.run import Output, Request, Runner
from boxship.engine.store import Store


def runner(store: Store) -> Runner:
    def run(request: Request, output: Output, stop: Callable[[], bool]) -> int:
        raise NotImplementedError

    return run
