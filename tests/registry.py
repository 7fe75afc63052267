"""A real registry on loopback (Debian's docker-registry) that serves the base images as a mirror of docker.io.

So the FROM lines of the examples stay as they are. The images are put there over the registry's own protocol by the
few requests below, not by the program under test.
"""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from tests import bases

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}, maxthreads: 100}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def available() -> bool:
    return shutil.which("docker-registry") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclasses.dataclass
class Registry:
    """One that listens; `host` is 127.0.0.1:PORT, which is also the first part of its images' names."""

    host: str
    folder: pathlib.Path

    def request(self, method: str, path: str, data: bytes | None = None, **headers: str) -> "tuple[int, dict[str, str], bytes]":
        names = {key.replace("_", "-"): value for key, value in headers.items()}
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        asked = urllib.request.Request(url, data=data, method=method, headers=names)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(asked, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def blob(self, repository: str, data: bytes) -> str:
        """Upload; returns the digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return digest
        status, headers, body = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert status == 202, body
        location = headers["Location"]
        joint = "&" if "?" in location else "?"
        target = f"{location}{joint}digest={urllib.parse.quote(digest)}"
        status, _, body = self.request("PUT", target, data, Content_Type="application/octet-stream")
        assert status == 201, body
        return digest

    def image(self, reference: str, layers: "list[bytes]", config: dict[str, object]) -> str:
        """Put an image of uncompressed layers there as REPOSITORY:TAG; returns the manifest's digest."""
        repository, _, tag = reference.rpartition(":")
        packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
        diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        document = {
            "architecture": _ARCHITECTURES.get(bases.machine(), bases.machine()),
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "a base image for tests"} for _ in layers],
        }
        text = json.dumps(document).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG_TYPE, "size": len(text), "digest": self.blob(repository, text)},
            "layers": [{"mediaType": _LAYER, "size": len(each), "digest": self.blob(repository, each)} for each in packed],
        }
        status, headers, body = self.request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), Content_Type=_MANIFEST)
        assert status == 201, body
        return headers["Docker-Content-Digest"]

    def base(self, name: str) -> None:
        """Put one of `bases.NAMES` there under the path that docker.io has for it."""
        repository, _, tag = name.partition(":")
        reference = f"library/{repository}:{tag or 'latest'}"
        if self.request("HEAD", f"/v2/{reference.replace(':', '/manifests/')}", Accept=_MANIFEST)[0] != 200:
            self.image(reference, [bases.tarball(name).read_bytes()], bases.config(name))

    def toml(self, folder: pathlib.Path) -> str:
        """A boxship.toml that makes this registry the mirror of docker.io: its path."""
        path = folder / "boxship.toml"
        path.write_text(f'[registry."docker.io"]\nmirrors = ["http://{self.host}"]\n', encoding="utf-8")
        return str(path)


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[Registry]:
    """docker-registry with its storage below `folder`, until the end of the block. Several may share one storage."""
    registry = Registry(f"127.0.0.1:{free_port()}", folder)
    port = registry.host.partition(":")[2]
    settings = folder / f"registry-{port}.yml"
    settings.write_text(_CONFIG.format(root=folder / "storage", port=port), encoding="utf-8")
    with open(folder / "registry.log", "ab") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                if registry.request("GET", "/v2/")[0] == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"docker-registry does not answer: {(folder / 'registry.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield registry
    finally:
        process.terminate()
        process.wait(10)
