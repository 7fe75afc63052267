"""Commands to stages, stages to a graph."""

import pytest

from boxship.build.dockerfile.commands import Copy, Label
from boxship.build.dockerfile.parser import parse
from boxship.build.dockerfile.stages import (
    Link,
    Stage,
    check_copy_sources,
    link_stages,
    plan_stages,
    reachable,
    target_stage,
)
from boxship.errors import DockerfileError
from tests.tables import rows


def plan(source: str, target: str = "") -> tuple[list[Link], Stage]:
    _, stages = plan_stages(parse(source))
    chosen = target_stage(stages, target)
    links = link_stages(stages, {})
    for index in reachable(links, chosen.index):
        for command in stages[index].commands:
            if isinstance(command, Copy):
                check_copy_sources(command, command.sources)
    return links, chosen


@pytest.mark.parametrize("row", rows("dockerfile/stages"))
def test_stages(row: dict) -> None:
    want = row["expect"]
    if "error" in want:
        with pytest.raises(DockerfileError) as caught:
            plan(row["dockerfile"], row.get("target", ""))
        assert want["error"] in caught.value.message
        return
    links, chosen = plan(row["dockerfile"], row.get("target", ""))
    if "labels" in want:
        labels: dict[str, str] = {}
        below: int | None = chosen.index
        while below is not None:
            for command in reversed(links[below].stage.commands):
                if isinstance(command, Label):
                    labels = {**{pair.name: pair.value for pair in command.pairs}, **labels}
            below = links[below].base
        assert labels == want["labels"]


GRAPH = """ARG TAG=1
FROM a:${TAG} AS base
FROM --platform=$P base AS two
RUN --mount=type=bind,from=Four x
FROM scratch
FROM base AS four
COPY --from=0 --link a b
COPY --from=busybox a b
FROM two
"""


def test_links() -> None:
    meta, stages = plan_stages(parse(GRAPH))
    assert [pair.name for arg in meta for pair in arg.pairs] == ["TAG"]
    links = link_stages(stages, {"TAG": "2", "P": "linux/arm64"})
    assert [link.image for link in links] == ["a:2", "base", "scratch", "base", "two"]
    assert [link.base for link in links] == [None, 0, None, 0, 1]
    assert links[0].used_args == {"TAG"}
    assert links[1].platform == "linux/arm64"
    assert links[1].sources == {"Four": 3}
    assert links[3].sources == {"0": 0, "busybox": None}
    assert reachable(links, 4) == [0, 1, 3, 4]
    assert [stage.label for stage in stages] == ["base", "two", "stage-2", "four", "stage-4"]
    assert target_stage(stages, "FOUR").index == 3


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("ARG a\nRUN x\nFROM b\n", 2, "no build stage in current context"),
        ("ARG a\n", 1, "dockerfile contains no stages to build"),
        ("FROM a\nCOPY --from=$x a b\n", 2, "variable expansion is not supported for --from"),
        ("FROM a\nCOPY --from=1 a b\n", 2, "invalid stage index 1"),
        ("FROM a\nFROM --platform=$x b\n", 2, "empty platform value from expression $x"),
        ("FROM a AS x\nCOPY --from=y a b\nFROM x AS y\n", 1, "circular dependency detected on stage: x"),
    ],
)
def test_mistakes(source: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        plan(source)
    assert message in caught.value.message
    assert caught.value.line == line


def test_a_near_target_is_suggested() -> None:
    with pytest.raises(DockerfileError, match=r'target stage "bsae" could not be found \(did you mean base\?\)'):
        plan(GRAPH.replace("--platform=$P ", ""), "bsae")


def test_thousands_of_stages() -> None:
    chain = "FROM a AS s0\n" + "".join(f"FROM s{at} AS s{at + 1}\nCOPY --from=s{at} a b\n" for at in range(3000))
    links, chosen = plan(chain)
    assert len(reachable(links, chosen.index)) == 3001
