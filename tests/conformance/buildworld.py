"""A store, a base image and a context for the tables of builds."""

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from boxship.build.progress import Event
from boxship.engine.build import BuildOptions, build
from boxship.engine.store import Store
from boxship.images import store as images
from boxship.layers.view import View, is_whiteout
from boxship.state import db as database
from boxship.state import images as rows
from boxship.state import layers as layer_rows
from tests import stores
from tests.tables import table

CAN_RUN = importlib.util.find_spec("boxship.engine.task") is not None and os.geteuid() == 0


def needs_run(case: dict[str, Any]) -> bool:
    text = case["dockerfile"] + "".join(entry["dockerfile"] for entry in case.get("bases", []))
    return any(line.strip().upper().startswith(("RUN ", "RUN\t", "ONBUILD RUN")) for line in text.splitlines())


class World:
    """One store with the table's base image under the names busybox and alpine."""

    def __init__(self, root: Path) -> None:
        from boxship.config import Paths

        paths = Paths(str(root / "store"), str(root / "run"))
        self.root = root
        self.store = Store(paths, database.connect(paths))
        self.events: list[Event] = []

    def close(self) -> None:
        """Take down what RUN steps have left on the machine: the store's fork server, bridge, nft table and cgroups."""
        env = {**os.environ, "BOXSHIP_ROOT": self.store.paths.root, "BOXSHIP_RUN": self.store.paths.run}
        stores.remove(stores.Store(self.store.paths, self.store.tag, env))

    def add_base(self, *names: str) -> str:
        base = table("build/recorded")["base"]
        directory = Path(self.store.paths.tmp) / "base"
        directory.mkdir()
        directory.chmod(0o755)
        write_tree(directory, base["entries"])
        _busybox(directory)
        for path in directory.rglob("*"):
            os.chown(path, 0, 0, follow_symlinks=False)
        layer = images.add_built_layer(self.store, str(directory), None)
        document = {
            "architecture": _architecture(),
            "os": "linux",
            "config": base["config"],
            "created": "2020-01-01T00:00:00Z",
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}],
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        }
        return images.put_built(self.store, document, [f"docker.io/library/{name}:latest" for name in names])

    def build(self, context: Path, dockerfile: str = "", **more: Any) -> "Result":
        self.events = []
        image_id = build(self.store, BuildOptions(str(context), dockerfile, **more), self.events.append)
        return Result(self.store, image_id)

    def names(self, kind: str) -> list[str]:
        started = {event.step: event.text for event in self.events if event.kind == "start"}
        return [started[event.step] for event in self.events if event.kind == kind]


class Result:
    def __init__(self, store: Store, image_id: str) -> None:
        self.id = image_id
        row = rows.get(store.db, image_id)
        assert row is not None
        self.document: dict[str, Any] = json.loads(row.config)
        self.config: dict[str, Any] = self.document["config"]
        self.layers = layer_rows.of_image(store.db, image_id)
        self._paths = store.paths
        self._cache: dict[int, dict[str, dict[str, Any]]] = {}

    def view(self, count: int | None = None) -> View:
        """The file system of the first `count` layers."""
        chosen = self.layers if count is None else self.layers[:count]
        return View([f"{self._paths.layers}/{layer.dir}" for layer in reversed(chosen)])

    def tree(self, count: int | None = None) -> dict[str, dict[str, Any]]:
        layers = len(self.layers) if count is None else count
        return listing(self.view(layers)) if layers else {}

    def whiteouts(self, base: int) -> list[str]:
        """Paths that the layers above the first `base` delete, and that the image does not have again."""
        found = set()
        for layer in self.layers[base:]:
            top = f"{self._paths.layers}/{layer.dir}"
            for folder, _, files in os.walk(top):
                paths = (f"{folder}/{name}" for name in files)
                found |= {path[len(top) + 1 :] for path in paths if is_whiteout(os.lstat(path))}
        view = self.view()
        return sorted(path for path in found if view.find("/" + path, follow_last=False) is None)

    def text(self, path: str) -> str:
        data = self.view().read("/" + path)
        assert data is not None, f"{path} is not in the image"
        return data.decode()


