"""The OCI distribution client: what images, pull and push ask of registries.

    client = Client(config.settings())
    found = client.resolve(ref)                      the manifest or index behind a name
    data = client.manifest(ref, entry)               the manifest an index speaks of, verified
    with client.open_blob(ref, layer) as stream:     a layer; whoever reads, hashes
        stream.read(65536)

Mirrors are asked first; what a mirror can't give comes from the registry. One Client serves many threads.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from boxship.errors import BoxshipError, InvalidArgument, RegistryError, Unauthorized, Unsupported
from boxship.oci import digest as digests
from boxship.oci import document
from boxship.oci.descriptor import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from boxship.oci.manifest import MANIFEST_MAX, agree, kind_of
from boxship.oci.reference import Reference
from boxship.registry import faults, headers, hosts
from boxship.registry.auth import Lookup, repository_scope
from boxship.registry.blobs import BlobStream
from boxship.registry.credentials import Store
from boxship.registry.push import EXISTS, MOUNTED, PUSHED, Open, Progress, Push
from boxship.registry.transport import Transport

if TYPE_CHECKING:
    from boxship.registry.hosts import Endpoint
    from boxship.registry.transport import Answer

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, "*/*;q=0.1"))
_TAGS_MAX = 4 << 20
_PAGES_MAX = 1000
_BODY_ATTEMPTS = 3

T = TypeVar("T")


class Resolved:
    """What a name stands for: the descriptor, the bytes it describes, and who gave them."""

    __slots__ = ("body", "descriptor", "endpoint")

    def __init__(self, descriptor: Descriptor, body: bytes, endpoint: "Endpoint") -> None:
        self.descriptor = descriptor
        self.body = body
        self.endpoint = endpoint


class Client:
    """Talks to registries as `settings` (boxship.toml) and ~/.docker/config.json say.

    `credentials` gives those of a registry instead of config.json: what came with an API request.
    """

    def __init__(
        self, settings: Mapping[str, Any], *, credentials: Lookup | None = None, transport: Transport | None = None
    ) -> None:
        self._settings = settings
        self._store = Store()
        self._transport = transport or Transport(credentials or self._store.lookup)
        # the endpoint that gave a repository's manifest is the first to be asked for its blobs
        self._sources: dict[str, Endpoint] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def warnings(self) -> list[str]:
        """What registries want users to know (Warning headers), and which credential helpers failed."""
        return [*self._transport.warnings, *self._store.complaints]

    def resolve(self, ref: Reference) -> Resolved:
        """The manifest or index that `ref` names (`latest` by default), fetched at once and verified.

        Raises NotFound, Unauthorized, RegistryError, or Unsupported for Docker's schema 1.
        """
        ref = ref.with_default_tag()
        name = ref.digest or ref.tag or ""

        def ask(endpoint: "Endpoint") -> Resolved:
            answer, body = self._get_manifest(endpoint, ref.path, name, MANIFEST_MAX)
            found = _describe(answer, body, ref.digest)
            self._sources[ref.name] = endpoint
            return Resolved(found, body, endpoint)

        return self._ask_all(ref, ask)

    def manifest(self, ref: Reference, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest by its descriptor, of which size and digest are verified. Raises as `resolve` does."""
        if descriptor.size > MANIFEST_MAX:
            raise RegistryError(f"the manifest is larger than {MANIFEST_MAX} bytes: {descriptor.digest}")
        digests.validate(descriptor.digest)

        def ask(endpoint: "Endpoint") -> bytes:
            _, body = self._get_manifest(endpoint, ref.path, descriptor.digest, descriptor.size)
            _verify(body, descriptor.digest)
            return body

        return self._ask_all(ref, ask)

    def open_blob(self, ref: Reference, descriptor: Descriptor, offset: int = 0) -> BlobStream:
        """A stream of the blob's bytes from `offset`; the caller hashes. Raises NotFound, Unauthorized, RegistryError."""
        digests.validate(descriptor.digest)
        if not 0 <= offset <= descriptor.size:
            raise InvalidArgument(f"the offset is outside of the blob: {offset}")
        return self._ask_all(
            ref, lambda endpoint: BlobStream(self._transport, endpoint, ref.path, descriptor, offset), manifest=False
        )

    def has_blob(self, ref: Reference, descriptor: Descriptor) -> bool:
        """Whether the repository of the registry itself, not of a mirror, holds the blob."""
        digests.validate(descriptor.digest)
        return self._push(ref, lambda push: push.has(descriptor.digest))

    def push_blob(
        self,
        ref: Reference,
        descriptor: Descriptor,
        open_: Open,
        mount_from: Reference | Sequence[Reference] | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Bring a blob into the repository: "exists", "mounted" or "pushed" says how.

        `open_` opens the blob's file anew at each attempt; `mount_from` names repositories that are known to hold it,
        tried in order (see push.mount_candidates); `progress` is called with the bytes sent so far.
        """
        digests.validate(descriptor.digest)
        sources = [] if mount_from is None else [mount_from] if isinstance(mount_from, Reference) else list(mount_from)

        def act(push: Push) -> str:
            if push.has(descriptor.digest):
                return EXISTS
            for source in sources:
                if source.domain == ref.domain and source.path != ref.path and push.mount(descriptor.digest, source.path):
                    return MOUNTED
            push.upload(descriptor, open_, progress)
            return PUSHED

        return self._push(ref, act)

    def push_manifest(self, ref: Reference, data: bytes, media_type: str) -> str:
        """Put a manifest or index under the tag of `ref` (or its digest); its digest. All it speaks of must be there."""
        full = ref.with_default_tag()
        return self._push(ref, lambda push: push.manifest(full.digest or full.tag or "", data, media_type))

    def tags(self, ref: Reference) -> list[str]:
        """All tags of a repository, in the registry's order."""
        return self._ask_all(ref, lambda endpoint: self._tags(endpoint, ref.path), push=True, manifest=False)

    # - how endpoints are asked -------------------------------------------------------------------------------------

    def _get_manifest(self, endpoint: "Endpoint", path: str, name: str, limit: int) -> "tuple[Answer, bytes]":
        """The answer and its body; asked again when the connection breaks in the middle of it."""
        scopes = (repository_scope(path, "pull"),)
        target = f"/v2/{path}/manifests/{name}"
        for attempt in range(1, _BODY_ATTEMPTS + 1):
            answer = self._transport.request(endpoint, "GET", target, scopes, fields={"Accept": ACCEPT}, verified=":" in name)
            try:
                return answer, answer.body(limit, "manifest")
            except faults.ConnectFault as fault:
                if attempt == _BODY_ATTEMPTS or not fault.again:
                    raise
            self._transport.pause(attempt)
        raise AssertionError("unreachable")

    def _ask_all(self, ref: Reference, ask: "Callable[[Endpoint], T]", *, push: bool = False, manifest: bool = True) -> T:
        """The first good answer of the endpoints in order; else the registry's own fault, with the mirrors' as a hint."""
        found = hosts.endpoints(self._settings, ref.domain, push=push)
        source = self._sources.get(ref.name)
        if source in found:
            found.sort(key=lambda endpoint: endpoint != source)
        faulty: list[tuple[Endpoint, BoxshipError]] = []
        for endpoint in found:
            try:
                return ask(endpoint)
            except (RegistryError, Unauthorized, Unsupported) as fault:
                faulty.append((endpoint, fault))
        own = next(fault for endpoint, fault in faulty if not endpoint.mirror)
        error = faults.pull_error(ref, own, manifest=manifest) if isinstance(own, RegistryError) else own
        mirrors = [f"mirror {endpoint}: {fault.message}" for endpoint, fault in faulty if endpoint.mirror]
        if mirrors:
            error.hint = "; ".join([*([error.hint] if error.hint else []), *mirrors])
        raise error

    def _push(self, ref: Reference, act: Callable[[Push], T]) -> T:
        endpoint = hosts.endpoints(self._settings, ref.domain, push=True)[-1]
        try:
            return act(Push(self._transport, endpoint, ref.path))
        except RegistryError as fault:
            raise faults.other_error(ref, fault) from None

    def _tags(self, endpoint: "Endpoint", path: str) -> list[str]:
        target: str | None = f"/v2/{path}/tags/list?n=1000"
        found: list[str] = []
        for _ in range(_PAGES_MAX):
            if target is None:
                return found
            answer = self._transport.request(endpoint, "GET", target, (repository_scope(path, "pull"),))
            found += read_tags(answer.body(_TAGS_MAX, "list of tags"))
            target = headers.next_page(answer.url, answer.header("Link"))
        raise RegistryError(f"the list of tags has more than {_PAGES_MAX} pages")


def read_tags(body: bytes) -> list[str]:
    """The tags of one page. Raises RegistryError for anything else."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryError("the registry's list of tags can't be read") from None
    tags = raw.get("tags", []) if isinstance(raw, dict) else None
    tags = [] if tags is None and isinstance(raw, dict) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryError("the registry's list of tags can't be read")
    return tags


def _verify(body: bytes, digest: str) -> None:
    found = digests.of(body, digests.algorithm(digest))
    if found != digest:
        raise RegistryError(f"manifest verification failed for digest {digest}", hint="the registry or mirror gave other content")


def _describe(answer: "Answer", body: bytes, digest: str | None) -> Descriptor:
    """The descriptor of an answered manifest. Raises RegistryError for one that is none or is not what was asked for."""
    if digest:
        _verify(body, digest)
    said = answer.header("Docker-Content-Digest")
    if not digest and digests.is_digest(said):
        _verify(body, said)
        digest = said
    served_as = answer.header("Content-Type").partition(";")[0].strip().lower()
    try:
        if kind_of(served_as) == "schema1":
            media_type = served_as
        else:
            media_type = agree(document.load(body, MANIFEST_MAX, "manifest"), served_as)
    except InvalidArgument as error:
        raise RegistryError(f"{headers.redact(answer.url)}: {error.message}", hint="is this address a registry?") from None
    if kind_of(media_type) == "schema1":
        raise Unsupported(
            "unsupported image manifest: Docker schema 1",
            hint="ask the author of the image to publish it as an OCI image or as Docker schema 2",
        )
    return Descriptor(media_type, digest or digests.of(body), len(body))
