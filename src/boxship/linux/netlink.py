"""The transport of netlink (netlink(7)), without a library: attributes, messages, a socket that asks and is answered.

A request is a `Message`, made by the pure functions of `boxship.linux.rtnetlink` and `boxship.linux.nftables`; any number
of them goes into one send(2), which the kernel works off in order. A socket belongs to the network namespace in which it
was made, wherever its owner goes later, and keeps that namespace alive.

On the hot path: _socket instead of socket, which imports selectors and enum.
"""

import _socket
import os
from errno import EAGAIN, EBADMSG, EINTR
from struct import Struct

from boxship.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    # type, flags, body, the request's name and its object for the error message
    Message = tuple[int, int, bytes, str, str]

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
_NLM_F_CAPPED = 0x100  # in acknowledgements, where these two bits mean something else
_NLM_F_ACK_TLVS = 0x200

NLMSG_ERROR = 2
NLMSG_DONE = 3
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10  # since Linux 4.3: an error does not carry the whole request
_NETLINK_EXT_ACK = 11  # since Linux 4.12: the kernel's own sentence
_NETLINK_GET_STRICT_CHK = 12  # since Linux 4.20: dumps obey the filter in their header

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_U32 = Struct("=I")
_I32 = Struct("=i")

_BUFFER = 1 << 16  # a dump fills at most 32 KiB per message (netlink_dump in the kernel)
_DUMP_ATTEMPTS = 5
_SEND_BUFFER = 100_000  # about half of the usual net.core.wmem_default: what is longer needs more room
_SO_SNDBUFFORCE = 32


# Attributes: made and read


def attribute(kind: int, payload: bytes) -> bytes:
    length = len(payload) + 4
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, os.fsencode(value) + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))


def malformed(what: str) -> KernelError:
    return KernelError("netlink", EBADMSG, what)


def attribute_list(data: bytes) -> "list[tuple[int, bytes]]":
    """(type without flags, payload) in order. Raises KernelError(EBADMSG) for lengths that lead out of `data`."""
    found = []
    at, end = 0, len(data)
    while end - at >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or length > end - at:
            raise malformed("attribute")
        found.append((kind & _NLA_TYPE_MASK, data[at + 4 : at + length]))
        at += (length + 3) & ~3
    if at < end:
        raise malformed("attribute")
    return found


def attributes(data: bytes) -> "dict[int, bytes]":
    """As `attribute_list`; the last one of a type wins."""
    return dict(attribute_list(data))


def read_u32(found: "dict[int, bytes]", kind: int, default: int = 0) -> int:
    value = found.get(kind)
    if value is None:
        return default
    if len(value) != 4:
        raise malformed("attribute")
    return int(_U32.unpack(value)[0])


def read_text(found: "dict[int, bytes]", kind: int) -> str:
    return os.fsdecode(found.get(kind, b"").split(b"\0", 1)[0])


# Messages: made and read


def pack(message: "Message", sequence: int, extra_flags: int = 0) -> bytes:
    kind, flags, body = message[:3]
    return _HEADER.pack(len(body) + 16, kind, flags | extra_flags | NLM_F_REQUEST, sequence, 0) + body


def split(data: bytes) -> "Iterator[tuple[int, int, int, bytes]]":
    """(type, flags, sequence, payload) of every message in one datagram. Raises KernelError(EBADMSG)."""
    at, end = 0, len(data)
    while at < end:
        if end - at < 16:
            raise malformed("message")
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, at)
        if length < 16 or length > end - at:
            raise malformed("message")
        yield kind, flags, sequence, data[at + 16 : at + length]
        at += (length + 3) & ~3


def error_of(flags: int, payload: bytes) -> "tuple[int, str | None]":
    """(errno, the kernel's sentence) of an NLMSG_ERROR; errno 0 acknowledges. Raises KernelError(EBADMSG)."""
    if len(payload) < 4:
        raise malformed("acknowledgement")
    number = -_I32.unpack_from(payload)[0]
    if number < 0:
        raise malformed("acknowledgement")
    if not (flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED) or len(payload) < 20:
        return number, None
    sentence = read_text(attributes(payload[20:]), _NLMSGERR_ATTR_MSG)
    return number, sentence or None


