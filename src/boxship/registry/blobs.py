"""Reading one blob: a stream that survives a broken connection, and never gives more bytes than were promised."""

from typing import TYPE_CHECKING, Self

from boxship.errors import RegistryError
from boxship.registry.auth import repository_scope
from boxship.registry.faults import ConnectFault

if TYPE_CHECKING:
    from boxship.oci.descriptor import Descriptor
    from boxship.registry.hosts import Endpoint
    from boxship.registry.transport import Answer, Transport

_RESUMES = 5
_CHUNK = 1 << 20


class BlobStream:
    """The bytes of a blob from `offset` to its end. Whoever reads hashes: nothing here is verified but the length.

    A connection that breaks is opened anew at the position reached, five times in a row without a byte at most.
    """

    def __init__(self, transport: "Transport", endpoint: "Endpoint", path: str, blob: "Descriptor", offset: int = 0) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._target = f"/v2/{path}/blobs/{blob.digest}"
        self._scopes = (repository_scope(path, "pull"),)
        self._digest = blob.digest
        self._size = blob.size
        self._at = offset
        self._failures = 0
        self._encoded = False
        # with nothing left there is nothing to ask for
        self._answer: Answer | None = self._open() if self._at < self._size else None

    @property
    def position(self) -> int:
        """How many bytes of the blob are read, those before `offset` included."""
        return self._at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _open(self) -> "Answer":
        fields = {"Range": f"bytes={self._at}-"} if self._at and not self._encoded else {}
        answer = self._transport.request(self._endpoint, "GET", self._target, self._scopes, fields=fields, verified=True)
        self._encoded = bool(answer.header("Content-Encoding"))
        if answer.status == 206 and fields:
            if not answer.header("Content-Range").startswith(f"bytes {self._at}-"):
                answer.close()
                raise RegistryError(f"the registry sent another part of {self._digest} than was asked for")
        else:
            self._skip(answer)
        return answer

    def _skip(self, answer: "Answer") -> None:
        """Read over what we have already, for a registry that knows no ranges."""
        left = self._at
        while left:
            data = answer.read(min(left, _CHUNK))
            if not data:
                raise ConnectFault(f"the registry sent less of {self._digest} than before", again=True)
            left -= len(data)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (all that is left for -1), b"" at the end. Raises RegistryError."""
        left = self._size - self._at
        if size == 0 or self._answer is None:
            return b""
        # one byte more than is left, so that a blob that is too long is noticed
        wanted = left + 1 if size < 0 else min(size, left + 1)
        while True:
            try:
                data = self._answer.read(wanted)
            except ConnectFault as fault:
                self._resume(fault)
                continue
            if not data and left:
                self._resume(ConnectFault(f"unexpected end of {self._digest} after {self._at} bytes", again=True))
                continue
            break
        if len(data) > left:
            self.close()
            raise RegistryError(f"the registry sent more than {self._size} bytes of {self._digest}")
        self._failures = 0
        self._at += len(data)
        return data

    def _resume(self, fault: ConnectFault) -> None:
        while True:
            self.close()
            self._failures += 1
            if self._failures > _RESUMES or not fault.again:
                raise fault
            self._transport.pause(min(self._failures, 3))
            try:
                self._answer = self._open()
                return
            except ConnectFault as another:
                fault = another
