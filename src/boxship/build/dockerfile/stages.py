"""Commands to stages, and stages to a graph: which one stands on which, copies from which, and is needed at all.

Expansion of FROM lines needs the arguments of the build, so planning has two steps: plan_stages() knows the file only,
link_stages() gets the values of the arguments before the first FROM.
"""

from __future__ import annotations

from boxship.build.dockerfile.ast import Dockerfile
from boxship.build.dockerfile.commands import Arg, Command, Copy, From, Run
from boxship.build.dockerfile.decode import decode
from boxship.build.dockerfile.text import located, quote, suggested
from boxship.build.dockerfile.values import csv_fields
from boxship.build.dockerfile.words import expand
from boxship.build.gitforms import is_url
from boxship.build.record import record
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCRATCH = "scratch"
_MAX_INDEX_DIGITS = 9


@record
class Stage:
    """FROM and what follows up to the next FROM. `name` is "" without AS; `label` names it in any case."""

    name: str
    index: int
    base: From
    commands: tuple[Command, ...] = ()

    @property
    def label(self) -> str:
        return self.name or f"stage-{self.index}"


@record
class Link:
    """A stage with its words expanded and its names resolved.

    `image` is the expanded base name, `platform` the expanded one or "". `base` is the index of the stage below, None
    for an image or scratch. `sources` maps the value of a --from to a stage index, or to None for an image or context.
    """

    stage: Stage
    image: str
    platform: str
    base: int | None
    sources: dict[str, int | None]
    used_args: frozenset[str] = frozenset()

    @property
    def needs(self) -> list[int]:
        """The stages that have to be there before this one."""
        indexes = [self.base, *self.sources.values()]
        return sorted({index for index in indexes if index is not None})


def plan_stages(dockerfile: Dockerfile) -> tuple[list[Arg], list[Stage]]:
    """The ARGs before the first FROM, and the stages. Raises DockerfileError with the line."""
    meta: list[Arg] = []
    heads: list[From] = []
    bodies: list[list[Command]] = []
    for instruction in dockerfile.instructions:
        command = decode(instruction)
        if isinstance(command, From):
            heads.append(command)
            bodies.append([])
        elif bodies:
            bodies[-1].append(command)
        elif isinstance(command, Arg):
            meta.append(command)
        else:
            with located(command.line, command.source):
                raise DockerfileError("no build stage in current context", hint="a FROM instruction comes first")
    if not heads:
        raise DockerfileError(
            "dockerfile contains no stages to build", line=dockerfile.end_line, hint="add a FROM instruction"
        )
    return meta, [
        Stage(head.stage_name, index, head, tuple(body))
        for index, (head, body) in enumerate(zip(heads, bodies, strict=True))
    ]


def link_stages(stages: Sequence[Stage], args: Mapping[str, str], escape: str = "\\") -> list[Link]:
    """Expands every FROM with `args` and resolves names. Raises DockerfileError for blank names and for circles."""
    by_name: dict[str, int] = {}
    heads: list[tuple[str, str, int | None, frozenset[str]]] = []
    for stage in stages:
        used: set[str] = set()
        with located(stage.base.line, stage.base.source):
            image = _base_name(stage.base, args, escape, used)
            platform = _platform(stage.base, args, escape, used)
        heads.append((image, platform, by_name.get(image), frozenset(used)))
        if stage.name:
            by_name[stage.name] = stage.index
    links = [
        Link(stage, image, platform, base, _sources(stage, by_name, len(stages), escape), used_args)
        for stage, (image, platform, base, used_args) in zip(stages, heads, strict=True)
    ]
    _refuse_circles(links)
    return links


def _base_name(base: From, args: Mapping[str, str], escape: str, used: set[str]) -> str:
    name = expand(base.image, args, escape, used=used)
    if not name:
        raise DockerfileError(
            f"base name ({base.image}) should not be blank", hint="give the argument a default before the first FROM"
        )
    return name


def _platform(base: From, args: Mapping[str, str], escape: str, used: set[str]) -> str:
    if not base.platform:
        return ""
    platform = expand(base.platform, args, escape, used=used)
    if not platform:
        raise DockerfileError(f"empty platform value from expression {base.platform}")
    return platform


def _sources(stage: Stage, by_name: Mapping[str, int], count: int, escape: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for command in stage.commands:
        with located(command.line, command.source):
            if isinstance(command, Copy) and command.from_:
                found[command.from_] = _copy_source(command.from_, by_name, count, escape)
            elif isinstance(command, Run):
                for name in filter(None, map(mount_source, command.mounts)):
                    found[name] = by_name.get(name.lower())
    return found


def _copy_source(name: str, by_name: Mapping[str, int], count: int, escape: str) -> int | None:
    if expand(name, {}, escape) != name:
        raise DockerfileError(
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope "
            "as a workaround"
        )
    digits = name.removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > _MAX_INDEX_DIGITS:
        return by_name.get(name.lower())
    if not 0 <= int(name) < count:
        raise DockerfileError(f"invalid stage index {int(name)}", hint="stages are counted from 0")
    return int(name)


def mount_source(mount: str) -> str:
    """The `from` of a RUN --mount; "" when there is none."""
    pairs = (field.partition("=") for field in csv_fields(mount))
    return next((value for key, _, value in pairs if key.lower() == "from"), "")


def _refuse_circles(links: Sequence[Link]) -> None:
    """Depth first, with a stack of our own: a Dockerfile may have more stages than Python has frames."""
    done: set[int] = set()
    for start in range(len(links)):
        path: dict[int, list[int]] = {start: list(links[start].needs)}
        while path:
            at = next(reversed(path))
            if at in done or not path[at]:
                done.add(at)
                del path[at]
                continue
            following = path[at].pop()
            if following in path:
                stage = links[following].stage
                raise DockerfileError(
                    f"circular dependency detected on stage: {stage.label}", line=stage.base.line, text=stage.base.source
                )
            if following not in done:
                path[following] = list(links[following].needs)


def target_stage(stages: Sequence[Stage], target: str = "") -> Stage:
    """The stage to build: the last one, or the one of that name in any case."""
    if not target:
        return stages[-1]
    for stage in reversed(stages):
        if stage.name and stage.name == target.lower():
            return stage
    message = f"target stage {quote(target)} could not be found"
    raise DockerfileError(suggested(message, target, [stage.label for stage in stages]))


def reachable(links: Sequence[Link], target: int) -> list[int]:
    """The indexes of the stages that a target needs, itself included, in order."""
    found = {target}
    pending = [target]
    while pending:
        new = [index for index in links[pending.pop()].needs if index not in found]
        found.update(new)
        pending += new
    return sorted(found)


def check_copy_sources(command: Copy, sources: Iterable[str]) -> None:
    """Refuses what only ADD can fetch. `sources` are the expanded ones."""
    for source in sources:
        if is_url(source):
            with located(command.line, command.source):
                raise DockerfileError("source can't be a URL for COPY", hint="use ADD")
