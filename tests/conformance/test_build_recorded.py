"""Builds recorded with Docker's BuildKit: the same image config, history, file tree and number of layers."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boxship.errors import BoxshipError
from tests.conformance.buildworld import World, dockerfile_of, skip_without_run, write_context
from tests.tables import rows

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("recorded"))
    made.add_base("busybox", "alpine")
    yield made
    made.close()


_OLD_WALK = "Docker 20.10 did not look into an ignored directory for exceptions with wildcards; newer BuildKit does"
_SKIP = {
    "buildah:copy-integration1": _OLD_WALK,
    "buildah:dockerignore-exclude-deep-subdir-star": _OLD_WALK,
    "buildah:dockerignore-exclude-kind-of-deep-subdir-dot": _OLD_WALK,
    "buildah:dockerignore-exclude-kind-of-deep-subdir-star": _OLD_WALK,
    "buildah:dockerignore-exceptions-weirdness-1": _OLD_WALK,
    "buildah:dockerignore-allowlist-subdir-nofile-dir": "Docker 20.10 sent ignored directories empty; newer BuildKit leaves them out",
    "buildah:workdir with trailing separator": "Docker 20.10 kept the slash; newer BuildKit cleans the path",
    "buildah:ci-pipeline-modified": "Docker 20.10 kept the slash of WORKDIR; newer BuildKit cleans the path",
    "buildah:dockerignore-allowlist-subsubdir-nofile": "Docker 20.10 sent ignored directories empty; newer BuildKit leaves them out",
    "kaniko:workdir": "Docker 20.10 kept the slash of WORKDIR; newer BuildKit cleans the path",
    "kaniko:copyadd_chmod": "Docker 20.10 made the destination 0755; newer BuildKit gives it the mode of --chmod (build/stated, chmod)",
    "imagebuilder:copy chmod": "Docker 20.10 dropped set-user-ID and sticky bits of --chmod; newer BuildKit sets them",
    "kaniko:cmd": "the row's text after a JSON array was let pass by Docker 20.10; the parser's own tables decide it",
}


@pytest.mark.parametrize("case", rows("build/recorded", **_SKIP))
def test_recorded(case: dict[str, Any], world: World, tmp_path: Path) -> None:
    skip_without_run(case)
    context = tmp_path / "context"
    write_context(context, case)
    dockerfile = dockerfile_of(context, case, case["dockerfile"])
    options = {"build_args": case.get("args", {}), "target": case.get("target", "")}
    want = case["expect"]["buildkit"]
    if "RUN --mount" in case["dockerfile"]:
        with pytest.raises(BoxshipError, match="RUN --mount is not supported yet"):
            world.build(context, dockerfile, **options)
        return
    if "error" in want:
        with pytest.raises(BoxshipError):
            world.build(context, dockerfile, **options)
        return
    got = world.build(context, dockerfile, **options)
    base = 0 if _from_scratch(got.document) else 1
    assert _config(got.config) == _config(want["config"])
    assert len(got.layers) - base == want["layers"]
    assert _history([entry for entry in got.document["history"] if entry.get("comment")]) == _history(want["history"])
    if "author" in want:
        assert got.document.get("author") == want["author"]
    before, after = got.tree(base), got.tree()
    assert {path: entry for path, entry in after.items() if before.get(path) != entry} == _files(want["files"], after)
    # an opaque directory ("path/*") over a file hides nothing: whether a builder marks it so is its own affair
    assert got.whiteouts(base) == [path for path in want.get("removed", []) if not path.endswith("/*")]


def _from_scratch(document: dict[str, Any]) -> bool:
    return not any(entry["created_by"] == "base" for entry in document["history"])


def _config(config: dict[str, Any]) -> dict[str, Any]:
    # BuildKit sets ArgsEscaped, which means nothing on Linux; Boxship leaves it out
    found = {key: value for key, value in config.items() if key != "ArgsEscaped"}
    for key in ("ExposedPorts", "Volumes"):
        if key in found:
            found[key] = sorted(found[key])
    return found


def _history(entries: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Without what Docker 20.10 did not write yet: flags of COPY, values of ARG given outside, the start interval."""
    found = []
    for entry in entries:
        text = re.sub(r"^(COPY|ADD)( --(chown|chmod)=\S+)+", r"\1", entry["created_by"])
        text = re.sub(r"^(ARG \w+)=.*", r"\1", text)
        text = re.sub(r'^(HEALTHCHECK &\{\[.*\] "\S+" "\S+" "\S+") "\S+" ', r"\1 ", text)
        found.append((text, entry.get("empty_layer", False)))
    return found


def _files(entries: list[dict[str, Any]], got: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table's entries in the form of listing(); what varies is taken from `got`."""
    found = {}
    for entry in entries:
        path = entry["path"]
        if entry["type"] == "hardlink":
            found[path] = {"type": "hardlink", "target": entry["target"]}
            continue
        made = {key: entry[key] for key in ("type", "uid", "gid", "mode", "target") if key in entry}
        if entry["type"] == "symlink":
            made.pop("mode", None)
        elif "mode" not in entry:
            made["mode"] = got.get(path, {}).get("mode")  # varies with the base, as the table says by its absence
        elif entry["type"] == "file":
            made["sha256"] = entry.get("sha256") or hashlib.sha256(entry.get("content", "").encode()).hexdigest()
            if entry.get("content_varies"):
                made["sha256"] = got.get(path, {}).get("sha256")
        found[path] = made
    return found
