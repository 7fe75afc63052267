"""Builds that run programs: cache rules, failures, cancelling, crashes and many at once, by the command itself."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.buildworld import CAN_RUN, World

pytestmark = [pytest.mark.root, pytest.mark.skipif(not CAN_RUN, reason="RUN needs root and the engine's tasks")]

_MAIN = "import sys; from boxship.cli.main import main; main()"
_SOURCE = Path(__file__).resolve().parents[2] / "src"


class Command:
    """The command line in a store of its own."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.add_base("busybox")
        self.paths = self.world.store.paths
        self.root = root

    def env(self) -> dict[str, str]:
        return {**os.environ, "BOXSHIP_ROOT": self.paths.root, "BOXSHIP_RUN": self.paths.run, "PYTHONPATH": str(_SOURCE)}

    def start(self, *words: str, folder: Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", _MAIN, "build", *words],
            cwd=folder,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words, folder=folder)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def leftovers(self) -> list[str]:
        """What should not be below tmp/, and layers without a row."""
        from boxship.state import layers as rows

        known = rows.directories(self.world.store.db) | {"empty"}
        return [*os.listdir(self.paths.tmp), *(name for name in os.listdir(self.paths.layers) if name not in known)]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    made = Command(tmp_path_factory.mktemp("run"))
    yield made
    made.world.close()


