"""Layers and a real overlay mount: what diff makes of an upper directory, and what apply makes of that."""

import io
import os
import pathlib
import stat
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from boxship.layers.apply import apply
from boxship.layers.diff import chunks, digest_of, tar_stream
from boxship.layers.view import View
from boxship.linux.mount import mount, umount2
from boxship.linux.ns import CLONE_NEWNS, unshare
from boxship.snapshots import overlay
from tests.conformance.layer_tools import build_tree, content_of, snapshot
from tests.runtime.images_tools import new_store
from tests.tables import rows

pytestmark = pytest.mark.root


def in_namespace(work: Callable[[], None]) -> None:
    """Run `work` in a child with a mount namespace of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            unshare(CLONE_NEWNS)
            mount(None, "/", None, 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


class Stack:
    """Layers made one after another through overlay mounts."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        self.store = new_store(base)
        self.lowers: list[str] = []  # names below layers/, top first
        self.merged = base / "merged"
        self.merged.mkdir()

    def step(self, changes: list[dict[str, Any]], seen: pathlib.Path | None = None) -> str:
        directory = f"{self.store.paths.containers}/step{len(self.lowers)}"
        overlay.prepare(self.store.paths, directory, self.lowers)

        def work() -> None:
            overlay.mount(self.store.paths, directory, self.lowers, str(self.merged))
            build_tree(self.merged, changes)
            if seen is not None:
                import pickle

                seen.write_bytes(pickle.dumps(snapshot(self.merged)))
            os.chdir("/")
            umount2(str(self.merged))

        in_namespace(work)
        name = overlay.commit(self.store.paths, directory)
        self.lowers.insert(0, name)
        assert not os.path.exists(directory)
        return f"{self.store.paths.layers}/{name}"


@pytest.mark.parametrize("row", rows("archive/layer_roundtrip"))
def test_roundtrip(row: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """Each step's layer is packed and unpacked; the merged view of the copies is what the container saw."""
    import pickle

    stack = Stack(tmp_path)
    copies: list[str] = []
    for number, changes in enumerate(row["steps"]):
        seen = tmp_path / f"seen{number}"
        upper = stack.step(changes, seen)
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        apply(tar_stream(upper), str(copy), copies)
        assert digest_of(str(copy)) == digest_of(upper)
        copies.insert(0, str(copy))
        want = pickle.loads(seen.read_bytes())
        assert _merged(copies) == {path: entry[:5] for path, entry in want.items()}


def _merged(copies: list[str]) -> dict[str, tuple[Any, ...]]:
    out: dict[str, tuple[Any, ...]] = {}
    for found in View(copies).walk():
        info = found.info
        data: Any = None
        if stat.S_ISREG(info.st_mode):
            data = pathlib.Path(found.real).read_bytes()
        elif stat.S_ISLNK(info.st_mode):
            data = os.readlink(found.real)
        out[found.path[1:]] = (stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, data)
    return out


@pytest.mark.parametrize("row", rows("archive/diff_layer"))
def test_diff_layer(row: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """The entries of a layer. A name of an inode of several is written as the file itself or as a link to one that was."""
    stack = Stack(tmp_path)
    stack.step(row["lower"])
    upper = stack.step(row["changes"])
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks(upper)))) as archive:
        found = {}
        for member in archive.getmembers():
            name = member.name + ("/" if member.isdir() else "")
            if name != "./":
                found[name] = (member, archive)
        want = {entry["name"]: entry for entry in row["expect"]["entries"]}
        assert sorted(found) == sorted(want)
        for name, entry in want.items():
            _compare(found[name][0], entry, want, archive)
        order = list(found)
        for name in order:
            parent = name.rstrip("/").rpartition("/")[0]
            assert not parent or order.index(parent + "/") < order.index(name)


def _compare(member: tarfile.TarInfo, entry: dict[str, Any], want: dict[str, Any], archive: tarfile.TarFile) -> None:
    if "mode" in entry:
        assert member.mode == int(entry["mode"], 8)
    while entry["type"] == "hardlink":
        entry = want[entry["target"]]
    if entry["type"] == "file" and "content" in entry:
        file = archive.extractfile(member)
        assert file is not None and file.read() == content_of(entry)


