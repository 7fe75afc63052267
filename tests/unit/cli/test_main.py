"""Reading command lines, choosing commands, and what is said when that fails."""

import pytest

from boxship import errors
from boxship.cli import catalog, failure, flags
from boxship.cli.flags import BOOL, BYTES, INT, KEYS, LATER, LIST, STRING, Command, HelpWanted, UsageError, read
from boxship.cli.help import edit_distance, nearest
from tests.unit.cli.calls import answer_with, cli

COMMAND = Command(
    "[OPTIONS] THING",
    (
        ("all", "a", BOOL, False, "All"),
        ("env", "e", LIST, (), "Env"),
        ("gone", "g", STRING, "", "Gone", LATER),
        ("memory", "m", BYTES, 0, "Memory"),
        ("name", "", STRING, "x", "Name"),
        ("number", "n", INT, -1, "Number"),
        ("old", "", STRING, "", "", "name"),
        ("opt", "o", KEYS, (), "Options"),
        ("publish", "p", LIST, (), "Ports"),
        ("tty", "t", BOOL, False, "Terminal"),
    ),
)


@pytest.mark.parametrize(
    ("argv", "values", "args"),
    [
        ([], {"all": False, "env": [], "name": "x", "number": -1, "opt": {}}, []),
        (["-at"], {"all": True, "tty": True}, []),
        (["-at=false"], {"all": True, "tty": False}, []),
        (["-p80:80"], {"publish": ["80:80"]}, []),
        (["-tp80:80", "-p", "81"], {"tty": True, "publish": ["80:80", "81"]}, []),
        (["-e=A=b"], {"env": ["A=b"]}, []),
        (["-eA=b", "--env", "C", "--env=D=e=f"], {"env": ["A=b", "C", "D=e=f"]}, []),
        (["--all=false", "y"], {"all": False}, ["y"]),
        (["--all", "false"], {"all": True}, ["false"]),
        (["--name", "-x", "-n", "-5"], {"name": "-x", "number": -5}, []),
        (["--name="], {"name": ""}, []),
        (["--old", "z"], {"name": "z"}, []),
        (["-o", "a=b=c", "-o", "d"], {"opt": {"a": "b=c", "d": ""}}, []),
        (["-m", "512m"], {"memory": 512 << 20}, []),
        (["x", "-a", "y", "-"], {"all": True}, ["x", "y", "-"]),
        (["x", "--", "-a"], {"all": False}, ["x", "-a"]),
    ],
)
def test_flags(argv, values, args):
    found, given, rest = read(COMMAND, argv)
    assert {name: found[name] for name in values} == values
    assert rest == args
    assert {name for name in values if found[name] != read(COMMAND, [])[0][name]} <= given


def test_flags_end_at_the_first_argument():
    command = Command("", COMMAND.flags, interspersed=False)
    assert read(command, ["-a", "img", "-t", "--bogus"])[2] == ["img", "-t", "--bogus"]
    assert read(command, ["-a", "--", "-t"])[2] == ["-t"]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["-az"], "unknown shorthand flag: 'z' in -z"),
        (["-zt"], "unknown shorthand flag: 'z' in -zt"),
        (["--name"], "flag needs an argument: --name"),
        (["-ap"], "flag needs an argument: 'p' in -p"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--all=x"], 'invalid argument "x" for "-a, --all" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["-n", "x"], 'invalid argument "x" for "-n, --number" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-m", 'a"b'], 'invalid argument "a\\"b" for "-m, --memory" flag: invalid size: \'a"b\''),
        (["--gone", "x"], "--gone is not supported yet"),
        (["-gx"], "--gone is not supported yet"),
    ],
)
def test_bad_flags(argv, error):
    with pytest.raises(UsageError) as caught:
        read(COMMAND, argv)
    assert str(caught.value) == error


