"""Hostile build contexts and Dockerfiles: the host's files are neither read nor written, no command of the host runs."""

import os
import pathlib
import subprocess

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root


@pytest.fixture
def secret(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "secret" / "file"
    path.parent.mkdir()
    path.write_text("of the host\n")
    return path


@pytest.fixture
def context(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def build(den: stores.Store, context: pathlib.Path, text: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    (context / "Dockerfile").write_text(text)
    done = den.run("build", "--progress=plain", *flags, "-t", "built", str(context), check=False, timeout=60)
    attack.clean(done.stdout + done.stderr)
    return done


def test_links_of_the_context(den: stores.Store, context: pathlib.Path, secret: pathlib.Path) -> None:
    """CVE-2024-11218, CVE-2020-10696 and their kind"""
    (context / "link").symlink_to(secret)
    (context / "up").symlink_to("../secret")
    (context / "abs").symlink_to(secret.parent)
    (context / "proc").symlink_to("/proc/self/root")
    for source in ("link", "up/file", "abs/file", "../secret/file", f"proc{secret}", "up", "abs"):
        done = build(den, context, f"FROM busybox\nCOPY {source} /got\nRUN cat /got/* /got; true\n")
        assert "of the host" not in done.stdout + done.stderr, source


def test_dockerfile_and_ignore_file_as_links(den: stores.Store, context: pathlib.Path, secret: pathlib.Path) -> None:
    (context / "Dockerfile").symlink_to(secret)
    done = den.run("build", str(context), check=False)
    attack.clean(done.stderr)
    assert done.returncode != 0
    assert "of the host" not in done.stderr
    (context / "Dockerfile").unlink()
    (context / ".dockerignore").symlink_to(secret)
    assert "of the host" not in build(den, context, "FROM busybox\nCOPY . /\n").stderr


def test_writing_through_links_of_the_image(
    den: stores.Store, context: pathlib.Path, secret: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """CVE-2024-1753, CVE-2026-17106: COPY, ADD, WORKDIR and VOLUME stay inside the root of the stage"""
    folder = secret.parent
    image = attack.put(den, tmp_path, "links", {"out": attack.link(str(folder)), "rel": attack.link(f"../../../../../..{folder}"),
                                                "f": attack.link(str(secret))})  # fmt: skip
    (context / "file").write_text("written")
    subprocess.run(["tar", "-cf", str(context / "a.tar"), "-C", str(context), "file"], check=True)
    for line in ("COPY file /out/file", "COPY file /out/", "COPY file /rel/new", "COPY file /f", "ADD a.tar /out/", "WORKDIR /out/x",
                 "COPY --chown=5:5 --chmod=777 file /rel/deep/er", "RUN echo x > /out/file || mkdir -p /out; true", "WORKDIR /out\nRUN touch here",
                 "RUN rm /bin/sh; ln -s /proc/self/exe /bin/sh\nRUN true", "VOLUME /out/v\nRUN touch /out/v/x; true"):  # fmt: skip
        build(den, context, f"FROM {image}\n{line}\n")
        assert os.listdir(folder) == ["file"]
        assert secret.read_text() == "of the host\n"
        assert secret.stat().st_uid == os.getuid()


def test_reading_through_links_of_another_stage(
    den: stores.Store, context: pathlib.Path, secret: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """COPY --from resolves links inside the other root"""
    image = attack.put(
        den,
        tmp_path,
        "from",
        {"l": attack.link(str(secret)), "d": attack.link(str(secret.parent)), "p": attack.link("/proc/self/cwd")},
    )
    for source in ("/l", "/d/file", "/d", f"/p{secret}", f"/../../..{secret}"):
        done = build(den, context, f"FROM busybox\nCOPY --from={image} {source} /got\nRUN cat /got/* /got; true\n")
        assert "of the host" not in done.stdout + done.stderr, source


@pytest.mark.parametrize(
    "source",
    ["git://host/r#--upload-pack=touch", "file:///etc/passwd", "https://x/r.git#a:../..", "git@--upload-pack=x:y.git", "ftp://x/y"],
)
def test_transports(den: stores.Store, context: pathlib.Path, source: str) -> None:
    """CVE-2019-13139, CVE-2022-39253"""
    done = build(den, context, f"FROM busybox\nADD {source} /x\nRUN cat /x\n")
    assert done.returncode != 0
    assert "root:" not in done.stdout + done.stderr
    done = den.run("build", source, check=False, timeout=20)
    attack.clean(done.stderr)
    assert done.returncode != 0


def test_a_step_s_interpreter_and_descriptors(den: stores.Store, context: pathlib.Path) -> None:
    text = (
        "FROM busybox\nRUN ls /proc/self/fd /proc/1/fd; readlink /proc/1/exe; cat /proc/1/cmdline | tr '\\0' ' '; env; mount | grep -c ' / '\n"
        "RUN ! touch /proc/sys/kernel/x && ! mount -t tmpfs x /mnt && ! mknod /n b 8 0 || head -c1 /n || echo DENIED\n"
    )
    done = build(den, context, text, "--no-cache")
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert den.root not in shown.replace(str(context), "")
    assert "DENIED" in shown


def test_nothing_of_a_step_stays(den: stores.Store, context: pathlib.Path) -> None:
    """CVE-2024-9407: mount points that the image lacked are no part of the layer; a step's children end with it"""
    done = build(
        den,
        context,
        "FROM busybox\nRUN (sleep 300 &) ; rm -rf /etc/resolv.conf; true\nRUN ps | grep -c 'sleep 30[0]' || true\n",
        "--no-cache",
    )
    assert done.returncode == 0, done.stderr
    assert den.run("run", "--rm", "built", "sh", "-c", "ls /etc | grep -c shadow").stdout == "1\n"
    busy = subprocess.run(["pgrep", "-fx", "sleep 300"], capture_output=True, text=True, check=False).stdout
    for pid in busy.split():
        assert den.tag not in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