def test_overlay_sees_what_apply_wrote(tmp_path: pathlib.Path) -> None:
    """The kernel and our View agree about unpacked whiteouts, opaque directories and attributes."""
    store = new_store(tmp_path)
    lower, upper = f"{store.paths.layers}/lower", f"{store.paths.layers}/upper"
    for path in (lower, upper):
        os.mkdir(path)
    build_tree(pathlib.Path(lower), [{"type": "file", "name": f"{d}/{f}", "content": "x"} for d in "ab" for f in "12"])
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a/.wh.1", "b/.wh..wh..opq", "b/3"):
            archive.addfile(tarfile.TarInfo(name))
        info = tarfile.TarInfo("ping")
        info.mode = 0o4755
        info.pax_headers = {"SCHILY.xattr.user.note": "hello", "mtime": "1234567890.123456789"}
        archive.addfile(info)
    capability = bytes.fromhex("0100000200200000" + "00" * 12)
    apply(io.BytesIO(data.getvalue()), upper, [lower])
    os.setxattr(f"{upper}/ping", "security.capability", capability)
    directory = f"{store.paths.containers}/x"
    overlay.prepare(store.paths, directory, ["upper", "lower"])
    target = tmp_path / "merged"
    target.mkdir()

    def work() -> None:
        overlay.mount(store.paths, directory, ["upper", "lower"], str(target))
        names = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
        assert names == ["a", "a/2", "b", "b/3", "ping"], names
        assert names == sorted(found.path[1:] for found in View([upper, lower]).walk())
        info = os.stat(target / "ping")
        assert stat.S_IMODE(info.st_mode) == 0o4755 and info.st_mtime_ns == 1234567890123456789
        assert os.getxattr(target / "ping", "user.note") == b"hello"

    in_namespace(work)
    # the capability survives pack and unpack
    copy = tmp_path / "copy"
    copy.mkdir()
    apply(tar_stream(upper), str(copy), [lower])
    assert os.getxattr(copy / "ping", "security.capability") == capability
    overlay.remove(directory)


def test_scratch_and_many_layers(tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path)
    names = []
    for number in range(overlay.MAX_LOWERS):
        name = overlay.short_name()
        os.mkdir(f"{store.paths.layers}/{name}")
        (pathlib.Path(store.paths.layers) / name / f"f{number}").write_text("x")
        names.append(name)
    target = tmp_path / "merged"
    target.mkdir()
    for lowers, count in (([], 0), (names, overlay.MAX_LOWERS)):
        directory = f"{store.paths.containers}/n{count}"
        overlay.prepare(store.paths, directory, lowers)

        def work(directory: str = directory, lowers: list[str] = lowers, count: int = count) -> None:
            overlay.mount(store.paths, directory, lowers, str(target))
            assert len(os.listdir(target)) == count
            (target / "written").write_text("x")

        in_namespace(work)
        assert os.listdir(f"{directory}/upper") == ["written"]
        overlay.remove(directory)


def test_foreign_kinds_survive(tmp_path: pathlib.Path) -> None:
    """Devices, fifos, hard links, long names, big ids and odd bytes: packed twice from differently made trees, the same bytes."""
    one, two = tmp_path / "one", tmp_path / "two"
    for root, reverse in ((one, False), (two, True)):
        root.mkdir()
        names = [b"plain", b"n" * 150, b"\xff\xfe", "ü".encode(), b"d" * 60 + b"-1", b"d" * 60 + b"-2"]
        for name in sorted(names, reverse=reverse):
            path = os.fsencode(root) + b"/" + name
            with open(path, "wb") as file:
                file.write(name * 100)
            os.chown(path, 4_000_000_000, 3)
            os.utime(path, (1_000_000_000, 1_000_000_000))
        os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mkfifo(root / "fifo")
        os.chmod(root / "null", 0o666)
        os.link(root / "plain", root / "zlink")
        deep = root / ("x" * 90) / ("y" * 90) / ("z" * 90)
        deep.mkdir(parents=True)
        (deep / "f").write_text("deep")
        os.symlink("t" * 200, root / "longlink")
        for path in sorted(root.rglob("*"), key=lambda path: -len(str(path))):
            os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
        os.utime(root, (1_000_000_000, 1_000_000_000))
    assert digest_of(str(one)) == digest_of(str(two))
    copy = tmp_path / "copy"
    copy.mkdir()
    apply(tar_stream(str(one)), str(copy))
    assert snapshot(copy) == snapshot(one)
    assert digest_of(str(copy))[0] == digest_of(str(one))[0]
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"".join(chunks(str(one))))
    gnu = tmp_path / "gnu"
    gnu.mkdir()
    from tests.runtime.images_tools import run

    run("tar", "--xattrs", "--numeric-owner", "-xpf", str(archive), "-C", str(gnu))
    assert snapshot(gnu) == snapshot(one)
