"""Hostile images, made by hand: what a registry or an archive could bring."""

import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from tests import bases, stores

Entry = tuple[bytes, bytes, int]
Put = Callable[..., str]
"""kind of tarfile (REGTYPE...), content or link target, mode"""


def file(content: str | bytes, mode: int = 0o644) -> Entry:
    return tarfile.REGTYPE, content.encode() if isinstance(content, str) else content, mode


def link(target: str) -> Entry:
    return tarfile.SYMTYPE, target.encode(), 0o777


def directory(mode: int = 0o755) -> Entry:
    return tarfile.DIRTYPE, b"", mode


def layer(entries: Mapping[str, Entry | None]) -> bytes:
    """A layer's tar; None hides what the layers below have under that name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in entries.items():
            folder, _, last = name.rpartition("/")
            info = tarfile.TarInfo(name if entry else f"{folder}/.wh.{last}".lstrip("/"))
            info.type, content, info.mode = entry or file(b"")
            if info.type == tarfile.SYMTYPE:
                info.linkname, content = content.decode(), b""
            elif info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                info.devmajor, info.devminor = (int(part) for part in content.split(b":"))
                content = b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def archive(path: pathlib.Path, name: str, entries: Mapping[str, Entry | None], config: Any = None) -> pathlib.Path:
    """A Docker archive of busybox with one layer more; `config` goes over the image's Config, as it is."""
    layers = [bases.tarball("busybox").read_bytes(), layer(entries)]
    document = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[bases.machine()],
        "os": "linux",
        "config": config if config is not None and not isinstance(config, dict) else {**bases.config("busybox"), **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]},
        "history": [],
    }
    text = json.dumps(document).encode()
    digest = hashlib.sha256(text).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [f"{name}:latest"], "Layers": ["0/layer.tar", "1/layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        _add(tar, f"{digest}.json", text)
        for number, data in enumerate(layers):
            _add(tar, f"{number}/layer.tar", data)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return path


def put(store: stores.Store, folder: pathlib.Path, name: str, entries: Mapping[str, Entry | None], config: Any = None) -> str:
    """Into the store, under `name`."""
    store.run("load", "-i", str(archive(folder / f"{name}.tar", name, entries, config)))
    return name


def clean(text: str) -> None:
    """No traceback, and no error of ours that we did not mean."""
    assert "Traceback" not in text, text
    assert "internal error" not in text, text


def fork_log(store: stores.Store) -> str:
    """What the fork server and everything forked from it complained of."""
    path = pathlib.Path(store.paths.run, "fork.log")
    return path.read_text() if path.exists() else ""