class Netlink:
    """One netlink socket of the calling thread's network namespace. Close it, or use it in a `with`."""

    __slots__ = ("_name", "_sequence", "_socket")

    def __init__(self, protocol: int, name: str) -> None:
        self._name = name
        self._sequence = 0
        try:
            self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, protocol)
        except OSError as error:
            raise KernelError("socket", error.errno or 0, name) from None
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                continue  # an older kernel: shorter error messages, longer dumps

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def failure(self, message: "Message", number: int, sentence: "str | None" = None) -> KernelError:
        hint = f"the kernel says: {sentence}" if sentence else None
        return KernelError(f"{self._name} {message[3]}", number, message[4] or None, hint=hint)

    def transmit(self, data: bytes) -> None:
        try:
            if len(data) > _SEND_BUFFER:
                self._socket.setsockopt(_socket.SOL_SOCKET, _SO_SNDBUFFORCE, len(data) + _SEND_BUFFER)
            self._socket.send(data)
        except OSError as error:
            raise KernelError("send", error.errno or 0, self._name) from None

    def receive(self, flags: int = 0) -> bytes:
        """The next datagram that the kernel sent; b'' when MSG_DONTWAIT is given and there is none."""
        while True:
            try:
                data, sender = self._socket.recvfrom(_BUFFER, flags)
            except OSError as error:
                if error.errno == EAGAIN:
                    return b""
                if error.errno == EINTR:
                    continue
                raise KernelError("recv", error.errno or 0, self._name) from None
            if sender[0] == 0:  # any process may send to a netlink port; the kernel's own is 0
                return data

    def sequences(self, count: int) -> int:
        """The first of `count` fresh sequence numbers."""
        first = self._sequence + 1
        self._sequence = (self._sequence + count) & 0x3FFFFFFF
        return first

    def talk(self, messages: "list[Message]") -> "list[list[bytes]]":
        """Send all in one go and read every answer: for each message the payloads of its replies.

        The kernel goes on after a message that fails; the first failure is raised when all have been answered.
        """
        first = self.sequences(len(messages))
        self.transmit(b"".join([pack(m, first + i, NLM_F_ACK) for i, m in enumerate(messages)]))
        replies: list[list[bytes]] = [[] for _ in messages]
        failed: dict[int, KernelError] = {}
        waiting = set(range(len(messages)))
        while waiting:
            for kind, flags, sequence, payload in split(self.receive()):
                place = sequence - first
                if place not in waiting:
                    continue
                if kind not in (NLMSG_ERROR, NLMSG_DONE):
                    replies[place].append(payload)
                    continue
                waiting.discard(place)
                number, sentence = error_of(flags, payload) if len(payload) >= 4 else (0, None)
                if number:
                    failed[place] = self.failure(messages[place], number, sentence)
        if failed:
            raise failed[min(failed)]
        return replies

    def dump(self, message: "Message") -> "list[bytes]":
        """The payloads of a whole dump, taken again when something changed under it (NLM_F_DUMP_INTR)."""
        for _attempt in range(_DUMP_ATTEMPTS):
            payloads, torn = self._dump_once(message)
            if not torn:
                break
        return payloads

    def _dump_once(self, message: "Message") -> "tuple[list[bytes], bool]":
        sequence = self.sequences(1)
        self.transmit(pack(message, sequence, NLM_F_DUMP))
        payloads: list[bytes] = []
        torn = False
        while True:
            for kind, flags, number, payload in split(self.receive()):
                if number != sequence:
                    continue
                torn = torn or bool(flags & NLM_F_DUMP_INTR)
                if kind not in (NLMSG_ERROR, NLMSG_DONE):
                    payloads.append(payload)
                    continue
                errno, sentence = error_of(flags, payload) if len(payload) >= 4 else (0, None)
                if errno:
                    raise self.failure(message, errno, sentence)
                return payloads, torn