def test_help_waits_for_the_rest():
    with pytest.raises(HelpWanted):
        read(COMMAND, ["--help", "-a", "x"])
    with pytest.raises(UsageError):
        read(COMMAND, ["--help", "--bogus"])
    with pytest.raises(HelpWanted):
        read(COMMAND, ["-h"])
    assert read(COMMAND, ["--help=false", "x"])[2] == ["x"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["foo"], 1, "docker: unknown command: docker foo\n\nRun 'docker --help' for more information\n"),
        (
            ["imags"],
            1,
            "docker: unknown command: docker imags\nhint: did you mean 'docker images'?\n\nRun 'docker --help' for more information\n",
        ),
        (
            ["container", "foo"],
            1,
            "docker: unknown command: docker container foo\n\nUsage:  docker container COMMAND\n\nRun 'docker container --help' for more information\n",
        ),
        (["cp", "a", "b"], 1, "docker: 'docker cp' is not supported yet\n\nRun 'docker --help' for more information\n"),
        (
            ["rm"],
            1,
            "docker: 'docker rm' requires at least 1 argument\n\nUsage:  docker rm [OPTIONS] CONTAINER [CONTAINER...]\n\nSee 'docker rm --help' for more information\n",
        ),
        (
            ["ps", "x"],
            1,
            "docker: 'docker ps' accepts no arguments\n\nUsage:  docker ps [OPTIONS]\n\nRun 'docker ps --help' for more information\n",
        ),
        (
            ["tag", "a"],
            1,
            "docker: 'docker tag' requires 2 arguments\n\nUsage:  docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\nRun 'docker tag --help' for more information\n",
        ),
        (
            ["images", "a", "b"],
            1,
            "docker: 'docker images' requires at most 1 argument\n\nUsage:  docker images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'docker images --help' for more information\n",
        ),
        (
            ["container", "rm"],
            1,
            "docker: 'docker container rm' requires at least 1 argument\n\nUsage:  docker container rm [OPTIONS] CONTAINER [CONTAINER...]\n\nSee 'docker container rm --help' for more information\n",
        ),
        (
            ["ps", "--foo"],
            125,
            "unknown flag: --foo\n\nUsage:  docker ps [OPTIONS]\n\nRun 'docker ps --help' for more information\n",
        ),
        (
            ["-Z"],
            125,
            "unknown shorthand flag: 'Z' in -Z\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]\n\nRun 'docker --help' for more information\n",
        ),
        (
            ["-H", "tcp://x", "ps"],
            125,
            "--host is not supported yet\nhint: leave it out\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]\n\nRun 'docker --help' for more information\n",
        ),
        (
            ["ps", "-f", "x"],
            125,
            'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)\n\nUsage:  docker ps [OPTIONS]\n\nRun \'docker ps --help\' for more information\n',
        ),
    ],
)
def test_refusals(argv, code, said):
    assert cli(argv) == (code, "", said)


def test_the_name_it_was_called_by():
    assert cli(["rm"], "boxship")[2].startswith("boxship: 'boxship rm' requires")
    assert cli(["-v"], "docker")[1].startswith("Docker version ")
    assert cli(["--version"], "boxship")[1].startswith("Boxship version ")


def test_listings():
    assert cli([])[0] == 0 and "Common Commands:" in cli([])[2]
    assert "Common Commands:" in cli(["--help"])[1] and "Common Commands:" in cli(["help"])[1]
    code, out, err = cli(["container"])
    assert (code, out) == (0, "") and err.startswith("Usage:  docker container COMMAND\n")
    assert cli(["container", "--help"])[1] == err
    assert cli(["help", "rm"])[1] == cli(["rm", "--help"])[1] != ""
    assert cli(["help", "foo"])[0] == 1


def test_every_command_has_a_module_and_a_summary():
    modules = set(catalog.COMMANDS.values())
    for _, commands, aliases in catalog.GROUPS.values():
        modules |= set(commands.values())
        assert set(aliases.values()) <= set(commands)
    assert modules == set(catalog.SUMMARIES)
    assert not catalog.NOT_YET & set(catalog.COMMANDS)


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (errors.NotFound("No such container: x"), "Error response from daemon: No such container: x\n", 1),
        (errors.Conflict("in use", hint="use -f"), "Error response from daemon: in use\nhint: use -f\n", 1),
        (errors.Unsupported("x is not supported yet"), "x is not supported yet\n", 1),
        (flags.ClientError("no"), "no\n", 1),
        (errors.DockerfileError("bad", line=3), "ERROR: bad\n", 1),
        (errors.ExecFailed("exec: no such file", exit_code=127), "Error response from daemon: exec: no such file\n", 127),
        (FileNotFoundError(2, "No such file or directory", "x"), "docker: no such file or directory: x\n", 1),
        (KeyboardInterrupt(), "", 130),
        (BrokenPipeError(), "", 141),
        (MemoryError(), "docker: out of memory\n", 1),
    ],
)
def test_words_and_exit_codes(error, text, code):
    assert failure.describe(error, "docker", "rm", Command("X"), False) == (text, code)


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (errors.Conflict("taken"), "docker: Error response from daemon: taken", 125),
        (errors.Unsupported("x", hint="y"), "docker: x\nhint: y", 125),
        (errors.ExecFailed("no", exit_code=126), "docker: Error response from daemon: no", 126),
    ],
)
def test_run_says_it_in_a_frame(error, text, code):
    run = Command("X", failure=125, framed=True)
    more = "\n\nRun 'docker run --help' for more information\n"
    assert failure.describe(error, "docker", "run", run, False) == (text + more, code)


