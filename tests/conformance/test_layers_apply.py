"""The tables archive/unpack, archive/whiteouts and archive/overlay_conversion."""

import os
import pathlib
import stat
from typing import Any

import pytest

from boxship.errors import BoxshipError
from boxship.layers.apply import LowersNeeded, apply, disk_name, settle
from boxship.layers.diff import chunks, tar_name
from boxship.layers.view import OPAQUE, View, is_whiteout
from tests.conformance.layer_tools import archive, build_tree, content_of, listing, snapshot, stream
from tests.tables import rows

pytestmark = pytest.mark.root


class Place:
    """A root with a parent of its own, and what lies beside it."""

    def __init__(self, base: pathlib.Path, row: dict[str, Any]) -> None:
        self.base = base
        self.row = row
        self.root = base / "root"
        self.root.mkdir()
        self.fill = {"{outside}": str(base), "{root_name}": "root"}
        for entry in row.get("outside", []):
            path = base / entry["path"].replace("{root_name}", "root").strip("/")
            if "type" not in entry:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry["type"] == "dir":
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(content_of(entry))
        build_tree(self.root, row["before"])
        os.utime(self.root, (1_500_000_000, 1_500_000_000))
        self.layers = [str(self.root)]
        self.outside = self._outside()

    def _outside(self) -> dict[str, Any]:
        inside = ("root", *(f"layer{number}" for number in range(9)))
        return {path: seen for path, seen in snapshot(self.base).items() if path.split("/")[0] not in inside}

    def unpack(self, known: bool) -> None:
        """`known`: the lower layers are at hand; otherwise they are settled afterwards, as a parallel pull does."""
        for number, entries in enumerate(self.row["layers"]):
            if self.row["mode"] == "untar":
                apply(stream(entries, self.fill), str(self.root), whiteouts=False)
                continue
            upper = self.base / f"layer{number}"
            upper.mkdir()
            lowers = list(self.layers)
            try:
                applied = apply(stream(entries, self.fill), str(upper), lowers if known else None)
                if not known:
                    settle(str(upper), applied, lowers)
            except LowersNeeded:
                assert not known
                upper = self.base / f"layer{number + 5}"
                upper.mkdir()
                apply(stream(entries, self.fill), str(upper), lowers)
            self.layers.insert(0, str(upper))

    def check(self) -> None:
        assert self._outside() == self.outside
        view = View(self.layers)
        for check in self.row["expect"].get("checks", []):
            for kind, want in check.items():
                getattr(self, f"_{kind}")(view, want)
        for path in self.row["expect"].get("outside_not_readable", []):
            secret = (self.base / path).read_bytes()
            for found in view.walk():
                if stat.S_ISREG(found.info.st_mode):
                    assert pathlib.Path(found.real).read_bytes() != secret

    @staticmethod
    def _inode(view: View, path: str, follow: bool) -> tuple[int, int]:
        found = view.find(path, follow)
        assert found is not None, path
        return found.info.st_dev, found.info.st_ino

    def _same_inode(self, view: View, want: list[str]) -> None:
        assert len({self._inode(view, path, True) for path in want}) == 1

    def _same_inode_nofollow(self, view: View, want: list[str]) -> None:
        assert len({self._inode(view, path, False) for path in want}) == 1

    def _same_link_target(self, view: View, want: list[str]) -> None:
        assert len({view.readlink(path) for path in want}) == 1

    def _content(self, view: View, want: dict[str, str]) -> None:
        for path, text in want.items():
            assert view.read(path) == text.encode(), path

    def _content_hex(self, view: View, want: dict[str, str]) -> None:
        for path, text in want.items():
            assert view.read(path) == bytes.fromhex(text), path

    def _present(self, view: View, want: list[str]) -> None:
        for path in want:
            assert view.find(path, False) is not None, path

    def _absent(self, view: View, want: list[str]) -> None:
        for path in want:
            assert view.find(path, False) is None, path

    def _absent_or_contained(self, view: View, want: list[str]) -> None:
        for path in want:
            real, _ = view.resolve(path)
            assert real is None or real.startswith(str(self.base))

    def _files(self, view: View, want: list[str]) -> None:
        assert listing(view) == want

    def _symlink(self, view: View, want: dict[str, str]) -> None:
        for path, target in want.items():
            assert view.readlink(path) == target

    def _mode(self, view: View, want: dict[str, str]) -> None:
        for path, mode in want.items():
            assert stat.S_IMODE(view.stat(path).st_mode) == int(mode, 8), path

    def _owner(self, view: View, want: dict[str, list[int]]) -> None:
        for path, owner in want.items():
            assert [view.stat(path).st_uid, view.stat(path).st_gid] == owner

    def _is_dir(self, view: View, want: list[str]) -> None:
        for path in want:
            assert stat.S_ISDIR(view.stat(path).st_mode), path

    def _mtime_kept(self, view: View, want: list[str]) -> None:
        for path in want:
            assert view.stat(path).st_mtime_ns == os.stat(self.root / path).st_mtime_ns


