"""nf_tables over NETLINK_NETFILTER: tables, chains, rules, maps and their elements.

    with Nftables() as nft:
        nft.commit([
            add_table("demo"),
            add_chain("demo", "forward", FILTER, HOOK_FORWARD, 0),
            add_rule("demo", "forward", [*oifname_is("br0"), verdict(NF_ACCEPT)]),
        ])                                           # one batch: all of it or nothing

An expression is the bytes of one attribute; expressions pass values through registers, as `nft --debug=netlink` prints
them. Numbers and attributes: linux/netfilter/nf_tables.h. Everything here is of the family ip.
"""

from errno import EIO, ENOENT
from struct import Struct

from boxship.errors import KernelError
from boxship.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLMSG_ERROR,
    Netlink,
    attribute,
    attribute_list,
    attributes,
    error_of,
    malformed,
    nested,
    pack,
    read_text,
    split,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.linux.netlink import Message

NFPROTO_IPV4 = 2

_NFNL_MSG_BATCH_BEGIN = 0x10
_NFNL_MSG_BATCH_END = 0x11
_NFNL_SUBSYS_NFTABLES = 10

_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN = 0, 1, 2, 3, 4
_NEWRULE, _GETRULE, _DELRULE, _NEWSET = 6, 7, 8, 9
_NEWSETELEM, _GETSETELEM, _DELSETELEM = 12, 13, 14

HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = range(5)
FILTER = "filter"
NAT = "nat"

NF_DROP = 0
NF_ACCEPT = 1
NFT_RETURN = -5

# nft's own numbers of types: they tell it how to print a key, the kernel only stores them
TYPE_IPV4_ADDR = 7
TYPE_INET_PROTO = 12
TYPE_INET_SERVICE = 13
_TYPE_BITS = 6  # a concatenation is its types side by side

_SET_MAP = 0x8

REG_VERDICT = 0
REG_1 = 1
REG32 = 8  # the first of sixteen registers of 4 bytes; REG_1 is the first four of them

META_L4PROTO = 16
META_IIFNAME = 6
META_OIFNAME = 7
NETWORK_HEADER = 1
TRANSPORT_HEADER = 2
CT_STATE = 0
CT_STATUS = 2
CT_ESTABLISHED_RELATED = 0x2 | 0x4
IPS_DST_NAT = 0x20
_FIB_ADDRTYPE = 3
_FIB_DADDR = 2
_RTN_LOCAL = 2
_CMP_EQ, _CMP_NEQ = 0, 1
_NAT_DNAT = 1
_UDATA_COMMENT = 0

_IFNAMSIZ = 16
_ELEMENTS_PER_MESSAGE = 500  # all of them are one attribute, whose length has 16 bits
_BE32 = Struct(">I")
_BE64 = Struct(">Q")
_NATIVE32 = Struct("=I")
_NFGEN = Struct(">BBH")


def be32(kind: int, value: int) -> bytes:
    return attribute(kind, _BE32.pack(value & 0xFFFFFFFF))


# Expressions


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _value(kind: int, data: bytes) -> bytes:
    return nested(kind, attribute(1, data))


def meta(key: int, register: int = REG_1) -> bytes:
    return _expression("meta", be32(2, key), be32(1, register))


def payload(base: int, offset: int, length: int, register: int = REG_1) -> bytes:
    """Load `length` bytes of a header into a register; the rule ends for packets that lack them."""
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def equal(data: bytes, register: int = REG_1) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, _CMP_EQ), _value(3, data))


def unequal(data: bytes, register: int = REG_1) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, _CMP_NEQ), _value(3, data))


def masked(mask: bytes, register: int = REG_1) -> bytes:
    """register &= mask"""
    length = len(mask)
    parts = be32(1, register), be32(2, register), be32(3, length), _value(4, mask), _value(5, bytes(length))
    return _expression("bitwise", *parts)


def _has_bits(key: int, bits: int) -> "list[bytes]":
    # the register holds the kernel's own integer: native byte order
    mask = _NATIVE32.pack(bits)
    return [_expression("ct", be32(2, key), be32(1, REG_1)), masked(mask), unequal(bytes(4))]


def ct_state(bits: int) -> "list[bytes]":
    return _has_bits(CT_STATE, bits)


