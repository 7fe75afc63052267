"""Push and pull against a real registry, judged by skopeo."""

import io
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from boxship.engine.store import Store
from boxship.errors import BoxshipError, RegistryError
from boxship.images import store as images
from boxship.images.pull import pull
from boxship.images.push import push
from boxship.layers.apply import apply
from boxship.layers.diff import chunks
from boxship.layers.view import View
from boxship.oci import digest as digests
from boxship.oci import reference as references
from boxship.oci.descriptor import OCI_CONFIG, OCI_LAYER_ZSTD, OCI_MANIFEST, Descriptor
from boxship.oci.manifest import build_manifest
from boxship.registry.client import Client
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows
from tests.conformance.layer_tools import archive, listing
from tests.runtime.images_tools import inspect, need, new_store, registry, run

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[str]:
    with registry(tmp_path) as address:
        yield address


def build(store: Store, base: pathlib.Path, reference: str, files: dict[str, str]) -> str:
    """A two-layer image: the second replaces a file, deletes one and hides a directory."""
    first = [{"type": "dir", "name": "etc", "mode": "0755"}, {"type": "dir", "name": "old", "mode": "0755"}]
    first += [{"type": "file", "name": "old/x", "content": "x"}, {"type": "file", "name": "etc/gone", "content": "y"}]
    first += [{"type": "file", "name": f"etc/{name}", "content": text} for name, text in files.items()]
    second = [{"type": "file", "name": "etc/.wh.gone"}, {"type": "file", "name": "old/.wh..wh..opq"}]
    second += [{"type": "file", "name": "etc/new", "content": "n", "mode": "4755", "uid": 7, "gid": 8}]
    parent = None
    lowers: list[str] = []
    diff_ids = []
    for number, entries in enumerate((first, second)):
        folder = base / f"{store.paths.root.rpartition('/')[2]}-{number}"
        folder.mkdir()
        apply(io.BytesIO(archive(entries)), str(folder), lowers)
        layer = images.add_built_layer(store, str(folder), parent)
        parent = layer.chain_id
        lowers.insert(0, f"{store.paths.layers}/{layer.dir}")
        diff_ids.append(layer.diff_id)
    document: dict[str, Any] = {
        "created": "2024-01-02T03:04:05.6Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "one"}, {"created_by": "ENV x", "empty_layer": True}, {"created_by": "two"}],
    }
    return images.put_built(store, document, [str(references.parse(reference).with_default_tag())])


def tree(store: Store, image_id: str) -> list[str]:
    return listing(View([f"{store.paths.layers}/{layer.dir}" for layer in reversed(layer_rows.of_image(store.db, image_id))]))


