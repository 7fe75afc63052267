"""Doing a plan: every vertex is looked up under its key, and done only when no build has done it before.

    parents solved -> select inputs -> key -> hit: nothing is mounted or copied
                                        `-> lock the key -> look again -> do it in a directory of its own -> commit

A commit moves the directory into layers/, then rows of the layer and of the key follow. Steps that do not depend on each
other run side by side; a failed or interrupted build keeps the steps that ended.

COPY from another stage has two keys: one from that stage's identity, which costs nothing, and one from the content of
the files, which hits when the stage was built anew and the files came out the same.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident

from boxship.build import graph, keys
from boxship.build.record import record
from boxship.build.workplace import in_words, key_lock
from boxship.errors import BoxshipError, BuildFailed
from boxship.state import buildcache
from boxship.state import db as database
from boxship.state import layers as rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxship.build.ops import copy, run
    from boxship.build.ops.copy import Loose
    from boxship.build.progress import Progress, Step
    from boxship.build.tree import Tree
    from boxship.build.workplace import Workplace
    from boxship.config import Paths

_WORKERS = 4


class Cancelled(Exception):
    """Another step failed, or the user pressed Ctrl-C."""


@record
class Snapshot:
    """A file system that is there: the base image's ID ("" for scratch) and the layers, base first."""

    base: str
    layers: tuple[rows.Layer, ...]
    created: int = 0
    """When the topmost layer was made, nanoseconds; 0 for a base image's."""

    @property
    def identity(self) -> str:
        return f"{self.base}/{self.layers[-1].chain_id if self.layers else ''}"

    @property
    def lowers(self) -> tuple[str, ...]:
        """Names below layers/, top first."""
        return tuple(layer.dir for layer in reversed(self.layers))


EMPTY = Snapshot("", ())


@record
class World:
    """What a solver needs from outside. `context` is called at most once, when a step reads the build context."""

    paths: Paths
    place: Workplace
    runner: run.Runner
    context: Callable[[], Tree]
    fetch: Callable[[graph.UrlSource, str, Callable[[], None]], Loose]
    """(source, path to write to, raises when cancelled)"""
    now: Callable[[], int] = time.time_ns
    db: database.Db | None = None
    """The connection of the thread that solves; None: one is opened."""


@record
class _Opened:
    """A store as the images package wants it, with the connection of this thread."""

    paths: Paths
    db: database.Db


class _Inputs:
    """What a COPY was found to take: what to copy, and digests for the quick and for the exact key."""

    def __init__(self) -> None:
        self.items: list[list[copy.Item]] = []
        self.quick: dict[str, str] = {}
        self.exact: Callable[[], dict[str, str]] = dict


