"""Binds, volumes and tmpfs of a container: planned, registered, and found again when it starts anew."""

import os
import pathlib
import re
from typing import Any

import pytest

from boxship.engine import mountpoints
from boxship.engine.store import Store
from boxship.errors import InvalidArgument
from boxship.state import volumes
from boxship.state.db import transaction
from tests.unit.engine.conftest import add_container


def test_plan_of_every_kind(opened: Store, tmp_path: pathlib.Path) -> None:
    host = {"Binds": [f"{tmp_path}//:/host/:ro,rslave", "data:/data:nocopy"], "Tmpfs": {"/tmp": "size=1m"}}
    points, warnings = mountpoints.plan(opened, {"Volumes": {"/anon": {}, "/data": {}}}, host)
    assert warnings == []
    bind, named, tmpfs, anonymous = points
    assert (bind.kind, bind.source, bind.destination, bind.read_only, bind.propagation) == ("bind", str(tmp_path), "/host", True, "rslave")
    assert (named.kind, named.name, named.destination, named.nocopy, named.new) == ("volume", "data", "/data", True, True)
    assert named.source == f"{opened.paths.volumes}/data/_data"
    assert (tmpfs.kind, tmpfs.destination) == ("tmpfs", "/tmp")
    assert "size=1m" in tmpfs.options
    assert anonymous.anonymous
    assert re.fullmatch("[0-9a-f]{64}", anonymous.name)
    assert mountpoints.to_fill(points) == [[anonymous.source, "/anon"]]


def test_oci_mounts(opened: Store, tmp_path: pathlib.Path) -> None:
    points, _ = mountpoints.plan(opened, {}, {"Binds": [f"{tmp_path}:/a:ro", f"{tmp_path}:/b"], "Tmpfs": {"/t": ""}})
    first, second, tmpfs = mountpoints.oci_mounts(points)
    assert first == {"destination": "/a", "type": "bind", "source": str(tmp_path), "options": ["rbind", "ro", "rprivate"]}
    assert second["options"] == ["rbind", "rw", "rprivate"]
    assert (tmpfs["type"], tmpfs["source"]) == ("tmpfs", "tmpfs")
    assert {"nosuid", "nodev", "noexec"} <= set(tmpfs["options"])


def test_documents_are_those_of_inspect(opened: Store, tmp_path: pathlib.Path) -> None:
    points, _ = mountpoints.plan(opened, {}, {"Binds": [f"{tmp_path}:/host:ro", "data:/data"], "Tmpfs": {"/t": ""}})
    bind, volume = mountpoints.documents(points)
    assert bind == {"Type": "bind", "Source": str(tmp_path), "Destination": "/host", "Mode": "ro", "RW": False, "Propagation": "rprivate"}
    source = f"{opened.paths.volumes}/data/_data"
    assert volume == {
        "Type": "volume", "Name": "data", "Source": source, "Destination": "/data", "Driver": "local", "Mode": "z", "RW": True,
        "Propagation": "",
    }  # fmt: skip


def test_a_missing_source_is_made_and_told(opened: Store, tmp_path: pathlib.Path) -> None:
    _, warnings = mountpoints.plan(opened, {}, {"Binds": [f"{tmp_path}/new/dir:/x"]})
    assert (tmp_path / "new" / "dir").is_dir()
    assert warnings == [f"{tmp_path}/new/dir did not exist: made an empty directory for -v"]


def test_a_source_that_cannot_be_made(opened: Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="error while creating mount source path '.*/file/x': not a directory"):
        mountpoints.plan(opened, {}, {"Binds": [f"{tmp_path}/file/x:/x"]})


@pytest.mark.parametrize("spec", ["a:b:c:d", "data:relative", "data:/", "/tmp:/x:bad", "/tmp:/x:ro,rw", "/tmp:/x:nocopy,nocopy", "a b:/x", "", ":/x"])
def test_refused_binds(opened: Store, spec: str) -> None:
    with pytest.raises(InvalidArgument):
        mountpoints.plan(opened, {}, {"Binds": [spec]})


def test_two_mounts_at_one_place(opened: Store) -> None:
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /x"):
        mountpoints.plan(opened, {}, {"Binds": ["one:/x", "two:/x/"]})
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /x"):
        mountpoints.plan(opened, {}, {"Binds": ["one:/x"], "Tmpfs": {"/x": ""}})


def test_registered_volumes_are_found_again(opened: Store) -> None:
    config: dict[str, Any] = {"Volumes": {"/anon": {}}}
    host: dict[str, Any] = {"Binds": ["data:/data:ro"], "Tmpfs": {"/t": ""}}
    points, _ = mountpoints.plan(opened, config, host)
    row = add_container(opened, 1, config=config, host=host)
    with transaction(opened.db):
        mountpoints.register(opened, row.id, points)
    anonymous = next(point for point in points if point.anonymous)
    found = {name: is_anonymous for name, _, is_anonymous in volumes.of_container(opened.db, row.id)}
    assert found == {"data": False, anonymous.name: True}
    assert all(os.path.isdir(f"{opened.paths.volumes}/{name}/_data") for name in found)
    again = mountpoints.of_container(opened, row.id, config, host)
    described = {point.destination: (point.kind, point.source, point.read_only) for point in points}
    assert {point.destination: (point.kind, point.source, point.read_only) for point in again} == described
    assert not any(point.new for point in again)


def test_a_volume_that_is_there_is_not_made_again(opened: Store) -> None:
    with transaction(opened.db):
        volumes.add(opened.db, volumes.Volume("data", "local", "{}", '{"a":"b"}', False, 5))
    points, _ = mountpoints.plan(opened, {}, {"Binds": ["data:/data"]})
    row = add_container(opened, 1)
    with transaction(opened.db):
        mountpoints.register(opened, row.id, points)
    kept = volumes.get(opened.db, "data")
    assert kept is not None
    assert (kept.labels, kept.created) == ('{"a":"b"}', 5)
