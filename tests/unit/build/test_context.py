"""The build context: what is seen, what is remembered, what never leaves it."""

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from boxship.build.context import Context, Stamps
from boxship.build.source import open_source
from boxship.build.wildcards import matches
from boxship.errors import BoxshipError, BuildFailed, InvalidArgument, Unsupported


def opened(path: Path, *patterns: str, stamps: Stamps | None = None) -> Context:
    return Context(str(path), list(patterns), stamps or Stamps({}, lambda: 0))


def names(context: Context, path: str = "/") -> list[str]:
    node = context.find(path)
    assert node is not None
    return [child.path for child in context.children(node)]


def test_ignored_files_are_not_there(tmp_path: Path) -> None:
    for name in ("a", "b.o", "d/x", "d/y", "e/z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    context = opened(tmp_path, "*.o", "d", "!d/y", "e")
    assert names(context) == ["/a", "/d"]
    assert names(context, "/d") == ["/d/y"]
    assert context.find("/d/x") is None
    assert context.find("/e") is None
    context.close()


def test_links_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    inside = tmp_path / "c"
    inside.mkdir()
    (inside / "up").symlink_to("../secret")
    (inside / "abs").symlink_to("/etc/passwd")
    (inside / "etc").mkdir()
    (inside / "loop").symlink_to("loop")
    context = opened(inside)
    assert context.find("/up") is None
    assert context.find("/abs") is None
    (inside / "etc/passwd").write_text("mine")
    found = context.find("/abs")
    assert found is not None
    assert found.path == "/etc/passwd"
    with pytest.raises(OSError):
        context.find("/loop")
    context.close()


def test_a_link_that_takes_a_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    context = opened(tmp_path)
    node = context.find("/d/f")
    assert node is not None
    (tmp_path / "d/f").unlink()
    (tmp_path / "d/f").symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        context.open(node)
    (tmp_path / "d/f").unlink()
    (tmp_path / "d").rmdir()
    (tmp_path / "d").symlink_to("/etc")
    with pytest.raises(OSError):
        context.open(node)
    context.close()


def test_sockets_are_no_part_of_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        old = os.getcwd()
        os.chdir(tmp_path)
        try:
            made.bind("s")
        finally:
            os.chdir(old)
    context = opened(tmp_path)
    assert names(context) == []
    context.close()


def test_digests_are_remembered_by_stamp(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    later = os.stat(file).st_ctime_ns + 10 * 10**9
    stamps = Stamps({}, lambda: later)
    context = opened(tmp_path, stamps=stamps)
    node = context.find("/f")
    assert node is not None
    first = context.digest(node)
    context.close()
    assert list(stamps.fresh) == ["/f"]
    # another digest under the same stamp shows that the file was not read
    forged = {path: (stamp, hashed, bytes(32)) for path, (stamp, hashed, _) in stamps.fresh.items()}
    again = opened(tmp_path, stamps=Stamps(forged, lambda: later))
    node = again.find("/f")
    assert node is not None
    assert again.digest(node) == "00" * 32 != first
    file.write_text("two")
    again.close()
    changed = opened(tmp_path, stamps=Stamps(forged, lambda: later))
    node = changed.find("/f")
    assert node is not None
    assert changed.digest(node) not in ("00" * 32, first)
    changed.close()


def test_a_file_changed_just_before_it_was_hashed_is_hashed_again(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one")
    info = os.stat(tmp_path / "f")
    stamp = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    racy = Stamps({"/f": (stamp, info.st_mtime_ns + 10**9, bytes(32))}, lambda: 0)
    assert racy.get("/f", info) is None
    assert Stamps({"/f": (stamp, info.st_ctime_ns + 2 * 10**9, bytes(32))}, lambda: 0).get("/f", info) == bytes(32)


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ("/*.txt", ["/a.txt", "/b.txt"]),
        ("/?.txt", ["/a.txt", "/b.txt"]),
        ("/[ab].txt", ["/a.txt", "/b.txt"]),
        ("/[^a].txt", ["/b.txt"]),
        ("/d/*", ["/d/x", "/d/y"]),
        ("/*/x", ["/d/x"]),
        ("/no*", []),
        ("/[", []),
        ("/[b-a].txt", []),
        ("/a.txt", None),
        ("/a\\*.txt", None),
    ],
)
def test_wildcards(pattern: str, want: list[str] | None, tmp_path: Path) -> None:
    (tmp_path / "d/x").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "d/y"):
        (tmp_path / name).write_text("")
    context = opened(tmp_path)
    assert matches(context, pattern) == want
    context.close()


def nothing() -> None:
    pass


def test_sources(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM a")
    (folder / ".dockerignore").write_text("# c\nx\n")
    (folder / "Other").write_text("FROM b")
    (folder / "Other.dockerignore").write_text("y\n")
    work = tmp_path / "w"
    work.mkdir()
    plain = open_source(str(folder), "", str(work), None, nothing)
    assert (plain.text, plain.patterns, plain.name) == (b"FROM a", ["x"], "Dockerfile")
    other = open_source(str(folder), str(folder / "Other"), str(work), None, nothing)
    assert (other.text, other.patterns) == (b"FROM b", ["y"])
    piped = open_source(str(folder), "-", str(work), io.BytesIO(b"FROM c"), nothing)
    assert piped.text == b"FROM c"


def test_a_dockerfile_on_standard_input_and_a_tar(tmp_path: Path) -> None:
    found = open_source("-", "", str(tmp_path), io.BytesIO(b"FROM scratch\n"), nothing)
    assert found.text == b"FROM scratch\n"
    assert os.listdir(found.directory) == []
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in (("sub/Dockerfile", b"FROM t"), ("f", b"x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    data.seek(0)
    work = tmp_path / "tar"
    work.mkdir()
    found = open_source("-", "sub/Dockerfile", str(work), data, nothing)
    assert found.text == b"FROM t"
    assert sorted(os.listdir(found.directory)) == ["f", "sub"]


@pytest.mark.parametrize("name", ["../out", "/abs/../../out"])
def test_a_hostile_tar_writes_nothing_outside(name: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        through = tarfile.TarInfo("l/out")
        through.size = 1
        archive.addfile(through, io.BytesIO(b"x"))
    data.seek(0)
    work = tmp_path / "w"
    work.mkdir()
    with pytest.raises(BoxshipError):
        open_source("-", "", str(work), data, nothing)
    assert not (tmp_path / "out").exists()
    assert not Path("/out").exists()


def test_words_for_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match='unable to prepare context: path "/no/such" not found'):
        open_source("/no/such", "", str(tmp_path), None, nothing)
    with pytest.raises(BuildFailed, match="failed to read dockerfile: open Dockerfile: no such file or directory"):
        open_source(str(tmp_path), "", str(tmp_path), None, nothing)
    with pytest.raises(InvalidArgument, match="can't use stdin for both build context and dockerfile"):
        open_source("-", "-", str(tmp_path), None, nothing)
    with pytest.raises(Unsupported, match="not supported yet"):
        open_source("https://github.com/a/b.git", "", str(tmp_path), None, nothing)
    (tmp_path / "Dockerfile").symlink_to("/etc/passwd")
    with pytest.raises(BuildFailed, match="no such file"):
        open_source(str(tmp_path), "", str(tmp_path), None, nothing)
