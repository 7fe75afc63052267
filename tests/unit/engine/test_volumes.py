"""The use cases of volumes, in Docker's words."""

import os
import re
from typing import Any

import pytest

from boxship.engine import mountpoints, volumes
from boxship.engine.store import Store
from boxship.errors import Conflict, InvalidArgument, NotFound, Unsupported
from boxship.state import volumes as rows
from boxship.state.db import transaction
from tests.unit.engine.conftest import add_container


def use(store: Store, number: int, volume: str) -> str:
    row = add_container(store, number, host={"Binds": [f"{volume}:/data"]})
    with transaction(store.db):
        rows.use(store.db, row.id, volume, "/data")
    return row.id


def test_create_and_inspect(opened: Store) -> None:
    made = volumes.create(opened, "data", "local", {}, {"a": "b"})
    assert os.path.isdir(made["Mountpoint"])
    assert made["Mountpoint"] == f"{opened.paths.volumes}/data/_data"
    assert (made["Name"], made["Driver"], made["Labels"], made["Options"], made["Scope"]) == ("data", "local", {"a": "b"}, None, "local")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["CreatedAt"])
    assert volumes.inspect(opened, "data") == made


def test_creating_again_changes_nothing(opened: Store) -> None:
    first = volumes.create(opened, "data", "local", {}, {"a": "b"})
    assert volumes.create(opened, "data", "", {}, {"c": "d"}) == first


def test_without_a_name(opened: Store) -> None:
    made = volumes.create(opened)
    assert re.fullmatch("[0-9a-f]{64}", made["Name"])
    assert made["Labels"] == {"com.docker.volume.anonymous": ""}


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("x",), InvalidArgument, "create x: volume name is too short, names should be at least two alphanumeric characters"),
        (("a b",), InvalidArgument, 'create a b: "a b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]"'
         " are allowed. If you intended to pass a host directory, use absolute path"),
        (("x1", "foo"), NotFound, 'create x1: error looking up volume plugin foo: plugin "foo" not found'),
        (("x2", "local", {"bad": "1"}), InvalidArgument, 'create x2: invalid option: "bad"'),
        (("x3", "", {"device": "/x"}), InvalidArgument, 'create x3: missing required option: "type"'),
        (("x4", "", {"size": "1g"}), Unsupported, "create x4: quota size requested but no quota support"),
        (("x5", "", {"type": "tmpfs", "device": "tmpfs"}), Unsupported, "create x5: a volume of type tmpfs is not supported yet: tmpfs"),
        (("x6", "", {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4"}), Unsupported,
         "create x6: a volume of type nfs is not supported yet: addr=1.2.3.4"),
        (("x7", "", {"type": "none", "device": "/x", "o": "bind,ro"}), Unsupported, "create x7: the mount option is not supported yet: ro"),
        (("x8", "", {"type": "none", "device": "x", "o": "bind"}), InvalidArgument,
         "create x8: the device of a bind must be an absolute path: x"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_refused(opened: Store, arguments: Any, kind: type, words: str) -> None:
    with pytest.raises(kind) as caught:
        volumes.create(opened, *arguments)
    assert str(caught.value) == words
    assert volumes.list_volumes(opened) == []
    assert os.listdir(opened.paths.volumes) == []


def test_a_password_is_not_shown(opened: Store) -> None:
    with pytest.raises(Unsupported) as caught:
        volumes.create(opened, "x1", "", {"type": "cifs", "device": "//1.2.3.4/x", "o": "username=u,password=secret"})
    assert "secret" not in str(caught.value)


def test_a_directory_under_a_name(opened: Store, tmp_path: Any) -> None:
    made = volumes.create(opened, "host", "", {"type": "none", "device": str(tmp_path), "o": "bind"})
    assert made["Options"] == {"type": "none", "device": str(tmp_path), "o": "bind"}
    row = rows.get(opened.db, "host")
    assert row is not None
    assert volumes.mounted(opened, row) == str(tmp_path)
    points, _ = mountpoints.plan(opened, {}, {"Binds": ["host:/x"]})
    assert points[0].source == str(tmp_path)
    volumes.remove(opened, "host")
    assert tmp_path.is_dir()


def test_list_filters(opened: Store) -> None:
    for name, labels in (("one", {"a": "b"}), ("two", {"a": "c"}), ("used", {})):
        volumes.create(opened, name, "", {}, labels)
    use(opened, 1, "used")

    def names(**filters: list[str]) -> list[str]:
        return [volume["Name"] for volume in volumes.list_volumes(opened, filters)]

    assert names() == ["one", "two", "used"]
    assert names(name=["o"]) == ["one", "two"]
    assert names(name=["^o"]) == ["one"]
    assert names(label=["a"]) == ["one", "two"]
    assert names(label=["a=c"]) == ["two"]
    assert names(dangling=["true"]) == ["one", "two"]
    assert names(dangling=["0"]) == ["used"]
    assert names(driver=["local"]) == ["one", "two", "used"]
    assert names(driver=["x"]) == []
    with pytest.raises(InvalidArgument, match="^invalid filter 'foo'$"):
        names(foo=["x"])
    with pytest.raises(InvalidArgument, match=re.escape("invalid filter 'dangling=[x]'")):
        names(dangling=["x"])


def test_remove(opened: Store) -> None:
    made = volumes.create(opened, "data")
    volumes.remove(opened, "data")
    assert not os.path.exists(os.path.dirname(made["Mountpoint"]))
    for call in (volumes.remove, volumes.inspect):
        with pytest.raises(NotFound) as caught:
            call(opened, "data")
        assert str(caught.value) == "get data: no such volume"
    volumes.remove(opened, "data", force=True)


@pytest.mark.parametrize("force", [False, True])
def test_one_in_use_stays(opened: Store, force: bool) -> None:
    made = volumes.create(opened, "data")
    ident = use(opened, 1, "data")
    with pytest.raises(Conflict) as caught:
        volumes.remove(opened, "data", force)
    assert str(caught.value) == f"remove data: volume is in use - [{ident}]"
    assert os.path.isdir(made["Mountpoint"])


def test_prune(opened: Store) -> None:
    anonymous = volumes.create(opened)["Name"]
    for name in ("named", "used"):
        volumes.create(opened, name)
    use(opened, 1, "used")
    with open(f"{opened.paths.volumes}/{anonymous}/_data/file", "wb") as file:
        file.write(b"x" * 300)
    assert volumes.prune(opened) == {"VolumesDeleted": [anonymous], "SpaceReclaimed": 300}
    assert volumes.prune(opened) == {"VolumesDeleted": None, "SpaceReclaimed": 0}
    assert volumes.prune(opened, all=True) == {"VolumesDeleted": ["named"], "SpaceReclaimed": 0}
    assert os.listdir(opened.paths.volumes) == ["used"]


def test_volumes_that_a_container_left_count_as_anonymous(opened: Store) -> None:
    with transaction(opened.db):
        rows.add(opened.db, rows.Volume("left", "local", "{}", "{}", True, 0))
    assert volumes.inspect(opened, "left")["Labels"] == {"com.docker.volume.anonymous": ""}
    assert volumes.prune(opened)["VolumesDeleted"] == ["left"]