class Solver:
    def __init__(self, plan: graph.Plan, world: World, progress: Progress) -> None:
        self.plan = plan
        self.world = world
        self.progress = progress
        self.hits: list[str] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._cancelled = False
        self._context_lock = allocate_lock()
        self._context: Tree | None = None
        # by thread: a connection stays in its own
        self._connections: dict[int, database.Db] = {get_ident(): world.db} if world.db is not None else {}

    # --- order

    def solve(self) -> dict[int, Snapshot]:
        """All vertices. Raises the first error; every other step is cancelled then."""
        chain = all(not vertex.inputs and vertex.parent in (None, vertex.index - 1) for vertex in self.plan.vertices)
        try:
            if chain:
                # in this thread: Ctrl-C reaches the running step at once
                for vertex in self.plan.vertices:
                    self._snapshots[vertex.index] = self._vertex(vertex)
            else:
                self._side_by_side()
        except BaseException:
            self._cancelled = True
            raise
        return self._snapshots

    def _side_by_side(self) -> None:
        from concurrent.futures import Future, ThreadPoolExecutor

        waiting = {vertex.index: set(vertex.needs) for vertex in self.plan.vertices}
        running: dict[Future[Snapshot], int] = {}
        failed: list[tuple[int, BaseException]] = []
        with ThreadPoolExecutor(_WORKERS, "build") as pool:
            try:
                while waiting or running:
                    ready = [index for index, needs in waiting.items() if not needs and not failed]
                    for index in ready:
                        del waiting[index]
                        running[pool.submit(self._in_thread, self.plan.vertices[index])] = index
                    if not running:
                        break
                    self._collect(running, waiting, failed)
            except BaseException:
                self._cancelled = True
                raise
        if failed:
            raise min(failed, key=lambda pair: (isinstance(pair[1], Cancelled), pair[0]))[1]

    def _collect(
        self, running: dict[Any, int], waiting: dict[int, set[int]], failed: list[tuple[int, BaseException]]
    ) -> None:
        from concurrent.futures import FIRST_COMPLETED, wait

        # a timeout, for a wait without one does not let Ctrl-C through on every platform
        ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in ended:
            index = running.pop(future)
            error = future.exception()
            if error is not None:
                failed.append((index, error))
                self._cancelled = True
                continue
            self._snapshots[index] = future.result()
            for needs in waiting.values():
                needs.discard(index)

    def _in_thread(self, vertex: graph.Vertex) -> Snapshot:
        try:
            return self._vertex(vertex)
        finally:
            connection = self._connections.pop(get_ident(), None)
            if connection is not None:
                connection.close()

    def check(self) -> None:
        """Raises Cancelled when the build is over."""
        if self._cancelled:
            raise Cancelled

    def _db(self) -> database.Db:
        """A connection of this thread's own."""
        found = self._connections.get(get_ident())
        if found is None:
            found = self._connections[get_ident()] = database.connect(self.world.paths)
        return found

    # --- one vertex

    def _vertex(self, vertex: graph.Vertex) -> Snapshot:
        self.check()
        step = self.progress.start(vertex.name)
        try:
            return self._solve(vertex, step)
        except Cancelled:
            step.cancel()
            raise
        except OSError as error:
            failure: BoxshipError = in_words(error, f"do {vertex.name.partition('] ')[2] or vertex.name}")
            step.error(str(failure))
            raise failure from None
        except BoxshipError as error:
            step.error(str(error))
            if isinstance(error, BuildFailed):
                error.line = error.line or vertex.line
                raise
            raise BuildFailed(error.message, line=vertex.line, hint=error.hint) from None
        except BaseException:
            step.cancel()
            raise

    def _solve(self, vertex: graph.Vertex, step: Step) -> Snapshot:
        if isinstance(vertex.op, graph.FromImage):
            snapshot = self._from(vertex.op.image)
            step.done()
            return snapshot
        parent = EMPTY if vertex.parent is None else self._snapshots[vertex.parent]
        inputs = self._inputs(vertex, step)
        quick = keys.of(vertex.op, parent.identity, inputs.quick)
        found = None if vertex.no_cache else self._lookup(quick, parent)
        if found is None:
            exact = inputs.exact()
            key = keys.of(vertex.op, parent.identity, exact) if exact else quick
            with key_lock(self.world.paths, key.digest, self.check):
                found = None if vertex.no_cache else self._lookup(key, parent, alias=quick)
                if found is None:
                    snapshot = self._do(vertex, parent, inputs, [key, quick] if exact else [key], step)
                    step.done()
                    return snapshot
        step.cached()
        return found

    def _from(self, image: graph.BaseImage) -> Snapshot:
        found = rows.existing(self._db(), list(image.chain_ids))
        missing = [chain for chain in image.chain_ids if chain not in found]
        if missing:
            raise BuildFailed(f"layer of {image.reference} is not in the store: {missing[0]}", hint=f"pull {image.reference} again")
        return Snapshot(image.id, tuple(found[chain] for chain in image.chain_ids))

    # --- the cache

    def _lookup(self, key: keys.Key, parent: Snapshot, alias: keys.Key | None = None) -> Snapshot | None:
        """A hit needs the layer's directory too. `alias`: another key that shall find it the next time."""
        db = self._db()
        hit = buildcache.find(db, key.digest)
        if hit is None or not os.path.isdir(f"{self.world.paths.layers}/{hit[1].dir}"):
            return None
        row, layer = hit
        if alias is not None and alias.digest != key.digest:
            with database.transaction(db):
                text = keys.text_of(alias.parts)
                buildcache.put(
                    db,
                    buildcache.Step(alias.digest, row.chain_id, text, row.name, row.created, self.world.now(), row.took),
                )
        self.hits.append(key.digest)
        return Snapshot(parent.base, (*parent.layers, layer), row.created)

    # --- inputs

    def _inputs(self, vertex: graph.Vertex, step: Step) -> _Inputs:
        if not isinstance(vertex.op, graph.CopyFiles):
            return _Inputs()
        inputs = _Inputs()
        later: dict[str, Callable[[], str]] = {}
        for number, source in enumerate(vertex.op.sources):
            name = f"{number}:{keys.source_name(source)}"
            if isinstance(source, graph.TreeSource):
                self._tree_source(source, name, inputs, later, step)
            else:
                loose = self._loose(source, f"{self.world.place.path}/{vertex.index}.{number}", step)
                inputs.items.append([loose])
                inputs.quick[name] = _digest(loose)
        if later:
            quick = dict(inputs.quick)
            inputs.exact = lambda: {**quick, **{name: digest() for name, digest in later.items()}}
        return inputs

    def _tree_source(
        self, source: graph.TreeSource, name: str, inputs: _Inputs, later: dict[str, Callable[[], str]], step: Step
    ) -> None:
        from boxship.build.selection import select

        tree = self._tree(source)
        chosen = select(source, tree)
        inputs.items.append(list(chosen))

        def content() -> str:
            return keys.content(tree, [(item.name, item.node) for item in chosen], owners=tree.keeps_owner)

        if source.vertex is None:
            inputs.quick[name] = content()
            return
        inputs.quick[name] = EMPTY.identity if source.vertex == graph.EMPTY else self._snapshots[source.vertex].identity
        later[name] = content

    def _tree(self, source: graph.TreeSource) -> Tree:
        if source.vertex is None:
            with self._context_lock:
                if self._context is None:
                    self._context = self.world.context()
            return self._context
        from boxship.build.tree import LayerTree

        if source.vertex == graph.EMPTY:
            return LayerTree([])
        return LayerTree([f"{self.world.paths.layers}/{name}" for name in self._snapshots[source.vertex].lowers])

    def _loose(self, source: graph.UrlSource | graph.InlineSource, path: str, step: Step) -> Loose:
        if isinstance(source, graph.UrlSource):
            step.status(f"downloading {source.url}")
            return self.world.fetch(source, path, self.check)
        from boxship.build.ops.copy import Loose

        with open(path, "xb") as file:
            file.write(source.data.encode("utf-8", "surrogateescape"))
        return Loose(source.name.rpartition("/")[2], path, 0o644, self.world.now())

    # --- doing

    def _do(self, vertex: graph.Vertex, parent: Snapshot, inputs: _Inputs, found: list[keys.Key], step: Step) -> Snapshot:
        from boxship.snapshots import overlay

        began = time.monotonic_ns()
        directory = f"{self.world.place.path}/{vertex.index}"
        if len(parent.layers) >= overlay.MAX_LOWERS:
            raise BuildFailed(f"max depth exceeded: an image has at most {overlay.MAX_LOWERS} layers")
        upper = overlay.prepare(self.world.paths, directory, parent.lowers)
        try:
            self._act(vertex.op, parent, directory, inputs, step)
            self.check()
            return self._commit(vertex, parent, upper, found, time.monotonic_ns() - began)
        finally:
            overlay.remove(directory)

    def _act(self, op: graph.Op, parent: Snapshot, directory: str, inputs: _Inputs, step: Step) -> None:
        upper = f"{directory}/upper"
        if isinstance(op, graph.RunProcess):
            from boxship.build.ops import run

            place = run.Place(parent.lowers, upper, f"{directory}/work")
            try:
                run.run(op, place, self.world.runner, step.log, lambda: self._cancelled)
            except BuildFailed:
                self.check()  # killed because the build is over: that is no failure of its own
                raise
            return
        from boxship.build.ops import copy, meta
        from boxship.build.upper import Upper

        lowers = [f"{self.world.paths.layers}/{name}" for name in parent.lowers]
        written = Upper(upper, lowers)
        if isinstance(op, graph.MakeDirectory):
            meta.make_directory(op, written)
        elif isinstance(op, graph.CopyFiles):
            copy.copy_files(op, written, inputs.items, self.check)

    def _commit(self, vertex: graph.Vertex, parent: Snapshot, upper: str, found: list[keys.Key], took: int) -> Snapshot:
        from boxship.images import store as images

        db = self._db()
        below = parent.layers[-1].chain_id if parent.layers else None
        layer = images.add_built_layer(_Opened(self.world.paths, db), upper, below)
        created = self.world.now()
        with database.transaction(db):
            for key in found:
                text = keys.text_of(key.parts)
                buildcache.put(db, buildcache.Step(key.digest, layer.chain_id, text, vertex.name, created, created, took))
        return Snapshot(parent.base, (*parent.layers, layer), created)

    def close(self) -> None:
        """Remember what was hit, and let go of the database."""
        if self.hits:
            with database.transaction(self._db()) as db:
                buildcache.touch(db, self.hits, self.world.now())
        connection = self._connections.pop(get_ident(), None)
        if connection is not None and connection is not self.world.db:
            connection.close()


def _digest(loose: Loose) -> str:
    from boxship.oci.sha256 import sha256

    state = sha256(f"{loose.name}\0{loose.mode:o}\0".encode(errors="surrogateescape"))
    with open(loose.path, "rb") as file:
        while chunk := file.read(1 << 20):
            state.update(chunk)
    return state.hexdigest()
