"""Trees and archives out of the tables' entry lists, and what a merged tree looks like."""

import io
import os
import pathlib
import stat
import tarfile
from typing import Any

from boxship.layers.view import View

_TYPES = {
    "file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE, "block": tarfile.BLKTYPE, "char": tarfile.CHRTYPE,
}  # fmt: skip


def content_of(entry: dict[str, Any]) -> bytes:
    if "content_hex" in entry:
        return bytes.fromhex(entry["content_hex"])
    return entry.get("content", "").encode()


def archive(entries: list[dict[str, Any]], fill: dict[str, str] | None = None) -> bytes:
    """A GNU tar of the entries, names exactly as given."""
    out = b""
    for entry in entries:
        name, target = entry["name"], entry.get("target", "")
        for key, value in (fill or {}).items():
            name, target = name.replace(key, value), target.replace(key, value)
        if entry["type"] == "pax_global":
            info = tarfile.TarInfo.create_pax_global_header({"comment": name})
            out += info
            continue
        info = tarfile.TarInfo()
        info.name, info.linkname, info.type = name, target, _TYPES[entry["type"]]
        info.mode = int(entry.get("mode", "0755" if entry["type"] == "dir" else "0644"), 8)
        info.uid, info.gid, info.mtime = entry.get("uid", 0), entry.get("gid", 0), entry.get("mtime", 1_600_000_000)
        info.devmajor, info.devminor = entry.get("major", 0), entry.get("minor", 0)
        data = content_of(entry) if entry["type"] == "file" else b""
        info.size = len(data)
        out += info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)
    return out + bytes(1024)


def stream(entries: list[dict[str, Any]], fill: dict[str, str] | None = None) -> io.BytesIO:
    return io.BytesIO(archive(entries, fill))


def build_tree(root: pathlib.Path, entries: list[dict[str, Any]]) -> None:
    """`before` entries and operations, on a directory of our own."""
    for entry in entries:
        path = root / entry.get("name", entry.get("path", "")).strip("/")
        op = entry.get("op")
        if op is not None:
            _operate(root, path, op, entry)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry["type"] == "dir":
            path.mkdir(exist_ok=True)
        elif entry["type"] == "file":
            path.write_bytes(content_of(entry))
        elif entry["type"] == "symlink":
            path.symlink_to(entry["target"])
            continue
        elif entry["type"] == "hardlink":
            path.hardlink_to(root / entry["target"].strip("/"))
        if "mode" in entry:
            path.chmod(int(entry["mode"], 8))


def _operate(root: pathlib.Path, path: pathlib.Path, op: str, entry: dict[str, Any]) -> None:
    import shutil

    if op == "chmod":
        path.chmod(int(entry["mode"], 8))
    elif op == "remove":
        path.unlink()
    elif op == "remove_all":
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif op == "rename":
        # overlayfs refuses to rename a lower directory without redirect_dir; programs then copy, as mv does
        shutil.move(path, root / entry["to"].strip("/"))
    else:
        raise AssertionError(op)


def snapshot(root: str | pathlib.Path) -> dict[str, tuple[Any, ...]]:
    """path -> type, mode, owner, content or target, and the first name of its hard link group."""
    out: dict[str, tuple[Any, ...]] = {}
    inodes: dict[tuple[int, int], str] = {}
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files]):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            relative = os.path.relpath(path, root)
            kind = stat.S_IFMT(info.st_mode)
            data: Any = None
            if stat.S_ISREG(info.st_mode):
                data = pathlib.Path(path).read_bytes()
            elif stat.S_ISLNK(info.st_mode):
                data = os.readlink(path)
            group = inodes.setdefault((info.st_dev, info.st_ino), relative) if kind != stat.S_IFDIR else ""
            out[relative] = (kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, data, group)
    return out


def listing(view: View) -> list[str]:
    return sorted(found.path[1:] + ("/" if stat.S_ISDIR(found.info.st_mode) else "") for found in view.walk())
