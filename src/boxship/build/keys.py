"""The cache key of a step, and what it was made of. Pure but for reading the trees it is given.

key = H(parent, operation, content of inputs). `parent` is what the parent's file system is (its chain ID) together with
the base image's ID: a base image that differs only in its config is another base. A process's key holds its arguments
and environment, so ARG counts once it is declared; COPY's holds names, types, modes, owners, links and contents, no
times. The parts are kept beside the key: they say later why a step missed.
"""

from __future__ import annotations

import os
import stat

from boxship.build import graph
from boxship.build.record import record
from boxship.fastjson import dumps
from boxship.oci.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.build.tree import Node, Tree

VERSION = 1
"""Counts up when the same inputs begin to give another result."""


@record
class Key:
    digest: str
    parts: dict[str, Any]


def make(parts: dict[str, Any]) -> Key:
    return Key(sha256(text_of(parts).encode()).hexdigest(), parts)


def text_of(parts: dict[str, Any]) -> str:
    """Compact JSON, ASCII only, sorted by name: what is hashed and what is kept."""
    return dumps({name: dict(sorted(part.items())) if type(part) is dict else part for name, part in sorted(parts.items())})


def of(op: graph.Op, parent: str, inputs: dict[str, str]) -> Key:
    """`inputs`: content digests by the name of the source."""
    return make({"version": VERSION, "parent": parent, **_operation(op), "inputs": inputs})


def _operation(op: graph.Op) -> dict[str, Any]:
    if isinstance(op, graph.RunProcess):
        script = [op.script.name, op.script.data] if op.script else None
        place = {"cwd": op.cwd, "user": op.user, "hostname": op.hostname}
        return {"op": "run", "argv": op.argv, "env": op.env, "script": script, **place}
    if isinstance(op, graph.MakeDirectory):
        return {"op": "mkdir", "path": op.path, "user": op.user}
    if isinstance(op, graph.CopyFiles):
        return {
            "op": "add" if op.unpack else "copy",
            "sources": [source_name(source) for source in op.sources],
            "dest": op.dest,
            "chown": op.chown,
            "chmod": op.chmod,
        }
    return {"op": "from", "image": op.image.id}


def source_name(source: graph.Source) -> str:
    if isinstance(source, graph.TreeSource):
        return f"context:{source.path}" if source.vertex is None else f"stage:{source.path}"
    if isinstance(source, graph.UrlSource):
        return source.url
    return f"inline:{source.name}"


def content(tree: Tree, nodes: list[tuple[str, Node]], owners: bool) -> str:
    """One digest over whole trees. `nodes`: (the name under which it is copied, where it begins)."""
    state = sha256()
    links: dict[tuple[int, int], str] = {}
    for name, node in nodes:
        pending = [(name, node)]
        while pending:
            path, entry = pending.pop()
            state.update(_line(tree, path, entry, owners, links))
            if stat.S_ISDIR(entry.info.st_mode):
                inside = [(f"{path}/{child.path.rpartition('/')[2]}", child) for child in tree.children(entry)]
                pending.extend(reversed(inside))
    return state.hexdigest()


def _line(tree: Tree, path: str, node: Node, owners: bool, links: dict[tuple[int, int], str]) -> bytes:
    info = node.info
    mode = info.st_mode
    if not owners and info.st_nlink == 1 and stat.S_ISREG(mode):
        # nearly all: ten thousand of them in a context are common
        return f"{path}\0{mode:o}\0{tree.digest(node)}\0\0".encode(errors="surrogateescape")
    fields: list[str] = [path, f"{mode:o}"]
    if stat.S_ISREG(mode):
        fields.append(tree.digest(node))
        if info.st_nlink > 1:
            fields.append(links.setdefault((info.st_dev, info.st_ino), path))
    elif stat.S_ISLNK(info.st_mode):
        fields.append(os.readlink(node.real))
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        fields.append(str(info.st_rdev))
    if owners:
        from boxship.build.tree import xattrs

        fields.append(f"{info.st_uid}:{info.st_gid}")
        fields.extend(f"{name}={value.hex()}" for name, value in xattrs(node).items())
    return "\0".join(fields).encode(errors="surrogateescape") + b"\0\0"