def test_push_then_pull(host: str, tmp_path: pathlib.Path) -> None:
    need("skopeo")
    ref = references.parse(f"{host}/team/app:1")
    store, other = new_store(tmp_path, "one"), new_store(tmp_path, "two")
    image_id = build(store, tmp_path, str(ref), {"a": "1"})
    documents: list[dict[str, Any]] = []
    digest = push(store, Client({}), ref, documents.append)
    assert documents[0] == {"status": f"The push refers to repository [{host}/team/app]"}
    assert [one["status"] for one in documents if "status" in one].count("Pushed") == 2
    assert inspect(f"docker://{ref}")["Digest"] == digest
    documents.clear()
    assert push(store, Client({}), ref, documents.append) == digest
    assert [one["status"] for one in documents if "status" in one].count("Layer already exists") == 2

    documents.clear()
    pulled = pull(other, Client({}), ref, progress=documents.append)
    assert (pulled.image_id, pulled.digest, pulled.fresh) == (image_id, digest, True)
    statuses = [one["status"] for one in documents]
    assert statuses[0] == "Pulling from team/app"
    assert statuses[-2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {host}/team/app:1"]
    assert statuses.count("Pull complete") == 2
    assert tree(other, image_id) == tree(store, image_id) == ["etc/", "etc/a", "etc/new", "old/"]
    row = image_rows.get(other.db, image_id)
    assert row is not None and image_rows.repo_digests(other.db, image_id) == [(f"{host}/team/app", digest)]
    assert not os.listdir(other.paths.tmp)
    assert not os.listdir(f"{other.paths.content}/ingest")
    assert not pull(other, Client({}), ref).fresh
    # what was pulled goes out as it came: the same digest under another name
    second = references.parse(f"{host}/team/again:2")
    with other.db:
        image_rows.tag(other.db, str(second), image_id)
    documents.clear()
    assert push(other, Client({}), second, documents.append) == digest
    assert "team" in run("skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/team/again")


def test_cross_repository_mount(host: str, tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path)
    first, second = references.parse(f"{host}/a/x:1"), references.parse(f"{host}/b/y:1")
    image_id = build(store, tmp_path, str(first), {"a": "1"})
    push(store, Client({}), first)
    with store.db:
        image_rows.tag(store.db, str(second), image_id)
    documents: list[dict[str, Any]] = []
    push(store, Client({}), second, documents.append)
    assert [one["status"] for one in documents if "status" in one].count("Mounted from a/x") == 2


def test_skopeo_image_of_either_kind(host: str, tmp_path: pathlib.Path) -> None:
    need("skopeo")
    store = new_store(tmp_path, "one")
    ref = references.parse(f"{host}/app:1")
    image_id = build(store, tmp_path, str(ref), {"a": "1"})
    push(store, Client({}), ref)
    for number, kind in enumerate(("oci", "v2s2")):
        copy = references.parse(f"{host}/copy{number}:1")
        run(
            "skopeo",
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--format",
            kind,
            f"docker://{ref}",
            f"docker://{copy}",
        )
        other = new_store(tmp_path, f"other{number}")
        assert tree(other, pull(other, Client({}), copy).image_id) == tree(store, image_id)


def test_zstd_layers(host: str, tmp_path: pathlib.Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    store, other = new_store(tmp_path, "one"), new_store(tmp_path, "two")
    ref = references.parse(f"{host}/zstd:1")
    image_id = build(store, tmp_path, str(ref), {"a": "1"})
    row = image_rows.get(store.db, image_id)
    assert row is not None
    blobs = [row.config.encode()]
    for layer in layer_rows.of_image(store.db, image_id):
        blobs.append(zstd.compress(b"".join(chunks(f"{store.paths.layers}/{layer.dir}"))))
    types = [OCI_CONFIG, OCI_LAYER_ZSTD, OCI_LAYER_ZSTD]
    parts = [Descriptor(kind, digests.of(blob), len(blob)) for kind, blob in zip(types, blobs, strict=True)]
    client = Client({})
    for part, blob in zip(parts, blobs, strict=True):
        client.push_blob(ref, part, lambda blob=blob: io.BytesIO(blob))
    body = build_manifest(parts[0], parts[1:])
    digest = client.push_manifest(ref, body, OCI_MANIFEST)
    assert pull(other, client, ref) == (image_id, digest, True)
    assert tree(other, image_id) == tree(store, image_id)
    assert push(other, client, ref) == digest


class Broken:
    """A client whose layers stop after a while, or lie."""

    def __init__(self, inner: Client, limit: int, lie: bool = False) -> None:
        self.inner = inner
        self.limit = limit
        self.lie = lie
        self.offsets: list[int] = []

    def resolve(self, ref: Any) -> Any:
        return self.inner.resolve(ref)

    def manifest(self, ref: Any, descriptor: Any) -> bytes:
        return self.inner.manifest(ref, descriptor)

    def open_blob(self, ref: Any, descriptor: Any, offset: int = 0) -> Any:
        self.offsets.append(offset)
        stream = self.inner.open_blob(ref, descriptor, offset)
        if "config" in descriptor.media_type or "image.v1+json" in descriptor.media_type:
            return stream
        return _Short(stream, self.limit, self.lie)


class _Short:
    def __init__(self, stream: Any, limit: int, lie: bool) -> None:
        self.stream, self.left, self.lie = stream, limit, lie

    def read(self, size: int = -1) -> bytes:
        if self.left <= 0 and not self.lie:
            raise RegistryError("the line went dead")
        data = self.stream.read(min(size, max(self.left, 1)))
        self.left -= len(data)
        return bytes(len(data)) if self.lie and self.left <= 0 else data

    def close(self) -> None:
        self.stream.close()


def test_resume_after_a_broken_pull(host: str, tmp_path: pathlib.Path) -> None:
    store, other = new_store(tmp_path, "one"), new_store(tmp_path, "two")
    ref = references.parse(f"{host}/app:1")
    image_id = build(store, tmp_path, str(ref), {"big": "x" * 100 + os.urandom(300_000).hex()})
    push(store, Client({}), ref)
    with pytest.raises(RegistryError, match="the line went dead"):
        pull(other, Broken(Client({}), 100_000), ref)
    assert image_rows.get(other.db, image_id) is None
    assert not os.listdir(other.paths.layers) and not os.listdir(other.paths.tmp)
    again = Broken(Client({}), 1 << 40)
    assert pull(other, again, ref).image_id == image_id
    assert max(again.offsets) > 50_000
    assert tree(other, image_id) == tree(store, image_id)


def test_lying_registry_leaves_nothing(host: str, tmp_path: pathlib.Path) -> None:
    store, other = new_store(tmp_path, "one"), new_store(tmp_path, "two")
    ref = references.parse(f"{host}/app:1")
    image_id = build(store, tmp_path, str(ref), {"big": os.urandom(30_000).hex()})
    push(store, Client({}), ref)
    with pytest.raises(BoxshipError):
        pull(other, Broken(Client({}), 20_000, lie=True), ref)
    assert not os.listdir(other.paths.layers) and not os.listdir(other.paths.tmp)
    assert pull(other, Client({}), ref).image_id == image_id


def test_two_pulls_at_once(host: str, tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path, "one")
    ref = references.parse(f"{host}/app:1")
    image_id = build(store, tmp_path, str(ref), {"a": os.urandom(100_000).hex()})
    push(store, Client({}), ref)
    new_store(tmp_path, "two").db.close()
    got: list[str] = []

    def one() -> None:
        mine = new_store(tmp_path, "two")
        got.append(pull(mine, Client({}), ref).image_id)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [image_id] * 4
    other = new_store(tmp_path, "two")
    assert len(os.listdir(other.paths.layers)) == 2
    assert set(os.listdir(other.paths.layers)) == layer_rows.directories(other.db)
