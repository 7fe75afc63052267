"""build: a context and a Dockerfile become an image.

    names checked -> context and Dockerfile read -> plan (pulling the images it misses) -> solve -> one image written

Nothing but the build cache and pulled images outlives a build that fails.
"""

from __future__ import annotations

import os
import time

from boxship.build import excerpt, export, graph, plan
from boxship.build.dockerfile.parser import parse
from boxship.build.dockerfile.stages import plan_stages
from boxship.build.progress import Event, Progress
from boxship.build.solve import Solver, World
from boxship.build.source import open_source
from boxship.build.workplace import Workplace
from boxship.engine import buildimages
from boxship.engine.buildrun import Runner
from boxship.engine.store import need_root
from boxship.errors import BoxshipError, BuildFailed, DockerfileError, InvalidArgument
from boxship.images import store as images
from boxship.oci import reference as references
from boxship.state import buildcache
from boxship.state.db import now, transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from boxship.build.context import Context
    from boxship.build.dockerfile.ast import Dockerfile
    from boxship.build.ops.copy import Loose
    from boxship.build.progress import Sink
    from boxship.build.source import Source
    from boxship.build.tree import Tree
    from boxship.engine.store import Store
    from boxship.state.buildcache import Stamp


class BuildOptions:
    """What the command line says. `dockerfile` "" is the context's own; "-" for either stands for `stdin`."""

    def __init__(
        self,
        context: str,
        dockerfile: str = "",
        tags: list[str] | None = None,
        build_args: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        target: str = "",
        no_cache: bool = False,
        pull: bool = False,
        stdin: BinaryIO | None = None,
    ) -> None:
        self.context = context
        self.dockerfile = dockerfile
        self.tags = tags or []
        self.build_args = build_args or {}
        self.labels = labels or {}
        self.target = target
        self.no_cache = no_cache
        self.pull = pull
        self.stdin = stdin


def build(store: Store, options: BuildOptions, sink: Sink) -> str:
    """The new image's ID. `sink` gets the progress events; an error's place in the Dockerfile comes as event "source".

    Raises DockerfileError, BuildFailed, InvalidArgument, Unsupported, Unavailable; KeyboardInterrupt passes through.
    """
    need_root("a build")
    names = [_tag(text) for text in options.tags]
    progress = Progress(sink)
    images.tidy(store)
    with images.hold(store), Workplace(store.paths) as place:
        source = _load(options, place, progress)
        try:
            dockerfile = _read(source.text)
            made = _plan(store, dockerfile, options, progress)
            return _solve(store, made, source, names, place, progress)
        except (DockerfileError, BuildFailed) as error:
            if error.line:
                last = _last_line(source.text, error.line)
                sink(Event("source", 0, time.monotonic(), excerpt.render(source.name, source.text, error.line, last)))
            raise


def _read(text: bytes) -> Dockerfile:
    """Parsed, and every instruction decoded: a mistake anywhere is found before anything is done."""
    try:
        dockerfile = parse(text)
        plan_stages(dockerfile)
    except DockerfileError as error:
        where = f"dockerfile parse error on line {error.line}: " if error.line else ""
        raise DockerfileError(where + error.message, line=error.line, text=error.text, hint=error.hint) from None
    return dockerfile


def _last_line(text: bytes, line: int) -> int:
    """Where the instruction that begins at `line` ends; `line` itself when the file can't be read."""
    try:
        found = (instruction.end_line for instruction in parse(text).instructions if instruction.line == line)
        return next(found, line)
    except DockerfileError:
        return line


def _tag(text: str) -> str:
    try:
        return str(references.tag_target(text))
    except InvalidArgument as error:
        _, words, why = error.message.partition("invalid reference format")
        reason = f"{words}{why}" or error.message
        raise InvalidArgument(f'invalid tag "{text}": {reason}', hint=error.hint or "a name is like team/app:1.0") from None


def _load(options: BuildOptions, place: Workplace, progress: Progress) -> Source:
    shown = os.path.basename(options.dockerfile) if options.dockerfile not in ("", "-") else "Dockerfile"
    with progress.start(f"[internal] load build definition from {shown}") as step:
        source = open_source(options.context, options.dockerfile, place.path, options.stdin, lambda: None)
        step.status(f"transferring dockerfile: {excerpt.size(len(source.text))} done")
    with progress.start("[internal] load .dockerignore") as step:
        step.status(f"transferring context: {excerpt.size(sum(len(rule) + 1 for rule in source.patterns))} done")
    return source


def _plan(store: Store, dockerfile: Dockerfile, options: BuildOptions, progress: Progress) -> graph.Plan:
    wanted = plan.Options(options.target, options.build_args, options.labels, options.no_cache)
    known: dict[str, graph.BaseImage] = {}
    while True:
        made = plan.make(dockerfile, wanted, known)
        if isinstance(made, graph.Plan):
            return made
        for name, line in made.images:
            try:
                known[name] = buildimages.base(store, name, options.pull, progress)
            except BoxshipError as error:
                raise BuildFailed(f"{name}: {error.message}", line=line, hint=error.hint) from None


def _solve(store: Store, made: graph.Plan, source: Source, names: list[str], place: Workplace, progress: Progress) -> str:
    context = _Context(store, source, progress)
    if any(_reads_context(vertex.op) for vertex in made.vertices):
        context.load()
    # what was begun before the plan was known, one for every vertex, one for the image
    progress.total = progress.count + len(made.vertices) + 1
    with Runner(store) as run:
        solver = Solver(made, World(store.paths, place, run, context.open, _fetch, db=store.db), progress)
        try:
            snapshots = solver.solve()
        finally:
            solver.close()
            context.close()
    with progress.start("exporting to image") as step:
        step.status("exporting layers done")
        image_id = images.put_built(store, export.document(made, snapshots, now()), names)
        step.status(f"writing image {image_id} done")
        for name in names:
            step.status(f"naming to {name} done")
    for warning in made.warnings:
        progress.emit("warning", 0, warning)
    return image_id


def _reads_context(op: graph.Op) -> bool:
    if not isinstance(op, graph.CopyFiles):
        return False
    return any(isinstance(source, graph.TreeSource) and source.vertex is None for source in op.sources)


def _fetch(source: graph.UrlSource, path: str, check: Callable[[], None]) -> Loose:
    # here: HTTP and TLS cost as much as all the rest of a cached build
    from boxship.build.fetch import fetch

    return fetch(source, path, check)


class _Context:
    """The build context, opened when the first step reads it; its stamps are kept for the next build."""

    def __init__(self, store: Store, source: Source, progress: Progress) -> None:
        self._paths = store.paths
        self._db = store.db
        self._source = source
        self._progress = progress
        self._context: Context | None = None
        self._known: dict[str, tuple[Stamp, int, bytes]] = {}

    def load(self) -> None:
        """Read the stamps. Steps may run in threads, and a connection stays in its own: so before they begin."""
        if self._source.local:
            self._known = buildcache.stamps(self._db, self._source.directory)

    def open(self) -> Tree:
        from boxship.build.context import Context, Stamps

        with self._progress.start("[internal] load build context") as step:
            self._context = Context(self._source.directory, self._source.patterns, Stamps(self._known, time.time_ns))
            step.status("transferring context: done")
        return self._context

    def close(self) -> None:
        if self._context is None:
            return
        self._context.close()
        fresh = self._context.stamps.fresh
        if not self._source.local or not fresh:
            return
        gone = [path for path in self._known if self._context.is_gone(path)]
        with transaction(self._db):
            buildcache.put_stamps(self._db, self._source.directory, fresh)
            buildcache.forget_stamps(self._db, self._source.directory, gone)
