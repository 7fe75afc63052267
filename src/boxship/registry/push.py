"""Writing to a registry: blobs by one POST and one PUT, or by mounting them from a neighbour; manifests by PUT."""

from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from boxship.errors import BoxshipError, RegistryError
from boxship.oci import digest as digests
from boxship.registry import faults
from boxship.registry.auth import repository_scope
from boxship.registry.headers import clean

if TYPE_CHECKING:
    from boxship.oci.descriptor import Descriptor
    from boxship.registry.hosts import Endpoint
    from boxship.registry.transport import Answer, Transport

Open = Callable[[], IO[bytes]]
Progress = Callable[[int], None]

_ATTEMPTS = 4

EXISTS = "exists"
MOUNTED = "mounted"
PUSHED = "pushed"


# as many as Docker tries before it uploads
_MOUNTS_MAX = 4


def mount_candidates(target: str, known: Sequence[tuple[str, bool]], most: int = _MOUNTS_MAX) -> list[int]:
    """Which of the repositories known to hold a layer to mount it from: their places in `known`, best first.

    `known` holds full names (docker.io/library/x), oldest first, each with whether it was pushed with the credentials in
    use now. Only the target's own registry counts. Own ones come first, then the nearest by path, then the newest, as
    in Docker's push; `most` below 0 means all.
    """
    parts = target.split("/")

    def shared(name: str) -> int:
        pairs = list(zip(parts, name.split("/"), strict=False))
        return next((place for place, (ours, theirs) in enumerate(pairs) if ours != theirs), len(pairs))

    fit = [place for place, (name, _) in enumerate(known) if name.partition("/")[0] == parts[0] and name != target]
    fit.sort(key=lambda place: (not known[place][1], -shared(known[place][0]), -place))
    return fit if most < 0 else fit[:most]


class _Counted:
    """A file on its way out: tells how far it is, and refuses to be shorter or longer than promised."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress | None) -> None:
        self._file = file
        self._size = size
        self._sent = 0
        self._progress = progress

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise BoxshipError(f"can't read the layer: {error.strerror}".lower()) from None
        self._sent += len(data)
        if self._sent > self._size or (not data and self._sent < self._size):
            raise BoxshipError(f"the layer has {self._sent} bytes: its descriptor says {self._size}")
        if self._progress is not None and data:
            self._progress(self._sent)
        return data


class Push:
    """Uploads to one repository of one endpoint."""

    def __init__(self, transport: "Transport", endpoint: "Endpoint", path: str) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._path = path
        self._scopes = (repository_scope(path, "pull,push"),)

    def has(self, digest: str) -> bool:
        """Whether the repository holds a blob already."""
        try:
            self._request("HEAD", f"/v2/{self._path}/blobs/{digest}").discard()
        except faults.HttpFault as fault:
            if fault.status == 404:
                return False
            raise
        return True

    def _request(self, method: str, target: str, scopes: tuple[str, ...] = (), **more: Any) -> "Answer":
        return self._transport.request(self._endpoint, method, target, scopes or self._scopes, **more)

    def mount(self, digest: str, neighbour: str) -> bool:
        """Try to take a blob over from repository `neighbour` of the same registry; False when that can't be."""
        target = f"/v2/{self._path}/blobs/uploads/?mount={quote(digest)}&from={quote(neighbour, safe='')}"
        scopes = tuple(sorted((*self._scopes, repository_scope(neighbour, "pull"))))
        try:
            answer = self._request("POST", target, scopes, body=b"")
        except faults.HttpFault as fault:
            if fault.status in (400, 401, 403, 404, 405):
                return False
            raise
        answer.discard()
        if answer.status == 201:
            return True
        # 202: the registry opened an upload instead, which we don't want
        location = answer.header("Location")
        if location:
            self._forget(answer.url, location)
        return False

    def _forget(self, url: str, location: str) -> None:
        try:
            self._request("DELETE", self._upload_url(url, location), attempts=1).discard()
        except RegistryError:
            pass  # many registries know no DELETE here; they drop idle uploads themselves

    def upload(self, blob: "Descriptor", open_: Open, progress: Progress | None) -> None:
        """Send one blob. A connection that breaks costs a new upload from the start, a few times."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._upload_once(blob, open_, progress)
                return
            except faults.HttpFault as fault:
                # 404: the upload was lost on the registry's side
                if attempt == _ATTEMPTS or not (faults.is_temporary(fault.status, fault.codes) or fault.status == 404):
                    raise
            except faults.ConnectFault as fault:
                if attempt == _ATTEMPTS or not fault.again:
                    raise
            self._transport.pause(attempt)

    def _upload_once(self, blob: "Descriptor", open_: Open, progress: Progress | None) -> None:
        start = self._request("POST", f"/v2/{self._path}/blobs/uploads/", body=b"")
        start.discard()
        location = start.header("Location")
        if start.status != 202 or not location:
            raise RegistryError(f"the registry opened no upload: status {start.status}")
        url = self._upload_url(start.url, location)
        url += f"{'&' if urlsplit(url).query else '?'}digest={quote(blob.digest)}"
        fields = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}

        def body() -> Any:
            return _Counted(open_(), blob.size, progress)

        done = self._request("PUT", url, fields=fields, body=body if blob.size else b"", attempts=1)
        done.discard()
        check_digest(done, blob.digest)

    def _upload_url(self, base: str, location: str) -> str:
        """Where an upload goes on. A registry behind a TLS proxy may say http of itself: it is meant as https."""
        url = urljoin(base, location)
        here, there = urlsplit(base), urlsplit(url)
        if there.scheme not in ("http", "https") or not there.hostname:
            raise RegistryError(f"the registry's upload is at no web address: {clean(location, 200)}")
        if here.scheme == "https" and there.scheme == "http":
            if here.hostname != there.hostname:
                raise RegistryError(f"refused to upload without TLS: {clean(there.netloc, 200)}")
            return urlunsplit((here.scheme, here.netloc, there.path, there.query, ""))
        return url

    def manifest(self, name: str, data: bytes, media_type: str) -> str:
        """Put a manifest under a tag or digest; its digest. The registry must agree on it."""
        digest = digests.of(data)
        fields = {"Content-Type": media_type}
        answer = self._request("PUT", f"/v2/{self._path}/manifests/{name}", fields=fields, body=data)
        answer.discard()
        check_digest(answer, digest)
        return digest


def check_digest(answer: "Answer", digest: str) -> None:
    """Raise RegistryError when the registry says it has stored something else."""
    said = answer.header("Docker-Content-Digest")
    if said and digests.is_digest(said) and digests.algorithm(said) == digests.algorithm(digest) and said != digest:
        raise RegistryError(f"the registry stored {said} in place of {digest}", hint="try again")
