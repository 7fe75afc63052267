"""Facts that BuildKit's own tests state about a build: contents, owners, links, config, errors."""

import base64
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boxship.errors import BoxshipError
from tests.conformance.buildworld import Result, World, dockerfile_of, skip_without_run, write_context
from tests.tables import rows

pytestmark = pytest.mark.root

_LATER = {
    "COPY --link": "--link",
    "COPY --chmod symbolic": "symbolic",
    "ADD --unpack": "--unpack",
    "ADD --checksum": "--checksum",
    "RUN --mount": "--mount",
    "COPY --parents": "--parents",
    "COPY --exclude": "--exclude",
    "RUN --network": "--network",
}
"""Features of a later issue, and what the refusal names."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("stated"))
    made.add_base("busybox", "alpine")
    yield made
    made.close()


class _Server(http.server.ThreadingHTTPServer):
    files: dict[str, Any] = {}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        entry = self.server.files.get(self.path)
        if entry is None:
            self.send_error(404)
            return
        data = base64.b64decode(entry["content_base64"]) if "content_base64" in entry else entry["content"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        if "last_modified" in entry:
            self.send_header("Last-Modified", entry["last_modified"])
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize("case", rows("build/stated"))
def test_stated(case: dict[str, Any], world: World, server: _Server, tmp_path: Path) -> None:
    if "build_contexts" in case:
        pytest.skip("named build contexts come with a later issue: the command refuses --build-context")
    text = case["dockerfile"]
    server.files = case.get("http", {})
    text = text.replace("{url}", f"http://127.0.0.1:{server.server_port}")
    context = tmp_path / "context"
    write_context(context, case)
    options = {"build_args": case.get("args", {}), "target": case.get("target", ""), "labels": case.get("labels", {})}
    refused = [flag for need, flag in _LATER.items() if need in case.get("needs", [])]
    if refused:
        _must_refuse(case, world, context, dockerfile_of(context, case, text), refused, options)
        return
    skip_without_run({**case, "dockerfile": text})
    for base in case.get("bases", []):
        text = text.replace("{" + base["placeholder"] + "}", _base(world, tmp_path, base))
    dockerfile = dockerfile_of(context, case, text)
    want = case["expect"]
    if "error" in want:
        with pytest.raises(BoxshipError) as caught:
            world.build(context, dockerfile, **options)
        if not want.get("error_text_not_checked_by_source"):
            assert want["error"] in str(caught.value)
        return
    _check(world.build(context, dockerfile, **options), want)


def _must_refuse(
    case: dict[str, Any], world: World, context: Path, dockerfile: str, refused: list[str], options: dict[str, Any]
) -> None:
    """Before any step has begun, with the line, or as the mistake that the row is about."""
    with pytest.raises(BoxshipError) as caught:
        world.build(context, dockerfile, **options)
    message = str(caught.value)
    if case["expect"].get("error") not in (None, "") and case["expect"]["error"] in message:
        return
    assert "not supported yet" in message
    assert any(flag in message for flag in refused)
    assert getattr(caught.value, "line", 0) > 0
    assert not [name for kind in ("done", "cached", "error") for name in world.names(kind) if "[internal]" not in name]


def _base(world: World, tmp_path: Path, base: dict[str, Any]) -> str:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "Dockerfile").write_text(base["dockerfile"])
    name = f"base-{abs(hash(base['dockerfile'])) % 10**9}"
    world.build(folder, tags=[name])
    return name


def _check(got: Result, want: dict[str, Any]) -> None:
    for path, content in want.get("files", {}).items():
        assert got.text(path) == content, path
    if want.keys() & {"absent", "present", "symlinks", "same_file", "empty_directory", "only"}:
        _check_tree(got, want)
    for key, value in want.get("config", {}).items():
        have = got.config.get(key)
        assert (sorted(have) if isinstance(have, dict) and isinstance(value, list) else have) == value, key
    for text in want.get("config_env_contains", []):
        assert any(entry.startswith(text) for entry in got.config["Env"]), text
    if "working_dir_set" in want:
        assert bool(got.config.get("WorkingDir")) == want["working_dir_set"]
    if "layers" in want:
        base = sum(entry["created_by"] == "base" for entry in got.document["history"])
        assert len(got.layers) - base == want["layers"]
    own = [entry for entry in got.document["history"] if entry.get("comment")]
    for entry, expected in zip(own, want.get("history", []), strict=False):
        assert expected["created_by_contains"] in entry["created_by"]
        assert entry.get("empty_layer", False) == expected.get("empty_layer", entry.get("empty_layer", False))
    for path, expected in want.get("file_has_lines", {}).items():
        lines = got.text(path).split("\n")
        assert all(any(line in have for have in lines) for line in expected.get("contains", []))
        assert not any(line in have for line in expected.get("lacks", []) for have in lines)


def _check_tree(got: Result, want: dict[str, Any]) -> None:
    view = got.view()
    for path in want.get("absent", []):
        assert not view.exists("/" + path), path
    for path in want.get("present", []):
        assert view.exists("/" + path), path
    for path, target in want.get("symlinks", {}).items():
        assert view.readlink("/" + path) == target
    for first, second in want.get("same_file", []):
        left, right = view.find("/" + first), view.find("/" + second)
        assert left is not None and right is not None
        assert os.path.samestat(left.info, right.info)
    for path in want.get("empty_directory", []):
        assert view.listdir("/" + path) == []
    if "only" in want:
        assert view.listdir("/") == sorted(want["only"])
