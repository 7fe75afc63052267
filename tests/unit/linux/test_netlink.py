"""The reader of replies against every malformation, and the writer against pyroute2's reader."""

import errno
import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import KernelError
from boxship.linux import netlink, nftables, rtnetlink

pytest.importorskip("pyroute2")
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

ATTRIBUTES = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8)


@given(ATTRIBUTES)
def test_attributes_survive_the_way_there_and_back(pairs: "list[tuple[int, bytes]]") -> None:
    data = b"".join(netlink.attribute(kind, payload) for kind, payload in pairs)
    assert len(data) % 4 == 0
    assert netlink.attribute_list(data) == pairs
    assert netlink.attribute_list(b"".join(netlink.attribute(k | 0x8000, p) for k, p in pairs)) == pairs


def only_malformed(read: object, data: bytes) -> None:
    try:
        result = read(data)  # type: ignore[operator]
        if hasattr(result, "__next__"):
            list(result)
    except KernelError as error:
        assert error.errno == errno.EBADMSG


READERS = (
    netlink.attribute_list,
    netlink.split,
    lambda data: netlink.error_of(0x300, data),
    lambda data: netlink.error_of(0, data),
    rtnetlink.Link,
    rtnetlink.parse_address,
    rtnetlink.parse_route,
    nftables.Chain,
    nftables.parse_rule,
    nftables.parse_elements,
)

# valid messages to start from: what is nearly right finds more than noise
SEEDS = [
    rtnetlink.veth("a", peer="b", peer_ns=3, peer_mac="02:42:ac:11:00:02", master=7, mtu=1400)[2],
    rtnetlink.change_link(3, up=True, name="x", alias="boxship 1", mtu=9000)[2],
    rtnetlink.address(3, "172.17.0.2", 16, "172.17.255.255")[2],
    rtnetlink.default_route("172.17.0.1", 3)[2],
    nftables.add_chain("t", "c", nftables.FILTER, nftables.HOOK_FORWARD, -300)[2],
    nftables.add_rule("t", "c", [nftables.verdict(0)], comment="hello")[2],
    nftables.add_elements("t", "m", [(b"12345678", b"abcdefgh")])[0][2],
    netlink.pack(rtnetlink.delete_link(3), 1) + netlink.pack(rtnetlink.delete_link(4), 2),
    struct.pack("=i", -22) + bytes(16) + netlink.text(1, "no such thing"),
]


@settings(max_examples=300)
@given(st.sampled_from(range(len(READERS))), st.binary(max_size=200))
def test_noise_is_refused_or_read_never_worse(reader: int, data: bytes) -> None:
    only_malformed(READERS[reader], data)


