"""Documents and filters of containers that do not run; what runs is looked at in tests/runtime."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from boxship.engine import containerlist, containers
from boxship.engine.store import Store
from boxship.errors import InvalidArgument, NotFound
from boxship.runtime import active
from boxship.state import images
from boxship.state.db import transaction
from tests.tables import rows
from tests.unit.engine.conftest import IMAGE, SECOND, add_container, add_image


def names(store: Store, **more: Any) -> list[str]:
    more.setdefault("all", True)
    return [row["Names"][0][1:] for row in containerlist.list_containers(store, **more)]


def test_a_created_container(opened: Store) -> None:
    config = {"Entrypoint": ["sh", "-c"], "Cmd": ["echo a b", "c"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}}
    row = add_container(opened, 7, config=config)
    (found,) = containerlist.list_containers(opened, all=True)
    assert found["Id"] == row.id
    assert found["Names"] == ["/n7"]
    assert found["Image"] == "bb:1"
    assert found["ImageID"] == IMAGE
    assert found["Command"] == "sh -c 'echo a b' c"
    assert found["Created"] == 7
    assert found["Ports"] == []
    assert (found["State"], found["Status"]) == ("created", "Created")
    assert found["Labels"] == {"a": "b"}
    assert found["HostConfig"] == {"NetworkMode": "bridge"}
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""
    assert found["Mounts"] == []
    assert "SizeRw" not in found


def test_an_exited_container(opened: Store) -> None:
    now = time.time_ns()
    add_container(opened, 1, started=now - 100 * SECOND, finished=now - 90 * SECOND, code=3)
    (found,) = containerlist.list_containers(opened, all=True)
    assert (found["State"], found["Status"]) == ("exited", "Exited (3) About a minute ago")


def test_only_running_ones_without_all(opened: Store) -> None:
    add_container(opened, 1)
    assert containerlist.list_containers(opened) == []


def test_newest_first_and_limit(opened: Store) -> None:
    for number in (1, 3, 2):
        add_container(opened, number)
    assert names(opened) == ["n3", "n2", "n1"]
    assert names(opened, limit=2, all=False) == ["n3", "n2"]


def test_the_image_is_shown_by_id_when_its_name_has_moved(opened: Store) -> None:
    add_container(opened, 1)
    add_container(opened, 2, image_name="a" * 12)
    add_container(opened, 3, image_name=IMAGE)
    add_container(opened, 4, image_name="Not/A Name")
    other = "sha256:" + "b" * 64
    add_image(opened, other, "docker.io/library/bb:1")
    shown = {row["Names"][0]: row["Image"] for row in containerlist.list_containers(opened, all=True)}
    assert shown == {"/n1": IMAGE, "/n2": "a" * 12, "/n3": IMAGE, "/n4": IMAGE}


FILTERS: list[tuple[dict[str, list[str]], list[str]]] = [
    ({"name": ["n1"]}, ["n1"]),
    ({"name": ["/n1"]}, ["n1"]),
    ({"name": ["^n[12]$"]}, ["n2", "n1"]),
    ({"name": ["n(1"]}, []),
    ({"id": [f"{2:064x}"]}, ["n2"]),
    ({"id": ["1"]}, []),
    ({"label": ["tier"]}, ["n3", "n1"]),
    ({"label": ["tier=db"]}, ["n3"]),
    ({"label": ["tier=db", "other"]}, []),
    ({"status": ["exited"]}, ["n3", "n2"]),
    ({"status": ["created", "exited"]}, ["n3", "n2", "n1"]),
    ({"status": ["paused"]}, []),
    ({"exited": ["0"]}, ["n2"]),
    ({"exited": ["0", "5"]}, ["n3", "n2"]),
    ({"before": ["n3"]}, ["n2", "n1"]),
    ({"since": ["n1"]}, ["n3", "n2"]),
    ({"since": ["n1"], "before": ["n3"]}, ["n2"]),
    ({"network": ["none"]}, ["n3"]),
    ({"volume": ["data"]}, ["n2"]),
    ({"volume": ["/data"]}, ["n2"]),
    ({"volume": ["/host"]}, ["n2"]),
    ({"volume": ["nothing"]}, []),
    ({"ancestor": ["bb:1"]}, ["n3", "n2", "n1"]),
    ({"ancestor": ["no-such-image"]}, []),
    ({"health": ["none"]}, ["n3", "n2", "n1"]),
    ({"health": ["healthy"]}, []),
    ({"is-task": ["true"]}, []),
    ({"is-task": ["false"]}, ["n3", "n2", "n1"]),
    ({"isolation": ["process"]}, ["n3", "n2", "n1"]),
    ({"publish": ["80"]}, []),
    ({"expose": ["80-90/tcp"]}, []),
]


@pytest.fixture
def three(opened: Store) -> Store:
    """n1 was never started, n2 ended well and has mounts, n3 ended with 5 and has no network."""
    add_container(opened, 1, config={"Labels": {"tier": "web"}})
    add_container(opened, 2, started=SECOND, finished=SECOND, host={"Binds": ["data:/data", "/tmp:/host:ro"]})
    add_container(opened, 3, started=SECOND, finished=SECOND, code=5, config={"Labels": {"tier": "db"}}, host={"NetworkMode": "none"})
    return opened


@pytest.mark.parametrize(("filters", "want"), FILTERS, ids=str)
def test_filters(three: Store, filters: dict[str, list[str]], want: list[str]) -> None:
    assert names(three, filters=filters) == want


def test_a_status_implies_all(three: Store) -> None:
    assert names(three, filters={"status": ["exited"]}, all=False) == ["n3", "n2"]


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"bad": ["1"]}, "invalid filter 'bad'"),
        ({"status": ["bad"]}, "invalid filter 'status=bad'"),
        ({"exited": ["x"]}, "invalid filter 'exited=x'"),
        ({"publish": ["a:b"]}, "filter for 'publish' should not contain ':': a:b"),
        ({"publish": ["99999"]}, "error while looking up for publish 99999: invalid port"),
        ({"expose": ["9-1"]}, "error while looking up for expose 9-1: invalid port"),
        ({"is-task": ["maybe"]}, "invalid filter 'is-task=[maybe]'"),
    ],
    ids=str,
)
def test_refused_filters(opened: Store, filters: dict[str, list[str]], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        containerlist.list_containers(opened, filters=filters)
    assert str(caught.value) == words


def test_before_and_since_need_a_container(opened: Store) -> None:
    with pytest.raises(NotFound, match="No such container: x"):
        containerlist.list_containers(opened, filters={"since": ["x"]})


@pytest.mark.parametrize("case", rows("engine/status_values"))
def test_status_and_health_values(opened: Store, case: dict[str, Any]) -> None:
    filters = {case["kind"]: [case["value"]]}
    if "error" in case["expect"]:
        with pytest.raises(InvalidArgument) as caught:
            containerlist.list_containers(opened, filters=filters)
        assert str(caught.value) == case["expect"]["error"]
    else:
        assert containerlist.list_containers(opened, filters=filters) == []


def test_ancestor_knows_what_was_built_from_an_image(opened: Store) -> None:
    child, stranger = "sha256:" + "c" * 64, "sha256:" + "d" * 64
    add_image(opened, child, "docker.io/library/child:latest", [{"created_by": "ENV a=b"}])
    add_image(opened, stranger, "docker.io/library/stranger:latest")
    add_container(opened, 1, image=child, image_name="child")
    add_container(opened, 2)
    add_container(opened, 3, image=stranger, image_name="stranger")
    assert names(opened, filters={"ancestor": ["bb:1"]}) == ["n2", "n1"]
    assert names(opened, filters={"ancestor": ["child"]}) == ["n1"]


def _pretend_running(store: Store, number: int, state: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """active/ID with a state, its lock held by another process."""
    ident = f"{number:064x}"
    active.make_run_directory(store.paths)
    lock = active.begin(store.paths, ident)
    active.write_state(lock.directory, state)
    program = (
        "import fcntl, struct, sys, time; fd = open(sys.argv[1], 'r+');"
        "fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack('hhxxxxqqixxxx', fcntl.F_WRLCK, 0, 0, 1, 0)); print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, f"{lock.directory}/lock"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    lock.close()
    return holder


@pytest.fixture
def pretend(opened: Store) -> Any:
    holders = []

    def start(number: int, **state: Any) -> None:
        holders.append(_pretend_running(opened, number, state))

    yield start
    for holder in holders:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_running_restarting_and_ending(opened: Store, pretend: Any) -> None:
    now = time.time_ns()
    for number in (1, 2, 3, 4):
        row = add_container(opened, number)
        os.mkdir(f"{opened.paths.containers}/{row.id}")
    ended = {"started": 5, "finished": now - 5 * SECOND, "code": 1, "oom": False, "restarts": 2, "error": "", "remove": False}
    pretend(1, pid=4242, started=now - 61 * SECOND, restarts=1)
    pretend(2, pid=0, started=5, restarting=True)
    active.write_document(f"{opened.paths.containers}/{2:064x}/exit.json", {**ended, "again": True})
    pretend(3, pid=4343, started=5)
    active.write_document(f"{opened.paths.containers}/{3:064x}/exit.json", {**ended, "again": False})
    pretend(4)
    shown = {row["Names"][0]: (row["State"], row["Status"]) for row in containerlist.list_containers(opened, all=True)}
    assert shown == {
        "/n1": ("running", "Up About a minute"),
        "/n2": ("restarting", "Restarting (1) 5 seconds ago"),
        "/n3": ("exited", "Exited (1) 5 seconds ago"),
        "/n4": ("created", "Created"),
    }
    assert names(opened, all=False) == ["n2", "n1"]
    state = containers.inspect(opened, "n2")["State"]
    assert (state["Running"], state["Restarting"], state["Pid"], state["ExitCode"]) == (True, True, 0, 1)
    document = containers.inspect(opened, "n1")
    assert (document["State"]["Pid"], document["RestartCount"]) == (4242, 1)


def test_two_hundred_stopped_containers_are_not_looked_into(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        add_container(opened, number + 1)
    opens: list[str] = []
    real = os.open

    def counted(path: Any, *rest: Any, **more: Any) -> int:
        opens.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", counted)
    statements: list[str] = []
    opened.db.set_trace_callback(statements.append)
    assert len(containerlist.list_containers(opened, all=True)) == 200
    assert opens == []
    assert len(statements) <= 3


def test_sizes(opened: Store) -> None:
    row = add_container(opened, 1)
    upper = f"{opened.paths.containers}/{row.id}/upper"
    os.makedirs(f"{upper}/etc")
    with open(f"{upper}/etc/file", "wb") as file:
        file.write(b"x" * 500)
    os.link(f"{upper}/etc/file", f"{upper}/link")
    (found,) = containerlist.list_containers(opened, all=True, size=True)
    assert (found["SizeRw"], found["SizeRootFs"]) == (500, 1500)


# -- inspect -------------------------------------------------------------------------------------------------------------------
def test_document_has_dockers_fields_in_order(opened: Store) -> None:
    add_container(opened, 1, config={"Healthcheck": None, "StopSignal": None}, host={"Memory": 1 << 26, "MemorySwappiness": -1, "PidsLimit": 0})
    found = containers.inspect(opened, "n1")
    assert list(found) == [
        "Id", "Created", "Path", "Args", "State", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "Name",
        "RestartCount", "Driver", "Platform", "MountLabel", "ProcessLabel", "AppArmorProfile", "ExecIDs", "HostConfig", "GraphDriver",
        "Mounts", "Config", "NetworkSettings",
    ]  # fmt: skip
    assert found["Created"] == "1970-01-01T00:00:01Z"
    assert found["State"]["StartedAt"] == found["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert (found["Path"], found["Args"]) == ("true", [])
    assert found["LogPath"] == ""
    host = found["HostConfig"]
    assert host["MemorySwap"] == 1 << 27
    assert (host["MemorySwappiness"], host["PidsLimit"]) == (None, None)
    assert host["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert host["ShmSize"] == 64 << 20
    assert "/proc/kcore" in host["MaskedPaths"]
    assert "Healthcheck" not in found["Config"]
    assert "StopSignal" not in found["Config"]
    assert found["Config"]["Hostname"] == f"{1:064x}"[:12]
    assert found["Config"]["Image"] == "bb:1"
    assert found["NetworkSettings"]["Ports"] == {}
    assert list(found["NetworkSettings"]["Networks"]) == ["bridge"]


def test_privileged_and_host_network(opened: Store) -> None:
    add_container(opened, 1, host={"Privileged": True, "NetworkMode": "host"})
    found = containers.inspect(opened, "n1", size=True)
    assert found["HostConfig"]["MaskedPaths"] is None
    assert found["HostConfig"]["SecurityOpt"] == ["label=disable"]
    assert found["Config"]["Hostname"] == os.uname().nodename
    assert (found["SizeRw"], found["SizeRootFs"]) == (0, 1000)


def test_inspect_knows_the_definitions_of_the_api(opened: Store) -> None:
    """Every field of Docker's HostConfig and Config is there, but for those that are left out when empty."""
    add_container(opened, 1)
    host = containers.inspect(opened, "n1")["HostConfig"]
    optional = {"Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs", "KernelMemoryTCP"}
    missing = _properties("Resources") | _properties("HostConfig")
    assert missing - set(host) <= optional


def _properties(name: str) -> set[str]:
    from tests.tables import DATA

    path = DATA / "files" / "moby-api" / "v1.50.yaml"
    if not path.exists():
        pytest.skip("the conformance tables are absent: files/moby-api")
    yaml = pytest.importorskip("yaml")
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))["definitions"][name]
    parts = definition.get("allOf") or [definition]
    return {field for part in parts for field in part.get("properties") or {}}


def test_images_in_use_are_still_named_after_untag(opened: Store) -> None:
    add_container(opened, 1)
    with transaction(opened.db):
        images.untag(opened.db, "docker.io/library/bb:1")
    (found,) = containerlist.list_containers(opened, all=True)
    assert found["Image"] == IMAGE