def listing(view: View) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    inodes: dict[tuple[int, int], str] = {}
    for node in view.walk("/"):
        info, path = node.info, node.path[1:]
        entry: dict[str, Any] = {"uid": info.st_uid, "gid": info.st_gid}
        if stat.S_ISLNK(info.st_mode):
            entry |= {"type": "symlink", "target": os.readlink(node.real)}
        elif stat.S_ISDIR(info.st_mode):
            entry |= {"type": "dir", "mode": f"{stat.S_IMODE(info.st_mode):04o}"}
        elif info.st_nlink > 1 and inodes.setdefault((info.st_dev, info.st_ino), path) != path:
            entry = {"type": "hardlink", "target": inodes[(info.st_dev, info.st_ino)]}
        else:
            data = Path(node.real).read_bytes()
            entry |= {"type": "file", "mode": f"{stat.S_IMODE(info.st_mode):04o}", "sha256": hashlib.sha256(data).hexdigest()}
        found[path] = entry
    return found


def write_tree(directory: Path, entries: list[dict[str, Any]]) -> None:
    modes = []
    for entry in entries:
        path = directory / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry["type"] == "symlink":
            path.symlink_to(entry["target"])
            continue
        if entry["type"] == "dir":
            path.mkdir(exist_ok=True)
        else:
            data = base64.b64decode(entry["content_base64"]) if "content_base64" in entry else entry.get("content", "").encode()
            path.write_bytes(data)
        if "uid" in entry:
            os.chown(path, entry["uid"], entry["gid"])
        modes.append((path, int(entry["mode"], 8)))
    for path, mode in modes:
        path.chmod(mode)


def write_context(directory: Path, case: dict[str, Any]) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    base = table("build/recorded")["contexts"].get(case.get("context_base"), [])
    write_tree(directory, [*base, *case["context"]])


def dockerfile_of(directory: Path, case: dict[str, Any], text: str) -> str:
    """The path for -f: the one in the context when the case says so, else a file outside."""
    inside = case.get("dockerfile_in_context")
    if inside:
        return str(directory / inside)
    outside = directory.parent / f"{directory.name}.Dockerfile"
    outside.write_text(text)
    return str(outside)


def _architecture() -> str:
    from boxship.oci.platform import host

    return host().architecture


def _busybox(directory: Path) -> None:
    """bin/busybox with every applet a hard link, where the machine has a static one; else no programs at all."""
    found = shutil.which("busybox")
    if not found:
        return
    program = directory / "bin/busybox"
    shutil.copyfile(found, program)
    program.chmod(0o755)
    applets = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet not in ("busybox", "adduser", "addgroup"):
            os.link(program, directory / "bin" / applet)
    for name, script in (("adduser", _ADDUSER), ("addgroup", _ADDGROUP)):
        (directory / "bin" / name).write_text(script)
        (directory / "bin" / name).chmod(0o755)


# the recorded base had such scripts, for not every busybox has these applets
_ADDGROUP = """#!/bin/sh
gid=
while [ $# -gt 1 ]; do
  case $1 in -g) gid=$2; shift 2 ;; -S) shift ;; *) break ;; esac
done
[ -n "$gid" ] || { gid=1000; while cut -d: -f3 /etc/group | grep -qx $gid; do gid=$((gid + 1)); done; }
echo "$1:x:$gid:" >> /etc/group
"""
_ADDUSER = """#!/bin/sh
uid= group= home=
while [ $# -gt 1 ]; do
  case $1 in -u) uid=$2; shift 2 ;; -G) group=$2; shift 2 ;; -h) home=$2; shift 2 ;; -D|-S|-H) shift ;; *) break ;; esac
done
name=$1
[ -n "$uid" ] || { uid=1000; while cut -d: -f3 /etc/passwd | grep -qx $uid; do uid=$((uid + 1)); done; }
[ -n "$home" ] || home=/home/$name
if [ -n "$group" ]; then gid=$(grep "^$group:" /etc/group | cut -d: -f3)
else gid=$uid; echo "$name:x:$gid:" >> /etc/group; fi
echo "$name:x:$uid:$gid:Linux User,,,:$home:/bin/sh" >> /etc/passwd
echo "$name:!:0:0:99999:7:::" >> /etc/shadow
mkdir -p $home && chown $uid:$gid $home && chmod 2755 $home
"""


def skip_without_run(case: dict[str, Any]) -> None:
    if needs_run(case) and not CAN_RUN:
        pytest.skip("RUN needs root and the engine's tasks")
    if needs_run(case) and not shutil.which("busybox"):
        pytest.skip("the base image needs a static busybox on this machine")
