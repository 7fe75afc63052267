"""The command lines of the document that Boxship implements, as they stand there, each in its example's folder.

`docker` is a symlink to boxship, first on PATH; docker.io is mirrored by a registry on loopback, so the FROM lines are
untouched. The tests share one store and go in the order of the file. To see the same tests against another engine
(whose images are there already): BOXSHIP_E2E_DOCKER=/usr/bin/docker, with what it needs in the environment.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests import camera, registry, stores
from tests.terminal import Session, session

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

_OTHER = os.environ.get("BOXSHIP_E2E_DOCKER", "")
_NEEDED = {"docker-registry": "docker-registry", "mmdebstrap": "mmdebstrap", "ffmpeg": "ffmpeg", "wget": "wget"}


class Desk:
    """Where the lines are typed: copies of the examples, and a shell whose PATH has our `docker` first."""

    def __init__(self, folder: pathlib.Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    def type(self, example: str, line: str, code: int = 0, timeout: float = 400) -> str:
        """The line in the example's folder, by a shell; what it printed on both outputs."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder / example, env=self.env, timeout=timeout, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert done.returncode == code, f"$ {line}\nexit code {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def terminal(self, example: str, line: str) -> Iterator[Session]:
        with session(shlex.split(line), cwd=str(self.folder / example), env=self.env) as opened:
            yield opened


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    for program, package in _NEEDED.items():
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: apt-get install -y {package}")
    folder = tmp_path_factory.mktemp("seed")
    for name in ("hello-world", "hello-code", "hello-flask"):
        shutil.copytree(stores.CHECKOUT / "examples" / name, folder / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "docker").symlink_to(_OTHER or stores.command())
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    if _OTHER:
        yield Desk(folder, {**os.environ, "PATH": path})
        return
    with registry.serve(folder) as served, stores.make(BOXSHIP_CONFIG=served.toml(folder), PATH=path) as store:
        served.base("ubuntu:18.04")
        served.base("alpine:edge")
        yield Desk(folder, store.env)


@pytest.fixture(scope="module")
def camera_device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The fake camera's block device, which stands as /dev/video0 too."""
    if os.path.exists(camera.CAMERA):
        pytest.skip(f"this machine cannot lend its name to a fake camera: it has a {camera.CAMERA}")
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this machine cannot make loop devices")
    path = tmp_path_factory.mktemp("camera") / "recording.avi"
    camera.record(path)
    with camera.loop_device(path) as device, camera.standing_as(device):
        yield device


def _cached(output: str, instruction: str) -> bool:
    """Whether the plain progress says so of the step that begins with the instruction (BuildKit's manner, or dockerd's)."""
    lines = output.splitlines()
    place = next((number for number, line in enumerate(lines) if re.search(rf"(\] |: ){re.escape(instruction)}", line)), None)
    assert place is not None, f"no step {instruction!r} in:\n{output}"
    step = re.match(r"#\d+ ", lines[place])
    marks = [f"{step[0]}CACHED"] if step else [" ---> Using cache"]
    following = lines[place:] if step else lines[place + 1 : place + 2]
    return any(line == mark for line in following for mark in marks)


def test_hello_world_prints_while_it_is_built_and_while_it_runs(desk: Desk) -> None:
    first = desk.type("hello-world", "docker build -t hello-world .")
    assert re.search(r"^(#\d+ [\d.]+ )?hello world$", first, re.M), first
    assert "hello world again\n" not in first

    assert not _cached(first, "RUN apt-get update")

    second = desk.type("hello-world", "docker build -t hello-world .")
    assert not re.search(r"^(#\d+ [\d.]+ )?hello world$", second, re.M), "the second build ran the step again"
    assert _cached(second, "RUN apt-get update"), second
    assert _cached(second, "RUN python3 -c"), second

    for _ in range(2):
        assert desk.type("hello-world", "docker run -i hello-world") == "hello world again\n"


def test_docker_images_shows_what_was_built(desk: Desk) -> None:
    lines = desk.type("hello-world", "docker images").splitlines()
    assert lines[0].split()[:3] == ["REPOSITORY", "TAG", "IMAGE"]
    assert [line for line in lines if line.split()[:2] == ["hello-world", "latest"]]


