"""What commands print, against what Docker's client 28.2.2 printed for the same answers of the engine."""

import copy
import datetime
import json
import re
import time
from typing import Any

import pytest

from boxship.errors import Conflict, NotFound
from tests.tables import rows, table
from tests.unit.cli.calls import answer_with, cli

OURS = ("ps", "images", "history", "inspect", "info", "kill", "rm", "rmi", "stop", "tag", "version", "wait", "bogus")
OURS_IN = {
    "container": ("ls", "inspect", "prune", "rm"),
    "image": ("ls", "inspect", "prune", "rm"),
    "volume": ("ls", "create", "inspect", "rm", "prune"),
}


def is_ours(case: dict[str, Any]) -> bool:
    argv = case["argv"]
    return argv[0] in OURS or (argv[0] in OURS_IN and argv[1] in OURS_IN[argv[0]])


CASES = [row for row in rows("cli_output/rendered") if not row.values[0] or is_ours(row.values[0])]


class Engine:
    """The engine's functions, answering from a case's `responses`."""

    def __init__(self, case: dict[str, Any], now: int) -> None:
        self.case = case
        self.now = now
        self.asked = 0

    def ask(self, method: str, path: str) -> Any:
        value = self.case["responses"].get(f"{method} {path}", [404, {"message": f"no such thing: {path}"}])
        if isinstance(value, str):
            value = table("cli_output/rendered")["data"][value]
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], int):
            status, value = value
            if status >= 400:
                raise (Conflict if status == 409 else NotFound)(value["message"])
        return self.aged(copy.deepcopy(value))

    def aged(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.now - value["$ago"] if "$ago" in value else {name: self.aged(item) for name, item in value.items()}
        return [self.aged(item) for item in value] if isinstance(value, list) else value

    def inspect(self, store: Any, name: str, size: bool = False) -> Any:
        if self.case["argv"][0] != "ps":
            return self.ask("GET", f"/containers/{name}/json")
        # sizes come with the list in Docker's API, and by inspect in ours; the rows of this table share one Id
        assert size
        self.asked += 1
        return self.ask("GET", "/containers/json")[self.asked - 1]

    def modules(self) -> dict[str, dict[str, Any]]:
        ask = self.ask
        return {
            "containers": {
                "list_containers": lambda store, **_: ask("GET", "/containers/json"),
                "inspect": self.inspect,
                "stop": lambda store, name, **_: ask("POST", f"/containers/{name}/stop"),
                "kill": lambda store, name, signal: ask("POST", f"/containers/{name}/kill"),
                "remove": lambda store, name, **_: ask("DELETE", f"/containers/{name}"),
                "wait": lambda store, name: ask("POST", f"/containers/{name}/wait")["StatusCode"],
            },
            "images": {
                "list_images": lambda store, **_: ask("GET", "/images/json"),
                "inspect": lambda store, name: ask("GET", f"/images/{name}/json"),
                "history": lambda store, name: ask("GET", f"/images/{name}/history"),
                "tag": lambda store, source, target: ask("POST", f"/images/{source}/tag"),
                "remove": lambda store, name, **_: ask("DELETE", f"/images/{name}"),
                "prune": lambda store, **_: ask("POST", "/images/prune"),
            },
            "volumes": {
                "list_volumes": lambda store, **_: ask("GET", "/volumes")["Volumes"] or [],
                "inspect": lambda store, name: ask("GET", f"/volumes/{name}"),
                "create": lambda store, *_: ask("POST", "/volumes/create"),
                "remove": lambda store, name, force: ask("DELETE", f"/volumes/{name}"),
            },
            "system": {"info": lambda store: ask("GET", "/info"), "version": lambda: ask("GET", "/version")},
        }


def filled(text: str, now: int) -> str:
    def moment(match: "re.Match[str]") -> str:
        when = datetime.datetime.fromtimestamp(now + int(match[2]), datetime.UTC)
        return when.strftime("%Y-%m-%d %H:%M:%S +0000 UTC" if match[1] == "created_at" else "%Y-%m-%dT%H:%M:%SZ")

    return re.sub(r"\{(created_at|rfc3339):(-\d+)\}", moment, text)


def labels_in_order(text: str) -> str:
    # a map's order in Go is no order; ours is that of the names
    return text.replace("foo=bar,a=b", "a=b,foo=bar")


@pytest.mark.parametrize("case", CASES)
def test_rendered(case, tmp_path, monkeypatch):
    if not case:
        return
    want = case["expect"]
    if case["argv"][:1] == ["version"] and ".Client" in case["argv"][-1]:
        pytest.skip("prints the API version of Docker's client")
    if case["argv"] == ["inspect", "-f", "{{json .}}", "web"]:
        pytest.skip("Docker's client adds fields that the engine left out; our engine leaves none out")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if case.get("client_config"):
        (tmp_path / "config.json").write_text(json.dumps(case["client_config"]))
    now = int(time.time())
    # half a second on, so that no age is on an edge
    monkeypatch.setattr(time, "time", lambda: now + 0.5)
    answer_with(monkeypatch, **Engine(case, now).modules())
    code, out, err = cli(case["argv"])
    wanted = labels_in_order(filled(want["stdout"], now))
    if case["argv"] in (["info"], ["version"]):
        # above stands the client, with its own version
        out, wanted = out.partition("\nServer:")[2], wanted.partition("\nServer:")[2]
        assert wanted
    assert (code, out, err) == (want["exit"], wanted, want["stderr"])
