"""From a Dockerfile to a graph of steps. Pure: images come in as values, or are named as missing.

Only stages that the target needs are looked at. Each becomes a chain of vertices; COPY --from ties chains together. What
is not supported is refused before an image is asked for.
"""

from __future__ import annotations

from boxship.build import graph, refuse
from boxship.build import stage as steps
from boxship.build.dockerfile import commands, stages, words
from boxship.build.dockerfile.decode import decode_trigger
from boxship.build.dockerfile.environment import proxy_env
from boxship.build.dockerfile.stages import SCRATCH, Link
from boxship.build.record import record
from boxship.errors import BoxshipError, DockerfileError
from boxship.oci.platform import Platform, host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from boxship.build.dockerfile.ast import Dockerfile

_FILE_STEPS = (commands.Run, commands.Copy, commands.Add, commands.Workdir)


_NONE: Mapping[str, str] = {}


@record
class Options:
    """What the command line says about the plan."""

    target: str = ""
    build_args: Mapping[str, str] = _NONE
    labels: Mapping[str, str] = _NONE
    no_cache: bool = False
    platform: Platform = host()


def make(dockerfile: Dockerfile, options: Options, images: Mapping[str, graph.BaseImage]) -> graph.Plan | graph.Missing:
    """`images`: by the name as FROM or --from gives it. Call again with more of them until a Plan comes back.

    Raises DockerfileError with its line, also for everything that is not supported yet.
    """
    planner = _Planner(dockerfile, options, images)
    missing = planner.missing()
    if missing:
        return graph.Missing(tuple(missing))
    try:
        return planner.plan()
    except _Absent as absent:
        return graph.Missing(((absent.name, absent.line),))


class _Absent(Exception):
    """An image that is not known yet, and that only an ONBUILD trigger leads to."""

    def __init__(self, name: str, line: int) -> None:
        super().__init__(name)
        self.name = name
        self.line = line


