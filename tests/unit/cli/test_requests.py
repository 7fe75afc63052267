"""What commands ask the engine for, against the requests that Docker's client 28.2.2 sent for the same words."""

import io
import sys
import urllib.parse

import pytest

from boxship.dockerapi.filters import encode
from boxship.oci import reference
from tests.tables import rows
from tests.unit.cli.calls import answer_with, cli

OURS = {"ps", "rm", "stop", "kill", "wait", "images", "rmi", "tag", "history", "logs", "pull", "push", "save", "load", "import"}
OURS_IN = {"volume": {"ls", "create", "inspect", "rm", "prune"}, "container": {"prune"}, "image": {"prune"}}
LATER = {"--platform", "--filter", "--details", "-a busybox", "-l x", "--since", "--until"}


def is_ours(argv):
    return argv[0] in OURS or (argv[0] in OURS_IN and argv[1] in OURS_IN[argv[0]])


CASES = [row for row in rows("cli_run/api_requests") if not row.values[0] or is_ours(row.values[0]["argv"])]


def query(**values):
    return urllib.parse.urlencode(sorted((name, str(value)) for name, value in values.items() if value not in (None, "", False)))


def flag(value):
    return "1" if value else None


class Asked:
    """The engine, as the requests it would have been."""

    def __init__(self):
        self.requests = []

    def note(self, method, path, text="", body=None):
        self.requests.append((method, path, text, body))
        return {"Name": "v", "SizeRw": 0}

    def modules(self):
        note = self.note
        return {
            "containers": {
                "list_containers": self.containers,
                "stop": lambda store, name, timeout, signal: note(
                    "POST", f"/containers/{name}/stop", query(t=None if timeout is None else str(timeout), signal=signal)
                ),
                "kill": lambda store, name, signal: note("POST", f"/containers/{name}/kill", query(signal=signal)),
                "remove": lambda store, name, force, volumes: note(
                    "DELETE", f"/containers/{name}", query(force=flag(force), v=flag(volumes))
                ),
                "wait": lambda store, name: note("POST", f"/containers/{name}/wait", query(condition="")) and 0,
                "prune": lambda store: note("POST", "/containers/prune"),
            },
            "images": {
                "list_images": lambda store, all, filters: (
                    note("GET", "/images/json", query(all=flag(all), filters=encode(filters or {}))) and []
                ),
                "remove": lambda store, name, force, prune: (
                    note("DELETE", f"/images/{name}", query(force=flag(force), noprune=flag(not prune))) and []
                ),
                "tag": self.tag,
                "history": lambda store, name: note("GET", f"/images/{name}/history") and [],
                "pull": self.pull,
                "push": self.push,
                "import_image": lambda store, source, name, message, changes: (
                    note("POST", "/images/create", query(fromSrc="-", repo=name, message=message, changes="".join(changes)))
                    and "id"
                ),
                "load": lambda store, source, progress: note("POST", "/images/load", query(quiet=flag(progress is None))) and [],
                "prune": lambda store, all: note(
                    "POST", "/images/prune", query(filters=encode({"dangling": ["false" if all else "true"]}))
                ),
            },
            "volumes": {
                "list_volumes": lambda store, filters: note("GET", "/volumes", query(filters=encode(filters or {}))) and [],
                "inspect": lambda store, name: note("GET", f"/volumes/{name}"),
                "create": self.volume,
                "remove": lambda store, name, force: note("DELETE", f"/volumes/{name}", query(force=flag(force))),
                "prune": lambda store, all: note("POST", "/volumes/prune", query(filters=encode({"all": ["true"]} if all else {}))),
            },
            "logs": {"read": self.logs},
        }

    def containers(self, store, all, filters, limit, latest):
        # that a number of the last ones is one of all is said by the client here, and by the daemon there
        all = all and not limit and not latest
        self.note(
            "GET", "/containers/json", query(all=flag(all), limit=1 if latest else limit or None, filters=encode(filters or {}))
        )
        return []

    def tag(self, store, source, target):
        name = reference.parse(target).with_default_tag()
        self.note("POST", f"/images/{source}/tag", query(repo=name.name, tag=name.tag))

    def pull(self, store, name, platform, progress):
        wanted = reference.parse(name).with_default_tag()
        self.note("POST", "/images/create", query(fromImage=wanted.name, tag=wanted.digest or wanted.tag, platform=platform))
        return {}

    def push(self, store, name, progress):
        wanted = reference.parse(name).with_default_tag()
        self.note("POST", f"/images/{wanted.name}/push", query(tag=wanted.tag))
        return {}

    def volume(self, store, name, driver, opts, labels):
        body = {"Name": name, "Driver": driver, "DriverOpts": opts, "Labels": labels}
        return self.note("POST", "/volumes/create", "", {key: value for key, value in body.items() if value})

    def logs(self, store, ident, follow, tail, since, until, timestamps):
        text = query(
            follow=flag(follow), stderr=1, stdout=1, tail="all" if tail is None else str(tail), timestamps=flag(timestamps)
        )
        self.note("GET", "/containers/" + "1" * 64 + "/logs", text)
        return iter(())


@pytest.mark.parametrize("case", CASES)
def test_requests(case, tmp_path, monkeypatch):
    argv = case["argv"]
    if argv[0] == "ps" and "-s" in argv:
        pytest.skip("sizes are asked for one by one")
    platform_of_pull = argv[0] == "pull" and "--platform" in argv
    if not platform_of_pull and (LATER & set(argv) or " ".join(argv[1:]) in LATER):
        if argv[0] == "logs" and "--details" not in argv:
            pytest.skip("moments have a table of their own")
        code, _, err = cli(argv)
        assert code == 125 and "is not supported yet" in err
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "in.tar").write_bytes(b"")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    asked = Asked()
    answer_with(monkeypatch, **asked.modules())
    code, _, err = cli(argv)
    want = case["expect"]
    assert (code, err) == (want["exit"], want.get("stderr", ""))
    requests = [
        (item["method"], item["path"], item.get("query", ""), item.get("json"))
        for item in want["requests"]
        if item["path"] != "/containers/x/json"
    ]
    assert sorted(asked.requests, key=str) == sorted(requests, key=str)