@pytest.mark.parametrize("known", [True, False], ids=["known", "settled"])
@pytest.mark.parametrize("row", rows("archive/unpack") + rows("archive/whiteouts"))
def test_unpack(row: dict[str, Any], known: bool, tmp_path: pathlib.Path) -> None:
    place = Place(tmp_path, row)
    umask = os.umask(int(row.get("umask", "0022"), 8))
    try:
        if "error" in row["expect"]:
            with pytest.raises(BoxshipError) as caught:
                place.unpack(known)
            assert row["expect"]["error"] in str(caught.value)
            return
        try:
            place.unpack(known)
        except BoxshipError:
            assert row["expect"].get("error_allowed")
    finally:
        os.umask(umask)
    place.check()


@pytest.mark.parametrize("row", rows("archive/overlay_conversion"))
def test_overlay_conversion(row: dict[str, Any], tmp_path: pathlib.Path) -> None:
    want = row["expect"]
    if row["direction"] == "xattr_name":
        key, user = row["xattr"].encode(), row["user_xattr"]
        assert disk_name(key, user).decode() == want["on_disk"]
        assert (tar_name(key, user) or b"").decode() == want["in_tar"]
        if tar_name(key, user) is not None:
            assert tar_name(disk_name(key, user), user) == key
    elif row["direction"] == "unpack":
        apply(stream(row["layer"]), str(tmp_path))
        _check_upper(tmp_path, want)
    else:
        _pack(row, tmp_path)


def _check_upper(root: pathlib.Path, want: dict[str, Any]) -> None:
    for entry in want.get("tree", []):
        info = os.lstat(root / entry["path"])
        if entry["type"] == "whiteout":
            assert is_whiteout(info)
            continue
        assert stat.S_ISDIR(info.st_mode) == (entry["type"] == "dir")
        assert stat.S_IMODE(info.st_mode) == int(entry["mode"], 8)
        if entry.get("opaque"):
            assert os.getxattr(root / entry["path"], OPAQUE) == b"y"
    for path in want.get("opaque", []):
        assert os.getxattr(root / path, OPAQUE) == b"y"
    for path in want.get("absent", []):
        assert View([str(root)]).find(path, False) is None
    for path in want.get("files", []):
        assert (root / path).is_file()
    assert not [path for path in root.rglob(".wh.*")]


def _pack(row: dict[str, Any], root: pathlib.Path) -> None:
    import io
    import tarfile

    for entry in row["upper"]:
        path = root / entry["path"]
        if entry["type"] == "whiteout":
            os.mknod(path, stat.S_IFCHR, 0)
        elif entry["type"] == "dir":
            path.mkdir()
            path.chmod(int(entry.get("mode", "0755"), 8))
        else:
            path.write_bytes(content_of(entry))
        if entry.get("opaque"):
            os.setxattr(path, OPAQUE, b"y")
        for key, value in entry.get("xattr", {}).items():
            os.setxattr(path, f"trusted.{key}", value.encode())
    packed = tarfile.open(fileobj=io.BytesIO(b"".join(chunks(str(root)))))
    members = packed.getmembers()
    names = [member.name + ("/" if member.isdir() else "") for member in members]
    assert names == row["expect"]["tar_names"]
    assert not any(member.isdev() for member in members)
    if row["expect"].get("no_pax_records"):
        assert not any(member.pax_headers for member in members)


def test_archive_helper_is_a_tar(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.tar").write_bytes(archive([{"type": "file", "name": "x", "content": "y"}]))
    import tarfile

    assert tarfile.open(tmp_path / "a.tar").getnames() == ["x"]