def ct_status(bits: int) -> "list[bytes]":
    return _has_bits(CT_STATUS, bits)


def ifname(name: str) -> bytes:
    """An interface's name as the registers hold it."""
    return name.encode().ljust(_IFNAMSIZ, b"\0")


def iifname_is(name: str) -> "list[bytes]":
    return [meta(META_IIFNAME), equal(ifname(name))]


def oifname_is(name: str) -> "list[bytes]":
    return [meta(META_OIFNAME), equal(ifname(name))]


def oifname_is_not(name: str) -> "list[bytes]":
    return [meta(META_OIFNAME), unequal(ifname(name))]


def _in_subnet(offset: int, network: bytes, prefixlen: int) -> "list[bytes]":
    mask = (0xFFFFFFFF << (32 - prefixlen) & 0xFFFFFFFF).to_bytes(4, "big")
    return [payload(NETWORK_HEADER, offset, 4), masked(mask), equal(network)]


def saddr_in(network: bytes, prefixlen: int) -> "list[bytes]":
    """`network` is the four bytes of an address whose host bits are zero."""
    return _in_subnet(12, network, prefixlen)


def daddr_in(network: bytes, prefixlen: int) -> "list[bytes]":
    return _in_subnet(16, network, prefixlen)


def daddr_is_local() -> "list[bytes]":
    """The destination is an address of this host (fib daddr type local)."""
    kind = _NATIVE32.pack(_RTN_LOCAL)
    return [_expression("fib", be32(1, REG_1), be32(2, _FIB_ADDRTYPE), be32(3, _FIB_DADDR)), equal(kind)]


def lookup(map_name: str, key: int = REG_1, into: int = REG_1) -> bytes:
    """Replace the key in registers by the map's data; the rule ends when the key is not in it."""
    return _expression("lookup", text(1, map_name), be32(2, key), be32(3, into))


def dnat(address: int = REG_1, port: int = REG32 + 1) -> bytes:
    """Destination and port from registers."""
    return _expression("nat", be32(1, _NAT_DNAT), be32(2, NFPROTO_IPV4), be32(3, address), be32(5, port))


def masquerade() -> bytes:
    return _expression("masq")


def counter() -> bytes:
    return _expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))


def verdict(code: int) -> bytes:
    return _expression("immediate", be32(1, REG_VERDICT), nested(2, nested(2, be32(1, code))))


# Requests


def _message(kind: int, flags: int, words: str, subject: str, *parts: bytes) -> "Message":
    body = _NFGEN.pack(NFPROTO_IPV4, 0, 0) + b"".join(parts)
    return _NFNL_SUBSYS_NFTABLES << 8 | kind, flags, body, words, subject


def _comment(kind: int, comment: str) -> bytes:
    # type, length, value: what nft prints as a comment (libnftnl's udata)
    raw = comment.encode() + b"\0"
    return attribute(kind, bytes([_UDATA_COMMENT, len(raw)]) + raw) if comment else b""


def _read_comment(udata: bytes) -> str:
    if len(udata) < 3 or udata[0] != _UDATA_COMMENT:
        return ""
    return udata[2 : 2 + udata[1]].rstrip(b"\0").decode("utf-8", "replace")


def add_table(table: str, *, new: bool = False, comment: str = "") -> "Message":
    """With `new` the whole batch fails with EEXIST when the table is there. Comments need Linux 5.10 or newer."""
    flags = NLM_F_CREATE | (NLM_F_EXCL if new else 0)
    return _message(_NEWTABLE, flags, "NEWTABLE", table, text(1, table), be32(2, 0), _comment(6, comment))


def delete_table(table: str) -> "Message":
    """With all that is in it."""
    return _message(_DELTABLE, 0, "DELTABLE", table, text(1, table))


def add_chain(table: str, chain: str, kind: str = "", hook: int = 0, priority: int = 0, policy: int = NF_ACCEPT) -> "Message":
    """A base chain when `kind` (FILTER or NAT) is given, else one to jump to."""
    parts = [text(1, table), text(3, chain)]
    if kind:
        parts += [nested(4, be32(1, hook), be32(2, priority)), be32(5, policy), text(7, kind)]
    return _message(_NEWCHAIN, NLM_F_CREATE, "NEWCHAIN", f"{table} {chain}", *parts)


