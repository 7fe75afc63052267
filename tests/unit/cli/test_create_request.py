"""What run and create make of a command line, against what Docker's client 28.2.2 sent."""

import copy

import pytest

from boxship.cli import containerflags, failure
from boxship.cli.flags import LATER, Command, UsageError, check_count
from boxship.errors import InvalidArgument, Unsupported
from tests.tables import rows, table
from tests.unit.cli.calls import call_of

CREATE = Command("[OPTIONS] IMAGE [COMMAND] [ARG...]", containerflags.CREATE_FLAGS, least=1, interspersed=False, framed=True)
LATER_FLAGS = {f"--{row[0]}" for row in CREATE.flags if len(row) > 5 and row[5] == LATER}
LATER_SHORT = {f"-{row[1]}" for row in CREATE.flags if row[1] and len(row) > 5 and row[5] == LATER}
OPTIONS_LATER = ("label=user", "systempaths=", "foo=bar")
# Docker's client takes a single letter before :/ for a Windows drive, and asks for a volume at "v:/x"
DRIVES = {"n:/c", "v:/d", "v:/x"}
# refused by the engine, or passed in its newer form
ELSEWHERE = {
    ":x": "the image's name is judged by the engine",
    "--security-opt seccomp:unconfined busybox": "the old separator is passed on as =",
}


def refused(argv):
    """Why a command line of the table is refused here by name; None when it is supported."""
    for position, word in enumerate(argv):
        flag, _, value = word.partition("=")
        following = argv[position + 1] if position + 1 < len(argv) else ""
        if flag in LATER_FLAGS or word[:2] in LATER_SHORT:
            return f"{flag} comes later"
        if flag in ("--network", "--net") and (value or following).removeprefix("name=") not in (
            "bridge",
            "none",
            "host",
            "default",
        ):
            return "networks of one's own come later"
        if flag == "--device" and "=" in (value or following) and (value or following)[0] != "/":
            return "CDI devices come later"
        if flag == "--security-opt" and (value or following).startswith(OPTIONS_LATER):
            return f"{value or following} comes later"
    return None


def body(argv):
    call = call_of(CREATE, argv)
    check_count(CREATE, "docker create", len(call.args))
    request = containerflags.create_request(call)
    return {**request.config, "HostConfig": request.host_config}, request


def lookup(document, path):
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    return document


def store(document, path, value):
    *parents, last = path.split(".")
    for name in parents:
        document = document.setdefault(name, {})
    document[last] = value


@pytest.mark.parametrize("case", rows("cli_run/create_request", **ELSEWHERE))
def test_recorded(case, tmp_path, monkeypatch):
    data = table("cli_run/create_request")
    monkeypatch.chdir(tmp_path)
    for name, text in data["files"].items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SETVAR", "set value")
    monkeypatch.delenv("UNSETVAR", raising=False)
    argv, want = case["argv"][1:], case["expect"]
    if DRIVES & set(argv):
        assert set(body([word for word in argv if word not in ("--volume-driver", "d1")])[1].host_config["Binds"]) & DRIVES
        return
    if refused(argv):
        with pytest.raises((UsageError, Unsupported), match="is not supported yet"):
            body(argv)
        return
    if want["exit"]:
        with pytest.raises(InvalidArgument) as caught:
            body(argv)
        text, code = failure.describe(caught.value, "docker", "create", CREATE, False)
        assert (text, code) == (want["stderr"], want["exit"])
        return
    expected = copy.deepcopy(data["base_body"])
    expected.pop("NetworkingConfig")
    expected["Image"] = next(word for word in argv if word.startswith("busybox"))
    for path, value in want["body_changes"].items():
        if not path.startswith("NetworkingConfig."):
            store(expected, path, value)
    got, request = body(argv)
    assert got == expected
    assert request.networking == {"EndpointsConfig": {}}
    query = dict(pair.split("=") for pair in want.get("query", "").split("&") if pair)
    assert request.name == query.get("name", "").replace("%2F", "/")
    assert request.platform == query.get("platform", "").replace("%2F", "/")


@pytest.mark.parametrize("case", rows("cli_run/argv_to_config"))
def test_argv_to_config(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in case.get("files", {}).items():
        (tmp_path / name).write_bytes(bytes.fromhex(content["hex"]))
    if refused(case["argv"]):
        with pytest.raises((UsageError, Unsupported), match="is not supported yet"):
            body(case["argv"])
        return
    want = case["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            body(case["argv"])
        # 28.2.2 says it without the flag's name
        assert want["error"].removeprefix("--env-file: ") in str(caught.value)
        return
    got, request = body(case["argv"])
    got["Config"] = {name: value for name, value in got.items() if name != "HostConfig"}
    for path, value in want.items():
        if path.startswith("NetworkingConfig"):
            continue
        found = lookup(got, path)
        if path in ("Config.Volumes", "Config.ExposedPorts"):
            assert set(found) == set(value), path
        else:
            assert found == value, path


@pytest.mark.parametrize("case", rows("cli_run/systempaths"))
def test_security_options(case):
    argv = [word for text in case["security_opt"] for word in ("--security-opt", text)] + ["img"]
    if refused(argv):
        with pytest.raises(Unsupported, match="is not supported yet"):
            body(argv)
    else:
        assert body(argv)[0]["HostConfig"]["SecurityOpt"] in (case["expect"]["security_opt"], None)


def test_every_flag_of_docker_is_there():
    names = {row[0] for row in containerflags.RUN_FLAGS}
    # --help is everywhere; three are hidden spellings of others
    assert len(names - {"net", "net-alias", "dns-opt"}) == 103
    assert len(names) == len(containerflags.RUN_FLAGS)


def test_detached_containers_are_not_attached():
    run = Command("", containerflags.RUN_FLAGS, least=1, interspersed=False)
    request = containerflags.create_request(call_of(run, ["-dit", "img"]))
    assert request.detach
    config = request.config
    assert [config[name] for name in ("AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "OpenStdin")] == [
        False, False, False, False, True,
    ]  # fmt: skip


def test_relative_volume_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert body(["-v", "./x:/y:ro", "img"])[0]["HostConfig"]["Binds"] == [f"{tmp_path}/x:/y:ro"]
    assert body(["-v", ".:/y", "img"])[0]["HostConfig"]["Binds"] == [f"{tmp_path}:/y"]


def test_seccomp_profile_is_sent_whole(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{ "defaultAction":\n "SCMP_ACT_ALLOW" }')
    assert body(["--security-opt", f"seccomp={path}", "img"])[0]["HostConfig"]["SecurityOpt"] == [
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'
    ]
    path.write_text("{")
    with pytest.raises(InvalidArgument, match="compacting json for seccomp profile"):
        body(["--security-opt", f"seccomp={path}", "img"])


@pytest.mark.parametrize("text", ["a:b:c:d", "/a::ro", "::"])
def test_bad_volume(text):
    with pytest.raises(InvalidArgument, match="invalid spec"):
        body(["-v", text, "img"])


def test_env_file_that_is_no_file(tmp_path):
    with pytest.raises(InvalidArgument, match="is a directory"):
        body(["--env-file", str(tmp_path), "img"])
    (tmp_path / "e").write_bytes(b"A=\xff\n")
    with pytest.raises(InvalidArgument, match="not valid UTF-8"):
        body(["--env-file", str(tmp_path / "e"), "img"])