@settings(max_examples=500)
@given(st.sampled_from(range(len(READERS))), st.sampled_from(SEEDS), st.data())
def test_damaged_replies_are_refused_or_read_never_worse(reader: int, seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for place in data.draw(st.lists(st.integers(0, len(seed) - 1), min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    only_malformed(READERS[reader], bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@pytest.mark.parametrize(
    "data",
    [b"\x05", b"\x03\0\x01\0", b"\xff\xff\x01\0", b"\x09\0\x01\0abcd", b"\0\0\0\0"],
    ids=["cut", "shorter than its head", "longer than all", "one byte too long", "length 0"],
)
def test_lengths_that_lead_astray(data: bytes) -> None:
    with pytest.raises(KernelError) as caught:
        netlink.attribute_list(data)
    assert caught.value.errno == errno.EBADMSG


@pytest.mark.parametrize("length", [0, 15, 17, 1 << 31])
def test_message_lengths_that_lead_astray(length: int) -> None:
    with pytest.raises(KernelError):
        list(netlink.split(struct.pack("=IHHII", length, 2, 0, 1, 0)))


def test_the_kernels_sentence() -> None:
    body = struct.pack("=i", -errno.EINVAL) + bytes(16)
    assert netlink.error_of(0x300, body + netlink.text(1, "Nexthop has invalid gateway")) == (
        errno.EINVAL,
        "Nexthop has invalid gateway",
    )
    assert netlink.error_of(0x100, body) == (errno.EINVAL, None)
    assert netlink.error_of(0, struct.pack("=i", 0) + bytes(16)) == (0, None)


# What pyroute2 reads from what we write


def decoded(kind: type, message: "tuple[int, int, bytes, str, str]") -> object:
    parsed = kind(data=netlink.pack(message, 1))
    parsed.decode()
    return parsed


def test_veth_as_pyroute2_reads_it() -> None:
    message = rtnetlink.veth("host0", peer="eth0", peer_ns=9, peer_mac="02:42:ac:11:00:02", master=7, mtu=1400)
    link = decoded(ifinfmsg, message)
    assert (link["flags"], link["change"], link["index"]) == (1, 1, 0)
    assert (link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MASTER"), link.get_attr("IFLA_MTU")) == ("host0", 7, 1400)
    info = link.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_NET_NS_FD") == 9
    assert peer.get_attr("IFLA_ADDRESS") == "02:42:ac:11:00:02"
    assert peer.get_attr("IFLA_MTU") == 1400
    assert peer["flags"] == 0


def test_bridge_and_changes_as_pyroute2_reads_them() -> None:
    made = decoded(ifinfmsg, rtnetlink.bridge("br0", "02:42:ac:11:00:01"))
    assert made.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"
    assert made.get_attr("IFLA_ADDRESS") == "02:42:ac:11:00:01"
    changed = decoded(ifinfmsg, rtnetlink.change_link(4, up=True, name="eth1", alias="hello", mtu=1300, master=2))
    assert (changed["index"], changed["flags"], changed["change"]) == (4, 1, 1)
    assert changed.get_attr("IFLA_IFALIAS") == "hello"
    assert (changed.get_attr("IFLA_IFNAME"), changed.get_attr("IFLA_MTU"), changed.get_attr("IFLA_MASTER")) == ("eth1", 1300, 2)


def test_addresses_and_routes_as_pyroute2_reads_them() -> None:
    address = decoded(ifaddrmsg, rtnetlink.address(3, "172.17.0.2", 16, "172.17.255.255"))
    assert (address["family"], address["prefixlen"], address["index"]) == (2, 16, 3)
    assert address.get_attr("IFA_LOCAL") == address.get_attr("IFA_ADDRESS") == "172.17.0.2"
    assert address.get_attr("IFA_BROADCAST") == "172.17.255.255"
    route = decoded(rtmsg, rtnetlink.default_route("172.17.0.1", 3))
    assert (route["dst_len"], route["table"], route["type"], route["scope"]) == (0, 254, 1, 0)
    assert (route.get_attr("RTA_GATEWAY"), route.get_attr("RTA_OIF")) == ("172.17.0.1", 3)
    entry = decoded(ndmsg, rtnetlink.bridge_entry(5, "02:42:ac:11:00:02"))
    assert (entry["family"], entry["ifindex"], entry["flags"]) == (7, 5, 4)
    assert entry.get_attr("NDA_LLADDR") == "02:42:ac:11:00:02"


def test_own_messages_can_be_read_back() -> None:
    link = rtnetlink.Link(rtnetlink.change_link(3, up=True, name="x", alias="a b", mtu=9000)[2])
    assert (link.index, link.up, link.name, link.alias, link.mtu, link.mac) == (3, True, "x", "a b", 9000, "")
    assert rtnetlink.parse_address(rtnetlink.address(3, "10.0.0.1", 8)[2]) == (3, "10.0.0.1/8")
    assert rtnetlink.parse_address(rtnetlink.address(3, "2001:db8::1", 64)[2]) == (3, "2001:db8::1/64")
    assert rtnetlink.parse_route(rtnetlink.default_route("10.0.0.1", 3)[2]) == ("0.0.0.0/0", "10.0.0.1", 3)
    chain = nftables.Chain(nftables.add_chain("t", "c", nftables.FILTER, nftables.HOOK_FORWARD, -300, nftables.NF_DROP)[2])
    assert (chain.table, chain.name, chain.kind, chain.hook, chain.priority, chain.policy) == ("t", "c", "filter", 2, -300, 0)
    plain = nftables.Chain(nftables.add_chain("t", "c")[2])
    assert (plain.hook, plain.policy) == (-1, -1)
    [message] = nftables.add_elements("t", "m", [(b"12345678", b"abcdefgh"), (b"x" * 8, b"")])
    assert nftables.parse_elements(message[2]) == [(b"12345678", b"abcdefgh"), (b"x" * 8, b"")]


def test_the_hot_path_stays_light() -> None:
    probe = (
        "import sys; before = set(sys.modules); import boxship.network.sandbox, boxship.network.portmap; "
        "print(*sorted(set(sys.modules) - before))"
    )
    source = os.path.dirname(os.path.dirname(os.path.dirname(netlink.__file__)))
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {source!r}); {probe}"]
    loaded = subprocess.run(command, text=True, capture_output=True, check=True)
    heavy = {"re", "socket", "json", "typing", "dataclasses", "enum", "signal", "subprocess", "ipaddress", "collections"}
    assert heavy.isdisjoint(loaded.stdout.split()), loaded.stdout
