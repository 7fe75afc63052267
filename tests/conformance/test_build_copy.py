"""COPY and ADD beyond the tables: what lies below, hostile trees, and the rules for several sources."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from boxship.errors import BoxshipError
from tests.conformance.buildworld import World

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("copy"))
    made.add_base("busybox")
    return made


def context(tmp_path: Path, dockerfile: str) -> Path:
    made = tmp_path / "ctx"
    made.mkdir()
    (made / "Dockerfile").write_text(dockerfile)
    for name in ("a", "b"):
        (made / name).write_text(name)
    return made


@pytest.mark.parametrize("word", ["COPY", "ADD"])
def test_several_files_need_a_directory(word: str, world: World, tmp_path: Path) -> None:
    with pytest.raises(BoxshipError, match=f"When using {word} with more than one source file, the destination must be a directory and end with a /"):
        world.build(context(tmp_path, f"FROM scratch\n{word} a b /c\n"))


def test_several_files_into_a_directory(world: World, tmp_path: Path) -> None:
    got = world.build(context(tmp_path, "FROM busybox\nCOPY a b /var/\nCOPY a b /tmp\n"))
    assert (got.text("var/a"), got.text("var/b"), got.text("tmp/b")) == ("a", "b", "b")


def test_a_layer_holds_only_what_was_copied_and_its_parents_look_as_before(world: World, tmp_path: Path) -> None:
    got = world.build(context(tmp_path, "FROM busybox\nCOPY a /var/spool/mail/\nCOPY a /tmp/\n"))
    before, after = got.tree(1), got.tree()
    assert {path for path in after if before.get(path) != after[path]} == {"var/spool/mail/a", "tmp/a"}
    top = Path(world.store.paths.layers) / got.layers[-1].dir
    assert sorted(str(path.relative_to(top)) for path in top.rglob("*")) == ["tmp", "tmp/a"]
    base, new = got.view(1).stat("/tmp"), got.view().stat("/tmp")
    assert (base.st_mode, base.st_mtime_ns) == (new.st_mode, new.st_mtime_ns)


def test_links_of_the_image_are_followed_inside_it(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM scratch\nCOPY tree /\nCOPY a /out/x\nCOPY a /abs/\nCOPY a /up/\n")
    (where / "tree").mkdir()
    (where / "tree/out").symlink_to("real")
    (where / "tree/abs").symlink_to("/etc")
    (where / "tree/up").symlink_to("../../../../../../tmp/boxship-escape")
    (where / "tree/etc").mkdir()
    got = world.build(where)
    assert (got.text("real/x"), got.text("etc/a"), got.text("tmp/boxship-escape/a")) == ("a", "a", "a")
    assert not os.path.exists("/tmp/boxship-escape")
    assert not os.path.exists("/etc/a")


def test_a_file_and_a_directory_do_not_replace_each_other(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM scratch\nCOPY tree /\nCOPY other /\n")
    (where / "tree/x").mkdir(parents=True)
    (where / "other").mkdir()
    (where / "other/x").write_text("file")
    with pytest.raises(BoxshipError, match="cannot replace to directory /x with file"):
        world.build(where)
    (where / "Dockerfile").write_text("FROM scratch\nCOPY other /\nCOPY tree /\n")
    with pytest.raises(BoxshipError, match="cannot copy to non-directory: /x"):
        world.build(where)


def test_special_files(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM scratch\nCOPY d /\n")
    (where / "d").mkdir()
    os.mkfifo(where / "d/pipe")
    os.link(where / "a", where / "d/one")
    os.link(where / "a", where / "d/two")
    (where / "d/suid").write_text("")
    (where / "d/suid").chmod(0o4755)
    got = world.build(where)
    found = {name: got.view().lstat("/" + name) for name in ("pipe", "one", "two", "suid")}
    assert stat.S_ISFIFO(found["pipe"].st_mode)
    assert found["one"].st_ino == found["two"].st_ino
    assert stat.S_IMODE(found["suid"].st_mode) == 0o4755
    os.mknod(where / "d/whiteout", stat.S_IFCHR | 0o600, 0)
    with pytest.raises(BoxshipError, match="device 0:0 can't be copied"):
        world.build(where)


def test_an_archive_stays_where_it_is_put(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM busybox\nADD t.tar /var/\n")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
        entry = tarfile.TarInfo("l/passwd")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    (where / "t.tar").write_bytes(data.getvalue())
    got = world.build(where)
    assert got.text("var/etc/passwd") == "x"
    assert got.text("etc/passwd").startswith("root:")


def test_names_that_mean_a_deletion_in_a_layer_are_refused(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM busybox\nCOPY d /var/\n")
    (where / "d").mkdir()
    (where / "d/.wh.spool").write_text("")
    with pytest.raises(BoxshipError, match="reserved for layers"):
        world.build(where)
    with tarfile.open(where / "t.tar", mode="w") as archive:
        archive.addfile(tarfile.TarInfo(".wh.spool"))
    (where / "Dockerfile").write_text("FROM busybox\nADD t.tar /var/\n")
    with pytest.raises(BoxshipError, match="reserved for layers"):
        world.build(where)


def test_a_base_that_differs_in_its_config_only_is_another_base(world: World, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM busybox\nHEALTHCHECK CMD x\n")
    world.build(where, tags=["checked"])
    (where / "Dockerfile").write_text("FROM busybox\nCOPY a /\n")
    world.build(where)
    world.build(where)
    assert world.names("cached") == ["[2/2] COPY a /"]
    (where / "Dockerfile").write_text("FROM checked\nCOPY a /\n")
    world.build(where)
    assert world.names("cached") == []
