"""What must not happen while an archive is unpacked."""

import gc
import io
import os
import pathlib
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, InvalidArgument
from boxship.layers.apply import LowersNeeded, apply
from boxship.layers.remove import remove_tree
from tests.conformance.layer_tools import stream


def test_descriptors_are_given_back(tmp_path: pathlib.Path) -> None:
    gc.collect()  # what earlier tests left open must not be closed in between
    before = len(os.listdir("/proc/self/fd"))
    entries = [{"type": "file", "name": f"d{number}/e/f", "content": "x"} for number in range(500)]
    apply(stream(entries), str(tmp_path))
    with pytest.raises(InvalidArgument):
        apply(stream([*entries[:3], {"type": "hardlink", "name": "x", "target": "absent/y"}]), str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(list(tmp_path.glob("d*/e/f"))) == 500


def test_replacing_a_directory_by_a_link_redirects_nothing(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    entries = [
        {"type": "file", "name": "a/b/one", "content": "1"},
        {"type": "symlink", "name": "a", "target": str(outside)},
        {"type": "file", "name": "a/b/two", "content": "2"},
        {"type": "dir", "name": "a/c", "mode": "0777"},
    ]
    apply(stream(entries), str(root))
    assert os.listdir(outside) == []
    assert (root / str(outside)[1:] / "b/two").read_text() == "2"


def test_no_write_through_an_existing_hard_link(tmp_path: pathlib.Path) -> None:
    """A file over a name with several links gets an inode of its own."""
    entries = [
        {"type": "file", "name": "one", "content": "first"},
        {"type": "hardlink", "name": "two", "target": "one"},
        {"type": "file", "name": "two", "content": "second"},
    ]
    apply(stream(entries), str(tmp_path))
    assert (tmp_path / "one").read_text() == "first" and (tmp_path / "two").read_text() == "second"


def test_hard_link_to_a_lower_layer(tmp_path: pathlib.Path) -> None:
    lower, upper, unknown = tmp_path / "lower", tmp_path / "upper", tmp_path / "unknown"
    for path in (lower, upper, unknown):
        path.mkdir()
    (lower / "f").write_text("below")
    entries = [{"type": "hardlink", "name": "g", "target": "/f"}]
    with pytest.raises(LowersNeeded):
        apply(stream(entries), str(unknown), None)
    apply(stream(entries), str(upper), [str(lower)])
    assert (upper / "g").read_text() == "below" and (upper / "f").samefile(upper / "g")
    assert (lower / "f").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "char", "name": "dev", "major": 1 << 13, "minor": 0}, "invalid device number"),
        ({"type": "symlink", "name": "l", "target": ""}, "symbolic link without a target"),
        ({"type": "hardlink", "name": "l", "target": "/"}, "hard link to the root"),
        ({"type": "file", "name": "../x"}, "unsafe tar path"),
        ({"type": "file", "name": "n" * 300}, "can't unpack .*: file name too long"),
        ({"type": "hardlink", "name": "l", "target": "absent"}, "hard link to a file that does not exist"),
    ],
)
def test_errors_say_what_is_wrong(entry: dict[str, object], words: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgument, match=words):
        apply(stream([entry]), str(tmp_path))


def test_larger_than_the_disk_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 60
    with pytest.raises(BoxshipError, match="no space left to unpack: huge"):
        apply(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)), str(tmp_path))


def test_deep_trees_are_removed(tmp_path: pathlib.Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    outside = tmp_path / "keep"
    outside.mkdir()
    (outside / "f").write_text("x")
    (tmp_path / "d/link").symlink_to(outside)
    remove_tree(str(tmp_path / "d"))
    remove_tree(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == ["keep"] and (outside / "f").exists()


NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", "../a", "/a", "a/..", "b/../../a", "./a", "a//b"])
TARGETS = st.sampled_from(["a", "b", "/", "..", "../..", "/a/b", "a/b", ".", "/../../tmp", "b/../../.."])
ENTRIES = st.lists(
    st.one_of(
        st.builds(lambda n: {"type": "file", "name": n, "content": "evil"}, NAMES),
        st.builds(lambda n: {"type": "dir", "name": n, "mode": "0700"}, NAMES),
        st.builds(lambda n, t: {"type": "symlink", "name": n, "target": t}, NAMES, TARGETS),
        st.builds(lambda n, t: {"type": "hardlink", "name": n, "target": t}, NAMES, TARGETS),
    ),
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(ENTRIES, ENTRIES)
def test_nothing_outside_the_root_ever_changes(
    tmp_path_factory: pytest.TempPathFactory, first: list[dict[str, str]], second: list[dict[str, str]]
) -> None:
    base = tmp_path_factory.mktemp("fuzz")
    root = base / "x/y/root"
    root.mkdir(parents=True)
    for name in ("a", "b"):
        (base / "x/y" / name).write_text("outside")
    gc.collect()  # what earlier tests left open must not be closed in between
    before = len(os.listdir("/proc/self/fd"))
    for entries in (first, second):
        try:
            apply(stream(entries), str(root), whiteouts=False)
        except BoxshipError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(os.listdir(base)) == ["x"] and os.listdir(base / "x") == ["y"]
    assert sorted(os.listdir(base / "x/y")) == ["a", "b", "root"]
    assert all((base / "x/y" / name).read_text() == "outside" and (base / "x/y" / name).stat().st_nlink == 1 for name in "ab")
    remove_tree(str(base))