class _Planner:
    def __init__(self, dockerfile: Dockerfile, options: Options, images: Mapping[str, graph.BaseImage]) -> None:
        self.options = options
        self.images = images
        self.escape = dockerfile.escape
        meta, self.stages = stages.plan_stages(dockerfile)
        target = self._target(options.target)
        self.target = target.index
        self.args = _global_args(meta, options, target, dockerfile.escape)
        self.links = stages.link_stages(self.stages, self.args, dockerfile.escape)
        self.wanted = stages.reachable(self.links, self.target)
        self.vertices: list[graph.Vertex] = []
        self._states: dict[int, steps.StageState] = {}
        self._opened: set[int] = set()
        self._from: dict[str, int | None] = {}
        self._refuse()

    def _target(self, name: str) -> stages.Stage:
        try:
            return stages.target_stage(self.stages, name)
        except DockerfileError as error:
            known = ", ".join(stage.name for stage in self.stages if stage.name) or "none has a name"
            raise DockerfileError(error.message, hint=f"the stages: {known}") from None

    def _refuse(self) -> None:
        for index in self.wanted:
            link = self.links[index]
            if link.platform:
                refuse.check_platform(link.platform, link.stage.base)
            for command in link.stage.commands:
                refuse.check(command)

    def missing(self) -> list[tuple[str, int]]:
        found: dict[str, int] = {}
        for index in self.wanted:
            link = self.links[index]
            if link.base is None and link.image != SCRATCH:
                found.setdefault(link.image, link.stage.base.line)
            lines = {command.from_: command.line for command in link.stage.commands if isinstance(command, commands.Copy)}
            for name, stage in link.sources.items():
                if stage is None and name != SCRATCH:
                    found.setdefault(name, lines.get(name, link.stage.base.line))
        return [(name, line) for name, line in found.items() if name not in self.images]

    def plan(self) -> graph.Plan:
        state = self._state(self.target)
        config = dict(state.config)
        if self.options.labels:
            config["Labels"] = {**(config.get("Labels") or {}), **self.options.labels}
        base: Mapping[str, Any] = state.base.config if state.base else {}
        return graph.Plan(
            tuple(self.vertices),
            state.vertex,
            state.base,
            {key: value for key, value in config.items() if value not in (None, "", [], {}) or key == "Healthcheck"},
            state.author,
            tuple(state.history),
            str(base.get("architecture") or self.options.platform.architecture),
            str(base.get("os") or self.options.platform.os),
            str(base.get("variant") or ""),
            self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        every = (command for stage in self.stages for command in stage.commands)
        declared = {pair.name for command in every if isinstance(command, commands.Arg) for pair in command.pairs}
        proxies = {name for name in self.options.build_args if name.lower() in proxy_env({name: "x"})}
        unused = sorted(set(self.options.build_args) - declared - proxies - set(self.args) - {"BUILDKIT_SANDBOX_HOSTNAME"})
        return (f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed",) if unused else ()

    # --- stages

    def _state(self, index: int) -> steps.StageState:
        """The stage after its last command; planned once."""
        if index in self._states:
            return self._states[index]
        link = self.links[index]
        if index in self._opened:
            # only an ONBUILD trigger can still close a circle: the others were found when the stages were linked
            raise DockerfileError(f"circular dependency detected on stage: {link.stage.label}", line=link.stage.base.line)
        self._opened.add(index)
        state, triggers = self._open(link)
        every = [*triggers, *link.stage.commands]
        state.total += sum(isinstance(command, _FILE_STEPS) for command in every)
        scope = self._scope(link)
        if link.base is None and link.image != SCRATCH:
            state.vertex = self._image_vertex(self.images[link.image], link.stage.base, state)
        for number, command in enumerate(every):
            steps.dispatch(state, command, scope, onbuild=number < len(triggers))
        self._states[index] = state
        return state

    def _open(self, link: Link) -> tuple[steps.StageState, list[commands.Command]]:
        name = link.stage.label if len(self.stages) > 1 else ""
        if link.base is not None:
            state = self._state(link.base).child(name)
        elif link.image == SCRATCH:
            state = steps.scratch(name)
        else:
            if link.image not in self.images:
                raise _Absent(link.image, link.stage.base.line)
            image = self.images[link.image]
            state = steps.from_image(name, image)
            state.total = 1 if image.chain_ids else 0
        triggers = []
        for expression in state.config.pop("OnBuild", None) or []:
            base = link.stage.base
            command = decode_trigger(str(expression), base.line, base.instruction.end_line)
            refuse.check(command)
            triggers.append(command)
        return state, triggers

    def _scope(self, link: Link) -> steps.Scope:
        proxies = proxy_env(self.options.build_args)
        both = [f"{name}={value}" for lower, value in proxies.items() for name in (lower.upper(), lower)]

        def tree(command: commands.Copy) -> int | None:
            return self._tree(link, command)

        return steps.Scope(self.args, self.options.build_args, tuple(both), self.escape, self._add, tree)

    def _tree(self, link: Link, command: commands.Copy) -> int | None:
        """The vertex that --from means; graph.EMPTY for one without layers, None for the build context."""
        name = command.from_
        if not name:
            return None
        stage = link.sources[name] if name in link.sources else self._stage_named(name)
        if stage is not None and stage >= link.stage.index:
            raise DockerfileError(
                f'cannot copy from stage "{name}", it needs to be defined before current stage "{link.stage.label}"',
                hint="move the stage up",
            )
        if stage is not None:
            vertex = self._state(stage).vertex
        elif name == SCRATCH:
            vertex = None
        elif name in self.images:
            vertex = self._image_vertex(self.images[name], command, None)
        else:
            raise _Absent(name, command.line)
        return graph.EMPTY if vertex is None else vertex

    def _stage_named(self, name: str) -> int | None:
        """For ONBUILD triggers: their words are not part of the file whose stages were linked."""
        if name.isascii() and name.isdecimal():
            if int(name) >= len(self.stages):
                raise DockerfileError(f"invalid stage index {int(name)}", hint="stages are counted from 0")
            return int(name)
        return next((stage.index for stage in reversed(self.stages) if stage.name and stage.name == name.lower()), None)

    # --- vertices

    def _image_vertex(self, image: graph.BaseImage, command: commands.Command, state: steps.StageState | None) -> int | None:
        """One vertex per image; None for an image without layers."""
        if image.id not in self._from:
            name = f"FROM {image.reference}"
            label = state.label(name) if state is not None else name
            self._from[image.id] = self._add(state, graph.FromImage(image), None, (), label, command) if image.chain_ids else None
        elif state is not None:
            state.index += 1
        return self._from[image.id]

    def _add(
        self,
        state: steps.StageState | None,
        op: graph.Op,
        parent: int | None,
        inputs: Sequence[int],
        name: str,
        command: commands.Command,
    ) -> int:
        index = len(self.vertices)
        instruction = command.instruction
        stage = state.name if state is not None else ""
        no_cache = self.options.no_cache and not isinstance(op, graph.FromImage)
        self.vertices.append(
            graph.Vertex(index, op, parent, tuple(inputs), name, instruction.line, instruction.end_line, stage, no_cache)
        )
        return index


def _global_args(
    meta: Sequence[commands.Arg], options: Options, target: stages.Stage, escape: str
) -> dict[str, str]:
    """What FROM lines see: the platform's arguments, then ARG before the first FROM, --build-arg above both."""
    platform = options.platform
    variant = "" if (platform.architecture, platform.variant) == ("arm64", "v8") else platform.variant
    text = "/".join(part for part in (platform.os, platform.architecture, variant) if part)
    known: dict[str, str] = {}
    for prefix in ("BUILD", "TARGET"):
        known[f"{prefix}PLATFORM"] = text
        known[f"{prefix}OS"] = platform.os
        known[f"{prefix}ARCH"] = platform.architecture
        known[f"{prefix}VARIANT"] = variant
    known["TARGETSTAGE"] = options.target or target.name or "default"
    given = options.build_args
    args = {name: given.get(name, value) for name, value in known.items()}
    for command in meta:
        for pair in command.pairs:
            value = given.get(pair.name)
            if value is None and pair.value is not None:
                try:
                    value = words.expand(pair.value, args, escape=escape)
                except BoxshipError as error:
                    raise DockerfileError(error.message, line=command.line, text=command.source) from None
            if value is not None:
                args[pair.name] = value
    return args
