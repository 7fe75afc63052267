"""An image's content goes into a fresh volume, as it is, and nothing of the host does."""

import os
import stat
import threading

import pytest

from boxship.layers.view import View
from boxship.volumes import copyup

ROOT = os.geteuid() == 0


@pytest.fixture
def image(tmp_path):
    """Two layers, and an empty volume."""
    lower, upper, volume = (tmp_path / name for name in ("lower", "upper", "volume"))
    for directory in (lower / "data" / "sub", upper / "data", volume):
        directory.mkdir(parents=True)
    (lower / "data" / "old").write_text("old")
    (lower / "data" / "sub" / "file").write_text("content")
    (upper / "data" / "old").write_text("new")
    return lower, upper, volume


def copy(image, path="/data"):
    lower, upper, volume = image
    return copyup.copy_up(View([str(upper), str(lower)]), path, str(volume))


def test_merged_content(image):
    volume = image[2]
    assert copy(image)
    assert (volume / "old").read_text() == "new"
    assert (volume / "sub" / "file").read_text() == "content"


def test_attributes(image):
    lower, upper, volume = image
    program = lower / "data" / "program"
    program.write_bytes(b"x" * 100_000)
    os.chmod(program, 0o4711)
    os.utime(program, ns=(5, 1_234_567_890_123_456_789))
    os.link(program, lower / "data" / "sub" / "alias")
    os.symlink("/etc/passwd", lower / "data" / "link")
    os.mkfifo(lower / "data" / "pipe", 0o640)
    os.chmod(upper / "data", 0o1777)
    os.utime(upper / "data", ns=(7, 7))
    os.setxattr(program, "user.note", b"kept")
    if ROOT:
        os.chown(program, 12, 34)
        os.chmod(program, 0o4711)
        os.chown(lower / "data" / "link", 56, 78, follow_symlinks=False)
        os.chown(upper / "data", 99, 98)
        os.setxattr(upper / "data", "trusted.overlay.origin", b"x")
    assert copy(image)
    info = os.stat(volume / "program")
    assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns, info.st_nlink) == (0o4711, 1_234_567_890_123_456_789, 2)
    assert os.path.samefile(volume / "program", volume / "sub" / "alias")
    assert os.readlink(volume / "link") == "/etc/passwd"
    assert stat.S_ISFIFO(os.lstat(volume / "pipe").st_mode)
    assert stat.S_IMODE(os.lstat(volume / "pipe").st_mode) == 0o640
    assert os.getxattr(volume / "program", "user.note") == b"kept"
    assert (stat.S_IMODE(os.stat(volume).st_mode), os.stat(volume).st_mtime_ns) == (0o1777, 7)
    if ROOT:
        assert (info.st_uid, info.st_gid) == (12, 34)
        assert (os.lstat(volume / "link").st_uid, os.lstat(volume / "link").st_gid) == (56, 78)
        assert (os.stat(volume).st_uid, os.stat(volume).st_gid) == (99, 98)
        assert os.listxattr(volume) == []


def test_a_volume_that_holds_something_is_left_alone(image):
    (image[2] / "mine").write_text("x")
    assert not copy(image)
    assert os.listdir(image[2]) == ["mine"]


@pytest.mark.parametrize("path", ["/nothing", "/data/old", "/data/old/below", "/../../etc", "/data/../../../../etc", "../../etc"])
def test_no_place_in_the_image(image, path):
    # CVE-2022-23648: VOLUME /../../etc must not show the host's /etc
    assert not copy(image, path)
    assert os.listdir(image[2]) == []


def test_links_in_the_path_resolve_inside_the_image(image, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    os.symlink(outside, image[0] / "escape")
    os.symlink("../../../../../../etc", image[0] / "up")
    os.symlink("/data/sub", image[0] / "inside")
    assert not copy(image, "/escape")
    assert not copy(image, "/up")
    assert os.listdir(image[2]) == []
    assert copy(image, "/inside")
    assert os.listdir(image[2]) == ["file"]


def test_a_hostile_neighbour_in_the_volume_gets_nothing_written_outside(image, tmp_path):
    """While the copy runs, somebody swaps its directories for links to a place outside."""
    lower, _, volume = image
    canary = tmp_path / "canary"
    canary.mkdir()
    for number in range(60):
        (lower / "data" / f"d{number:02}").mkdir()
        (lower / "data" / f"d{number:02}" / "f").write_text("x")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for name in os.listdir(volume):
                path = volume / name
                try:
                    os.rename(path, volume / f".{name}.away")
                    os.symlink(canary, path)
                except OSError:
                    pass

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        copy(image)
    except Exception as error:
        assert "can't copy the image's /data" in str(error)
    finally:
        stop.set()
        thread.join()
    assert os.listdir(canary) == []
