"""The planner against the tables: config, arguments, bases, copies and refusals of whole Dockerfiles."""

import re
from typing import Any

import pytest

from boxship.build import graph, plan
from boxship.build.dockerfile.parser import parse
from boxship.errors import BoxshipError
from boxship.oci.platform import Platform
from tests.tables import rows

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def image(name: str, config: dict[str, Any] | None = None) -> graph.BaseImage:
    document = {"architecture": "amd64", "os": "linux", "config": config or {}}
    return graph.BaseImage(name, f"sha256:{name}", document, (f"sha256:layer-{name}",))


def made(text: str, base: dict[str, Any] | None = None, **options: Any) -> graph.Plan:
    """A plan with every image that it asks for."""
    images: dict[str, graph.BaseImage] = {}
    chosen = plan.Options(platform=Platform("linux", "amd64"), **options)
    for _ in range(20):
        found = plan.make(parse(text.encode()), chosen, images)
        if isinstance(found, graph.Plan):
            return found
        images |= {name: image(name, base) for name, _ in found.images}
    raise AssertionError("the planner asks for ever")


_ELSEWHERE = {
    "from-platform": "another platform is refused: see test_plan",
    "arg-scope": "Buildah sees an ARG of the parent stage; so does BuildKit, but its unset values differ",
    "run-network-flag": "RUN --network is refused: see test_plan",
}


@pytest.mark.parametrize("case", rows("build/config_facts", **_ELSEWHERE))
def test_config_facts(case: dict[str, Any]) -> None:
    want = case["expect"]
    if "error" in want:
        with pytest.raises(BoxshipError, match=re.escape(want["error"])):
            made(case["dockerfile"], case.get("base_config"), build_args=case.get("args", {}))
        return
    found = made(case["dockerfile"], case.get("base_config"), build_args=case.get("args", {}))
    if "base" in want:
        assert found.base is not None
        assert found.base.reference == want["base"]
    if "config" in want:
        _check_config(dict(found.config), want["config"], case)
    for entry in want.get("config_env_contains", []):
        assert entry in found.config["Env"]
    for entry in want.get("config_env_lacks", []):
        assert entry not in found.config["Env"]
    if "copies" in want:
        assert [_copy(vertex.op) for vertex in found.vertices if isinstance(vertex.op, graph.CopyFiles)] == [
            (tuple(source.rstrip("/") for source in copy["sources"]), copy["destination"]) for copy in want["copies"]
        ]
    if "args_visible" in want:
        with_run = made(case["dockerfile"] + "\nRUN true\n", case.get("base_config"), build_args=case.get("args", {}))
        last = with_run.vertices[-1].op
        assert isinstance(last, graph.RunProcess)
        assert set(want["args_visible"]) <= set(last.env)


def _copy(op: graph.CopyFiles) -> tuple[tuple[str, ...], str]:
    """As the table writes it: relative sources without a leading slash."""
    names = []
    for source in op.sources:
        if isinstance(source, graph.UrlSource):
            names.append(source.url)
        else:
            assert isinstance(source, graph.TreeSource)
            names.append(source.path[1:] or ".")
    return tuple(names), op.dest.removesuffix(".") if op.dest.endswith("/.") else op.dest


def _check_config(got: dict[str, Any], want: dict[str, Any], case: dict[str, Any]) -> None:
    if "Env" in want:
        old = case.get("base_config", {}).get("Env", [])
        assert [entry for entry in got["Env"] if not entry.startswith("PATH=") and entry not in old] == want["Env"]
    for key, value in want.items():
        if key != "Env":
            have = got.get(key)
            assert (sorted(have) if isinstance(have, dict) and isinstance(value, list) else have) == value, key


_CLASSIC = {
    "ADD-many": "BuildKit finds it when it copies: see tests/conformance/test_build_copy",
    "ADD-many-blank": "BuildKit finds it when it copies: see tests/conformance/test_build_copy",
    "ADD-wild": "BuildKit lets the last of a wildcard's matches win (build/recorded, copy-escape-glob)",
}


@pytest.mark.parametrize("case", rows("dockerfile/classic_config", **_CLASSIC))
def test_classic_config(case: dict[str, Any]) -> None:
    want = case["expect"]
    if "error" in want:
        with pytest.raises(BoxshipError, match=re.escape(want["error"])):
            made(case["dockerfile"])
        return
    found = made(case["dockerfile"])
    for key, value in want.get("config", {}).items():
        assert found.config.get(key) == value
    assert set(want.get("config_env_contains", [])) <= set(found.config["Env"])
    if "author" in want:
        assert found.author == want["author"]


@pytest.mark.parametrize("case", rows("dockerfile/stages"))
def test_stages(case: dict[str, Any]) -> None:
    want = case["expect"]
    if "error" in want:
        with pytest.raises(BoxshipError, match=re.escape(want["error"]) or None):
            made(case["dockerfile"], target=case.get("target", ""))
        return
    found = made(case["dockerfile"], target=case.get("target", ""))
    if "labels" in want:
        assert found.config["Labels"] == want["labels"]
