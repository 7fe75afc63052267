"""COPY and ADD beyond the tables: what lies below, hostile trees, and the rules for several sources."""

import http.server
import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.errors import BoxshipError
from tests.conformance.buildworld import World

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("copy"))
    made.add_base("busybox")
    yield made
    made.close()


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


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", {"/moved-file": "file:///etc/passwd", "/moved": "/dir/name.txt?x=1"}[self.path])
            self.end_headers()
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")
        self.send_header("Content-Length", "7" if self.path != "/short" else "70")
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloads_have_their_name_mode_owner_and_time(url: str, world: World, tmp_path: Path) -> None:
    got = world.build(context(tmp_path, f"FROM scratch\nADD {url}/dir/name.txt?q=1 /d/\nADD {url}/moved /e\nADD {url}/ /f/\n"))
    info = got.view().lstat("/d/name.txt")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime) == (0o600, 0, 0, 1420070400.0)
    assert got.text("e") == "content"
    assert got.text("f/__unnamed__") == "content"


@pytest.mark.parametrize(
    ("path", "words"), [("/gone", "invalid response status 404"), ("/short", "ended early"), ("/moved-file", "")]
)
def test_downloads_that_fail(path: str, words: str, url: str, world: World, tmp_path: Path) -> None:
    with pytest.raises(BoxshipError) as caught:
        world.build(context(tmp_path, f"FROM scratch\nADD {url}{path} /d/\n"))
    assert words in str(caught.value)
    assert os.listdir(world.store.paths.tmp) == []


def test_an_unchanged_download_is_cached(url: str, world: World, tmp_path: Path) -> None:
    where = context(tmp_path, f"FROM scratch\nADD {url}/same /same\n")
    world.build(where)
    world.build(where)
    assert world.names("cached") == [f"[1/1] ADD {url}/same /same"]