def folder(tmp_path: Path, dockerfile: str, **files: str) -> Path:
    made = tmp_path / "ctx"
    made.mkdir(exist_ok=True)
    (made / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (made / name).write_text(text)
    return made


def cached(err: str) -> list[str]:
    """Names of the steps that were cached."""
    names = dict(re.findall(r"^#(\d+) (\[.*|FROM .*)$", err, re.MULTILINE))
    return [names[number] for number in re.findall(r"^#(\d+) CACHED$", err, re.MULTILINE)]


def test_output_once_and_cached_the_second_time(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo once-only-$((6*7))\nCMD echo hi\n")
    first = command.run("-t", "twice", ".", folder=where)
    assert first.returncode == 0, first.stderr
    assert re.search(r"^#\d+ \d+\.\d{3} once-only-42$", first.stderr, re.MULTILINE)
    assert "CACHED" not in first.stderr
    assert "naming to docker.io/library/twice" in first.stderr
    second = command.run("-t", "twice", ".", folder=where)
    assert "once-only-42" not in second.stderr
    assert cached(second.stderr) == ["[2/2] RUN echo once-only-$((6*7))"]
    ids = [re.findall(r"writing image (sha256:\w+)", text) for text in (first.stderr, second.stderr)]
    assert ids[0] == ids[1]
    assert not cached(command.run("--no-cache", ".", folder=where).stderr)


def test_a_change_rebuilds_from_its_copy_on(command: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY req /\nRUN cat /req\nCOPY main /\nRUN cat /main\n"
    where = folder(tmp_path, text, req="r", main="1")
    assert command.run(".", folder=where).returncode == 0
    os.utime(where / "main")
    assert len(cached(command.run(".", folder=where).stderr)) == 4
    (where / "main").write_text("2")
    assert cached(command.run(".", folder=where).stderr) == ["[2/5] COPY req /", "[3/5] RUN cat /req"]


def test_copy_from_a_stage_hits_when_its_files_came_out_the_same(command: Command, tmp_path: Path) -> None:
    text = "FROM busybox AS b\nARG x\nRUN echo fixed > /out; touch -d @1 /out; echo $x > /other\nFROM busybox\nCOPY --from=b /out /\nRUN cat /out\n"
    where = folder(tmp_path, text)
    assert command.run("--build-arg", "x=1", ".", folder=where).returncode == 0
    hits = cached(command.run("--build-arg", "x=2", ".", folder=where).stderr)
    assert hits == ["[stage-1 2/3] COPY --from=b /out /", "[stage-1 3/3] RUN cat /out"]


def test_a_failing_run_tells_what_where_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo kept\nRUN echo last-words; exit 7\nRUN never\n")
    failed = command.run("-t", "fails", ".", folder=where)
    assert failed.returncode == 1
    words = 'process "/bin/sh -c echo last-words; exit 7" did not complete successfully: exit code: 7'
    assert failed.stderr.splitlines()[-1].startswith("ERROR: failed to build: failed to solve: " + words)
    assert " > [3/4] RUN echo last-words; exit 7:\n" in failed.stderr
    assert "\nDockerfile:3\n" in failed.stderr
    assert "   3 | >>> RUN echo last-words; exit 7\n" in failed.stderr
    assert "never" not in re.sub(r"RUN never", "", failed.stderr)
    assert command.leftovers() == []
    again = command.run(".", folder=where)
    assert cached(again.stderr) == ["[2/4] RUN echo kept"]


def test_a_program_that_is_not_there(command: Command, tmp_path: Path) -> None:
    failed = command.run(".", folder=folder(tmp_path, 'FROM busybox\nRUN ["nosuchprogram"]\n'))
    assert failed.returncode == 1
    assert 'process "nosuchprogram" did not complete successfully: exit code: 127' in failed.stderr
    assert command.leftovers() == []


def test_interrupt_ends_the_step_at_once_and_keeps_what_was_done(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo before-interrupt\nRUN echo waiting; sleep 4242\n")
    process = command.start(".", folder=where)
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(r"\d waiting$", line):
            break
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert_gone("sleep\0004242")
    assert command.leftovers() == []
    (where / "Dockerfile").write_text("FROM busybox\nRUN echo before-interrupt\n")
    assert cached(command.run(".", folder=where).stderr) == ["[2/2] RUN echo before-interrupt"]


def test_interrupt_of_steps_side_by_side(command: Command, tmp_path: Path) -> None:
    text = "FROM busybox AS a\nRUN echo waiting; sleep 4343\nFROM busybox AS b\nRUN echo waiting; sleep 4344\nFROM scratch\n"
    where = folder(tmp_path, text + "COPY --from=a / /\nCOPY --from=b / /\n")
    process = command.start(".", folder=where)
    assert process.stderr is not None
    seen = 0
    for line in process.stderr:
        seen += bool(re.search(r"\d waiting$", line))
        if seen == 2:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert_gone("sleep\0004343")
    assert_gone("sleep\0004344")
    assert command.leftovers() == []


def assert_gone(argv: str) -> None:
    """No process of that command line is left, within two seconds."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if not any(argv in _cmdline(pid) for pid in os.listdir("/proc") if pid.isdigit()):
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {argv!r}")


def _cmdline(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_stages_that_do_not_need_each_other_run_side_by_side(command: Command, tmp_path: Path) -> None:
    """Each notes when it begins and ends, on the clock since boot: the two overlap."""
    stage = "FROM busybox AS {0}\nRUN cut -d' ' -f1 /proc/uptime > /{0}0; sleep 2; cut -d' ' -f1 /proc/uptime > /{0}1\n"
    last = "FROM busybox\nCOPY --from=a /a0 /a1 /\nCOPY --from=b /b0 /b1 /\nRUN echo times $(cat /a0 /a1 /b0 /b1) end\n"
    where = folder(tmp_path, stage.format("a") + stage.format("b") + last)
    built = command.run(".", folder=where)
    assert built.returncode == 0, built.stderr
    words = [line for line in built.stderr.splitlines() if " times " in line and "RUN" not in line][0].split(" times ")[1].split()
    begin_a, end_a, begin_b, end_b = map(float, words[:4])
    assert begin_a < end_b and begin_b < end_a


def test_one_failure_cancels_the_other_stage(command: Command, tmp_path: Path) -> None:
    text = "FROM busybox AS a\nRUN sleep 1; exit 3\nFROM busybox AS b\nRUN sleep 4545\nFROM scratch\n"
    where = folder(tmp_path, text + "COPY --from=a /a /\nCOPY --from=b /b /\n")
    failed = command.run(".", folder=where)
    assert failed.returncode == 1
    assert "exit code: 3" in failed.stderr.splitlines()[-1] + failed.stderr.splitlines()[-2]
    assert "CANCELED" in failed.stderr
    assert_gone("sleep\0004545")


def test_ten_builds_of_one_dockerfile_do_the_work_once(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo shared-work; sleep 1; cat /proc/sys/kernel/random/uuid > /id\nCOPY f /\n", f="x")
    running = [command.start("-t", f"shared-{number}", ".", folder=where) for number in range(10)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 10, ended
    assert sum(bool(re.search(r"\d shared-work$", err, re.MULTILINE)) for (_, err), _ in ended) == 1
    assert len({re.findall(r"writing image (\S+)", err)[0] for (_, err), _ in ended}) == 1
    assert command.leftovers() == []


def test_kill_leaves_nothing_that_the_next_build_does_not_remove(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo waiting; sleep 4646\n")
    process = command.start(".", folder=where)
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(r"\d waiting$", line):
            break
    process.kill()
    process.wait()
    process.communicate()
    assert_gone("sleep\0004646")
    assert command.leftovers() != []
    other = folder(tmp_path, "FROM scratch\nCOPY Dockerfile /\n")
    assert command.run(".", folder=other).returncode == 0
    assert command.leftovers() == []


def test_quiet_iidfile_and_labels(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nLABEL a=1\nRUN true\n")
    ended = command.run("-q", "--label", "a=2", "--label", "b", "--iidfile", "id", ".", folder=where)
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", ended.stdout)
    assert ended.stderr == ""
    assert (where / "id").read_text() == ended.stdout.strip()
    from boxship.state import images as rows

    row = rows.get(command.world.store.db, ended.stdout.strip())
    assert row is not None
    assert json.loads(row.config)["config"]["Labels"] == {"a": "2", "b": ""}


@pytest.mark.parametrize(
    ("words", "dockerfile", "error"),
    [
        ([".", "-t", "Bad Name"], "FROM scratch\n", 'failed to build: invalid tag "Bad Name": invalid reference format'),
        (["nowhere"], "FROM scratch\n", 'failed to build: unable to prepare context: path "nowhere" not found'),
        (["-f", "No", "."], "FROM scratch\n", "failed to read dockerfile: open No: no such file or directory"),
        (["."], "FROM scratch\nCOP a /\n", "dockerfile parse error on line 2: unknown instruction: COP (did you mean"),
        (["."], "FROM busybox\nRUN --mount=type=cache,target=/c x\n", "RUN --mount is not supported yet"),
        (["."], "FROM scratch\nCOPY ../x /\n", '"/x": not found'),
        (["."], "FROM scratch\nCOPY none /\n", '"/none": not found'),
        (["--target", "no", "."], "FROM scratch\n", 'target stage "no" could not be found'),
        (["--progress", "fancy", "."], "FROM scratch\n", "invalid progress mode: fancy"),
    ],
)
def test_bad_input_is_one_line_a_hint_and_no_trace(
    words: list[str], dockerfile: str, error: str, command: Command, tmp_path: Path
) -> None:
    ended = command.run(*words, folder=folder(tmp_path, dockerfile))
    assert ended.returncode == 1
    assert error in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hint: " in ended.stderr or "did you mean" in ended.stderr
    assert command.leftovers() == []


@pytest.mark.parametrize("flag", ["--secret=id=x", "--ssh=default", "--output=.", "--cache-from=x", "--network=none", "--squash", "--push"])
def test_flags_of_later_are_refused_by_name(flag: str, command: Command, tmp_path: Path) -> None:
    ended = command.run(flag, ".", folder=folder(tmp_path, "FROM scratch\nCOPY Dockerfile /\n"))
    assert ended.returncode != 0
    assert f"{flag.partition('=')[0]} is not supported yet" in ended.stderr


def test_what_a_step_must_not_leave_in_the_image(command: Command, tmp_path: Path) -> None:
    where = folder(tmp_path, "FROM busybox\nRUN echo x >> /etc/hosts; mount -t tmpfs t /mnt; mknod /dev/sda b 8 0; true\n")
    result = command.world.build(where)
    assert sorted(result.tree().keys() - result.tree(1).keys()) == []
    assert result.view().read("/etc/hosts") is None