def test_pictures_are_taken_with_the_camera(desk: Desk, camera_device: str) -> None:
    desk.type("hello-code", "docker build -t pic .")
    pics = desk.folder / "hello-code" / "pics"
    for line in (
        "docker run -v $PWD/pics/:/pics/ --device /dev/video0 pic",
        f"docker run -v $PWD/pics/:/pics/ --device {camera_device}:/dev/video0 pic",
    ):
        for old in pics.glob("*.png"):
            old.unlink()
        said = desk.type("hello-code", line)
        assert "saved /pics/frame-1.png (320 x 240)" in said
        pictures = sorted(pics.glob("*.png"))
        assert pictures, "no picture outside the container"
        for picture in pictures:
            _assert_is_picture(picture)


def _assert_is_picture(path: pathlib.Path) -> None:
    """ffmpeg decodes it, to as many bytes as 320 x 240 pixels have."""
    argv = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(argv, capture_output=True, check=True)
    assert len(done.stdout) == 320 * 240 * 3
    assert len(set(done.stdout)) > 10, "the picture is of one colour"


def test_without_a_camera_it_says_so_and_ends(desk: Desk, camera_device: str) -> None:
    del camera_device  # only for the image, which the test before has built
    said = desk.type("hello-code", "docker run pic", code=1, timeout=30)
    assert "cannot take pictures with /dev/video0: no such file or directory" in said
    assert "Traceback" not in said


def test_a_change_of_the_program_runs_no_pip_again(desk: Desk, camera_device: str) -> None:
    del camera_device
    main = desk.folder / "hello-code" / "main.py"
    main.write_text(main.read_text() + "\n# changed\n")
    said = desk.type("hello-code", "docker build -t pic .")
    for as_before in ("RUN apt-get", "COPY ./requirements.txt", "RUN pip3 install"):
        assert _cached(said, as_before), said
    assert not _cached(said, "COPY main.py"), said
    assert "# changed" in desk.type("hello-code", "docker run pic cat main.py")


def test_what_a_container_writes_is_gone_in_the_next_one(desk: Desk) -> None:
    line = "docker run -v $PWD/kept:/kept hello-world sh -c 'ls /kept /made 2>&1; mkdir -p /made; touch /made/in /kept/out'"
    assert "out" not in desk.type("hello-world", line)
    second = desk.type("hello-world", line)
    assert "out" in second.split()
    assert "in" not in second.split()
    assert (desk.folder / "hello-world" / "kept" / "out").exists()


def test_flask_answers_until_ctrl_c(desk: Desk) -> None:
    desk.type("hello-flask", "docker build -t hello-flask .")
    with desk.terminal("hello-flask", "docker run -it -p 5000:4444 -e PORT=4444 hello-flask") as server:
        server.expect("Listening at: http://0.0.0.0:4444", 30)
        assert desk.type("hello-flask", "wget -qO- http://localhost:5000 --post-data ''") == "hello fellow earthling"
        assert desk.type("hello-flask", "wget -qO- http://localhost:5000 --post-data name=ada") == "hello ada"

        listed = desk.type("hello-flask", "docker ps")
        assert "4444/tcp" in listed
        container = desk.type("hello-flask", "docker ps -q").strip()
        assert desk.type("hello-flask", f"docker exec {container} printenv PORT") == "4444\n"
        with desk.terminal("hello-flask", f"docker exec -it {container} sh") as shell:
            shell.type("tty; cat /proc/1/cmdline | tr '\\0' ' '; exit 7\r")
            assert shell.end() == 7
            assert "/dev/pts/" in shell.output
            assert "gunicorn" in shell.output

        pressed = time.monotonic()
        server.type("\x03")
        server.end(10)
        assert time.monotonic() - pressed < 3, "Ctrl-C took too long"
    assert desk.type("hello-flask", "docker ps -q") == ""
    assert "Connection refused" in desk.type("hello-flask", "wget -O- -t1 http://localhost:5000 --post-data ''", code=4)
