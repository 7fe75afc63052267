import errno
import os
import pathlib
import stat

import pytest

from boxship.layers.view import View


@pytest.fixture
def lower(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "lower"
    (root / "etc/deep").mkdir(parents=True)
    (root / "etc/passwd").write_text("lower")
    (root / "etc/deep/x").write_text("x")
    (root / "abs").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../../../../../../etc")
    (root / "loop").symlink_to("loop")
    (root / "chain0").symlink_to("/etc")
    for number in range(1, 45):
        (root / f"chain{number}").symlink_to(f"chain{number - 1}")
    return root


@pytest.fixture
def view(lower: pathlib.Path, tmp_path: pathlib.Path) -> View:
    upper = tmp_path / "upper"
    (upper / "etc").mkdir(parents=True)
    (upper / "etc/passwd").write_text("upper")
    (upper / "etc/new").write_text("new")
    return View([str(upper), str(lower)])


def test_upper_wins_and_directories_merge(view: View) -> None:
    assert view.read("/etc/passwd") == b"upper"
    assert view.listdir("etc") == ["deep", "new", "passwd"]
    assert view.read("etc/deep/x") == b"x"
    assert [found.path for found in view.walk("/etc")] == ["/etc/deep", "/etc/deep/x", "/etc/new", "/etc/passwd"]


def test_links_resolve_inside_the_root(view: View) -> None:
    assert view.read("/abs") == b"upper"
    assert view.read("/up/passwd") == b"upper"
    assert view.resolve("/up/nothing/here") == (None, "/etc/nothing/here")
    assert view.resolve("/abs", follow_last=False)[1] == "/abs"
    assert view.readlink("/abs") == "/etc/passwd"
    assert view.resolve("/../../etc/../etc/passwd")[1] == "/etc/passwd"
    assert view.stat("/chain39") == view.stat("/etc")


@pytest.mark.parametrize("path", ["/loop", "/loop/x", "/chain44"])
def test_at_most_forty_links(view: View, path: str) -> None:
    with pytest.raises(OSError) as caught:
        view.find(path)
    assert caught.value.errno == errno.ELOOP
    assert view.read(path) is None


def test_errors_have_the_kernels_numbers(view: View) -> None:
    for path, code in (("/nothing", errno.ENOENT), ("/etc/passwd/x", errno.ENOTDIR)):
        with pytest.raises(OSError) as caught:
            view.stat(path)
        assert caught.value.errno == code
    with pytest.raises(OSError) as caught:
        view.readlink("/etc")
    assert caught.value.errno == errno.EINVAL


def test_reads_are_bounded_and_never_block(view: View, lower: pathlib.Path) -> None:
    (lower / "big").write_bytes(b"x" * 1000)
    assert view.read("/big", 999) is None and view.read("/big", 1000) == b"x" * 1000
    os.mkfifo(lower / "fifo")
    assert view.read("/fifo") is None
    assert view.read("/etc") is None
    os.close(view.open("/fifo"))


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts with trusted attributes need root")
def test_whiteouts_and_opaque_directories(lower: pathlib.Path, tmp_path: pathlib.Path) -> None:
    upper = tmp_path / "top"
    (upper / "etc/deep").mkdir(parents=True)
    os.mknod(upper / "etc/passwd", 0o600 | stat.S_IFCHR, 0)
    os.setxattr(upper / "etc/deep", "trusted.overlay.opaque", b"y")
    view = View([str(upper), str(lower)])
    assert view.listdir("/etc") == ["deep"]
    assert view.listdir("/etc/deep") == []
    assert view.find("/etc/passwd") is None and not view.exists("/abs")
    # a directory over a whiteout, in a third layer, starts afresh
    third = tmp_path / "third"
    (third / "etc/passwd").mkdir(parents=True)
    assert View([str(third), str(upper), str(lower)]).listdir("/etc/passwd") == []