def add_rule(table: str, chain: str, expressions: "list[bytes]", *, comment: str = "", insert: bool = False) -> "Message":
    """At the end of the chain, or with `insert` before all others. `comment` is at most 127 bytes long."""
    parts = [text(1, table), text(2, chain), nested(4, *expressions)]
    parts.append(_comment(7, comment))
    flags = NLM_F_CREATE | (0 if insert else NLM_F_APPEND)
    return _message(_NEWRULE, flags, "NEWRULE", f"{table} {chain}", *parts)


def delete_rule(table: str, chain: str, handle: int) -> "Message":
    where = text(1, table), text(2, chain), attribute(3, _BE64.pack(handle))
    return _message(_DELRULE, 0, "DELRULE", f"{table} {chain} handle {handle}", *where)


def _concatenation(types: "tuple[int, ...]") -> int:
    number = 0
    for each in types:
        number = number << _TYPE_BITS | each
    return number


def add_map(table: str, name: str, keys: "tuple[int, ...]", data: "tuple[int, ...]", number: int) -> "Message":
    """A map from one concatenation of types to another; each part takes four bytes. `number` is unique in the batch."""
    parts = [text(1, table), text(2, name), be32(3, _SET_MAP), be32(4, _concatenation(keys)), be32(5, 4 * len(keys))]
    parts += [be32(6, _concatenation(data)), be32(7, 4 * len(data)), be32(10, number)]
    return _message(_NEWSET, NLM_F_CREATE, "NEWSET", f"{table} {name}", *parts)


def add_set(table: str, name: str, keys: "tuple[int, ...]", number: int) -> "Message":
    parts = [text(1, table), text(2, name), be32(3, 0), be32(4, _concatenation(keys)), be32(5, 4 * len(keys))]
    return _message(_NEWSET, NLM_F_CREATE, "NEWSET", f"{table} {name}", *parts, be32(10, number))


def _elements(
    kind: int, flags: int, words: str, where: "tuple[str, str]", elements: "list[tuple[bytes, bytes]]"
) -> "list[Message]":
    made = []
    table, name = where
    for at in range(0, len(elements), _ELEMENTS_PER_MESSAGE):
        some = elements[at : at + _ELEMENTS_PER_MESSAGE]
        parts = [nested(1, _value(1, key), _value(2, data) if data else b"") for key, data in some]
        made.append(_message(kind, flags, words, f"{table} {name}", text(2, name), text(1, table), nested(3, *parts)))
    return made


def add_elements(table: str, name: str, elements: "list[tuple[bytes, bytes]]") -> "list[Message]":
    """(key, data) pairs; data is b'' in a set. The batch fails with EEXIST when a key has other data already."""
    return _elements(_NEWSETELEM, NLM_F_CREATE, "NEWSETELEM", (table, name), elements)


def delete_elements(table: str, name: str, keys: "list[bytes]") -> "list[Message]":
    """The batch fails with ENOENT when one of them is not there."""
    return _elements(_DELSETELEM, 0, "DELSETELEM", (table, name), [(key, b"") for key in keys])


# Answers


class Chain:
    """A chain. `hook` and `policy` are -1 for a chain without a hook."""

    __slots__ = ("hook", "kind", "name", "policy", "priority", "table")

    def __init__(self, body: bytes) -> None:
        found = attributes(body[_NFGEN.size :])
        self.table = read_text(found, 1)
        self.name = read_text(found, 3)
        self.kind = read_text(found, 7)
        hook = attributes(found.get(4, b""))
        self.hook = _read_be32(hook, 1)
        self.priority = _read_be32(hook, 2, 0)
        if self.priority >= 1 << 31:
            self.priority -= 1 << 32
        self.policy = _read_be32(found, 5)


def _read_be32(found: "dict[int, bytes]", kind: int, default: int = -1) -> int:
    raw = found.get(kind)
    if raw is None:
        return default
    if len(raw) != 4:
        raise malformed("attribute")
    return int(_BE32.unpack(raw)[0])