def test_create_says_what_the_engine_says_without_a_frame():
    create = Command("X", failure=1, framed=True)
    assert failure.describe(errors.Conflict("taken"), "docker", "create", create, False) == (
        "Error response from daemon: taken\n",
        1,
    )
    assert failure.describe(flags.ClientError("bad"), "docker", "create", create, False)[1] == 125


def test_internal_errors_are_a_line_and_with_debug_a_traceback(monkeypatch):
    def broken(store, **_):
        raise ZeroDivisionError("division by zero")

    answer_with(monkeypatch, containers={"list_containers": broken})
    code, out, err = cli(["ps"])
    assert (code, out) == (1, "")
    assert err == "docker: internal error: ZeroDivisionError: division by zero\nhint: docker -D shows where\n"
    assert "Traceback" in cli(["-D", "ps"])[2]


def test_root_is_handed_on(monkeypatch):
    import sys

    seen = []
    answer_with(monkeypatch, containers={"list_containers": lambda store, **_: []})
    monkeypatch.setattr(sys.modules["boxship.engine.store"], "open_store", seen.append)
    cli(["--root", "/x", "ps", "-q"])
    cli(["ps", "-q"])
    assert seen == ["/x", None]


def test_nearest():
    assert nearest("imags", catalog.COMMANDS) == "images"
    assert nearest("inspct", catalog.COMMANDS) == "inspect"
    assert nearest("bogus", catalog.COMMANDS) == ""
    assert edit_distance("kitten", "sitting") == 3


def test_several_go_on_after_a_refusal(monkeypatch):
    def stop(store, name, **_):
        if name == "b":
            raise errors.NotFound("No such container: b", hint="see ps -a")
        if name == "c":
            raise errors.NotModified("already stopped")

    answer_with(monkeypatch, containers={"stop": stop})
    assert cli(["stop", "a", "b", "c"]) == (1, "a\nc\n", "Error response from daemon: No such container: b\nhint: see ps -a\n")


def test_stop_timeout_only_when_given(monkeypatch):
    seen = []
    answer_with(monkeypatch, containers={"stop": lambda store, name, timeout, signal: seen.append((timeout, signal))})
    for argv in (["a"], ["-t", "0", "a"], ["--time=3", "-s", "INT", "a"]):
        cli(["stop", *argv])
    assert seen == [(None, None), (0, None), (3, "INT")]


def test_logs_keep_their_streams(monkeypatch):
    seen = {}

    def entries(store, ident, **options):
        seen.update(options)
        yield 1, b"out\xff\n"
        yield 2, b"err\n"

    answer_with(monkeypatch, logs={"read": entries})
    monkeypatch.setattr("tests.unit.cli.calls.Captured.text", lambda self: self.stream.buffer.getvalue())
    assert cli(["logs", "-n", "5", "-t", "--since", "1700000000.5", "c"]) == (0, b"out\xff\n", b"err\n")
    assert seen == {"follow": False, "tail": 5, "since": 1700000000.5, "until": None, "timestamps": True}
    assert cli(["logs", "--since", "nonsense", "c"])[0] == 1


def test_save_leaves_nothing_when_it_fails(monkeypatch, tmp_path):
    def save(store, names, out):
        out.write(b"half")
        raise errors.NotFound("No such image: x")

    answer_with(monkeypatch, images={"save": save})
    target = tmp_path / "x.tar"
    target.write_bytes(b"before")
    assert cli(["save", "-o", str(target), "x"])[0] == 1
    assert target.read_bytes() == b"before" and list(tmp_path.iterdir()) == [target]
    assert "does not exist" in cli(["save", "-o", str(tmp_path / "no" / "x.tar"), "x"])[2]


def test_prune_asks(monkeypatch):
    import io
    import sys

    answer_with(monkeypatch, containers={"prune": lambda store: {"ContainersDeleted": ["abc"], "SpaceReclaimed": 1500}})
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = cli(["container", "prune"])
    assert code == 1 and out.startswith("WARNING! This will remove all stopped containers.\n") and "abc" not in out
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert cli(["container", "prune"])[1].endswith("Deleted Containers:\nabc\n\nTotal reclaimed space: 1.5kB\n")
