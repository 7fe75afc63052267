"""An opened store in a folder of its own, with an image; needs no root."""

import pathlib
from typing import Any

import pytest

from boxship import fastjson
from boxship.engine.store import Store, open_store
from boxship.state import containers, images
from boxship.state.db import transaction

IMAGE = "sha256:" + "a" * 64
SECOND = 1_000_000_000


@pytest.fixture
def opened(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("BOXSHIP_ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("BOXSHIP_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("BOXSHIP_CONFIG", str(tmp_path / "boxship.toml"))
    (tmp_path / "boxship.toml").write_text("")
    store = open_store()
    add_image(store, IMAGE, "docker.io/library/bb:1")
    return store


def add_image(store: Store, image_id: str, reference: str, history: "list[dict[str, Any]] | None" = None) -> None:
    with transaction(store.db):
        text = fastjson.dumps({"history": history or []})
        images.put(store.db, images.Image(image_id, text, 0, 0, 1000, "sha256:m", "application/x"), [])
        images.tag(store.db, reference, image_id)


def add_container(store: Store, number: int, **more: Any) -> containers.Container:
    """Container `number`, made `number` seconds after 1970, named n<number>."""
    config = {"Cmd": ["true"], "Labels": {}, **more.pop("config", {})}
    host = {"NetworkMode": "bridge", **more.pop("host", {})}
    ident = f"{number:064x}"
    image, name = more.pop("image", IMAGE), more.pop("image_name", "bb:1")
    row = containers.Container(ident, f"n{number}", image, name, number * SECOND, fastjson.dumps(config), fastjson.dumps(host))
    with transaction(store.db):
        containers.add(store.db, row)
        if "started" in more:
            containers.set_started(store.db, ident, more["started"])
        if "finished" in more:
            containers.set_exited(store.db, ident, more["finished"], more.get("code", 0), False, "", more.get("restarts", 0))
    found = containers.get(store.db, ident)
    assert found is not None
    return found