def parse_rule(body: bytes) -> "tuple[int, str]":
    """(handle, comment or '') of a rule."""
    found = attributes(body[_NFGEN.size :])
    handle = found.get(3, b"")
    if len(handle) != 8:
        raise malformed("rule")
    return int(_BE64.unpack(handle)[0]), _read_comment(found.get(7, b""))


def parse_elements(body: bytes) -> "list[tuple[bytes, bytes]]":
    """(key, data) of the elements in one message of a dump."""
    listed = attributes(body[_NFGEN.size :]).get(3, b"")
    found = []
    for _kind, raw in attribute_list(listed):
        element = attributes(raw)
        key = attributes(element.get(1, b"")).get(1, b"")
        found.append((key, attributes(element.get(2, b"")).get(1, b"")))
    return found


class Nftables(Netlink):
    """nf_tables of the network namespace in which the caller stands now."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NETLINK_NETFILTER, "nf_tables")

    def __enter__(self) -> "Nftables":
        return self

    def commit(self, messages: "list[Message]") -> None:
        """One transaction: all of it or nothing. Raises KernelError for the first message that the kernel refused."""
        first = self.sequences(len(messages) + 2)
        last = first + len(messages)
        batch = _NFGEN.pack(0, 0, _NFNL_SUBSYS_NFTABLES)
        whole = [pack((_NFNL_MSG_BATCH_BEGIN, 0, batch, "", ""), first)]
        # only the last asks for an acknowledgement: a long batch would overflow the receive buffer with them
        whole += [pack(m, first + 1 + i, NLM_F_ACK if first + 1 + i == last else 0) for i, m in enumerate(messages)]
        whole.append(pack((_NFNL_MSG_BATCH_END, 0, batch, "", ""), last + 1))
        self.transmit(b"".join(whole))
        answers = self._answers()
        for sequence in sorted(answers):
            number, sentence = answers[sequence]
            if number:
                place = sequence - first - 1
                message = messages[place] if 0 <= place < len(messages) else (0, 0, b"", "commit", "")
                raise self.failure(message, number, sentence)
        if last not in answers:
            raise KernelError("nf_tables commit", EIO)

    def _answers(self) -> "dict[int, tuple[int, str | None]]":
        # a batch is worked off inside send(2): when that returns, every answer is in the receive buffer
        from _socket import MSG_DONTWAIT

        answers: dict[int, tuple[int, str | None]] = {}
        while data := self.receive(MSG_DONTWAIT):
            for kind, flags, sequence, body in split(data):
                if kind == NLMSG_ERROR and not answers.get(sequence, (0, None))[0]:
                    answers[sequence] = error_of(flags, body)
        return answers

    def _get(self, message: "Message") -> "bytes | None":
        try:
            replies = self.talk([message])[0]
        except KernelError as error:
            if error.errno == ENOENT:
                return None
            raise
        return replies[0] if replies else None

    def table_comment(self, table: str) -> "str | None":
        """The comment of the table, '' without one, None when there is no such table."""
        body = self._get(_message(_GETTABLE, 0, "GETTABLE", table, text(1, table)))
        return None if body is None else _read_comment(attributes(body[_NFGEN.size :]).get(6, b""))

    def chain(self, table: str, name: str) -> "Chain | None":
        body = self._get(_message(_GETCHAIN, 0, "GETCHAIN", f"{table} {name}", text(1, table), text(3, name)))
        return None if body is None else Chain(body)

    def chains(self) -> "list[Chain]":
        return [Chain(body) for body in self.dump(_message(_GETCHAIN, 0, "GETCHAIN", ""))]

    def rules(self, table: str, chain: str) -> "list[tuple[int, str]]":
        """(handle, comment) of every rule of the chain, in order; [] when there is no such chain."""
        request = _message(_GETRULE, 0, "GETRULE", f"{table} {chain}", text(1, table), text(2, chain))
        return [parse_rule(body) for body in self.dump(request)]

    def elements(self, table: str, name: str) -> "list[tuple[bytes, bytes]]":
        """(key, data) of every element of a set or map; data is b'' in a set."""
        request = _message(_GETSETELEM, 0, "GETSETELEM", f"{table} {name}", text(1, table), text(2, name))
        return [element for body in self.dump(request) for element in parse_elements(body)]
