"""rtnetlink and nf_tables against the kernel, with `ip`, `nft` and pyroute2 as witnesses."""

import errno
import json
import os

import pytest

from boxship.errors import KernelError
from boxship.linux import nftables as nft
from boxship.linux import rtnetlink
from tests.runtime.test_network import isolated, output

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")]


@isolated
def test_links_as_ip_and_pyroute2_see_them() -> None:
    from pyroute2 import IPRoute

    with rtnetlink.Route() as route:
        route.send(rtnetlink.bridge("br0", "02:42:0a:00:00:01"), rtnetlink.veth("one", peer="two", mtu=1400))
        bridge = route.index("br0")
        route.send(
            rtnetlink.change_link(route.index("one"), up=True, master=bridge, alias="first"),
            rtnetlink.change_link(route.index("two"), name="three", mtu=1300, mac="02:00:00:00:00:33"),
            rtnetlink.address(bridge, "10.0.0.1", 24),
            rtnetlink.change_link(bridge, up=True),
            rtnetlink.default_route("10.0.0.9", bridge),
        )
        ours = {link.name: link for link in route.links()}
        assert [link.name for link in route.links(master=bridge)] == ["one"]
        assert (bridge, "10.0.0.1/24") in route.addresses()
        assert {("0.0.0.0/0", "10.0.0.9", bridge), ("10.0.0.0/24", "", bridge)} <= set(route.routes())
    theirs = {each["ifname"]: each for each in json.loads(output("ip", "-j", "-d", "link"))}
    assert set(ours) == set(theirs) == {"lo", "br0", "one", "three"}
    for name, link in ours.items():
        seen = theirs[name]
        assert (link.index, link.mtu, link.mac) == (seen["ifindex"], seen["mtu"], seen["address"])
        assert link.up == ("UP" in seen["flags"])
        assert link.kind == seen.get("linkinfo", {}).get("info_kind", "")
        assert link.alias == seen.get("ifalias", "")
    assert ours["one"].master == bridge and ours["one"].alias == "first"
    assert (ours["three"].mtu, ours["three"].mac) == (1300, "02:00:00:00:00:33")
    with IPRoute() as witness:
        assert {link.get_attr("IFLA_IFNAME"): link["index"] for link in witness.get_links()} == {
            name: link.index for name, link in ours.items()
        }
        assert "10.0.0.1" in {each.get_attr("IFA_LOCAL") for each in witness.get_addr(family=2)}


@isolated
def test_errors_carry_errno_and_name() -> None:
    with rtnetlink.Route() as route:
        route.send(rtnetlink.bridge("br0"))
        assert route.find("nothing") is None
        for message, number, words in (
            (rtnetlink.bridge("br0"), errno.EEXIST, "rtnetlink NEWLINK br0: file exists"),
            (rtnetlink.delete_link(4711), errno.ENODEV, "rtnetlink DELLINK index 4711: no such device"),
            (rtnetlink.address(4711, "10.0.0.1", 8), errno.ENODEV, "rtnetlink NEWADDR 10.0.0.1/8: no such device"),
            (
                rtnetlink.default_route("10.0.0.1", 1),
                errno.ENETUNREACH,
                "rtnetlink NEWROUTE default via 10.0.0.1: network is unreachable",
            ),
        ):
            with pytest.raises(KernelError) as caught:
                route.send(message)
            assert (caught.value.errno, caught.value.message) == (number, words)
        with pytest.raises(KernelError, match="no such device"):
            route.index("nothing")
        # the others of one send are done all the same, and the socket is still of use
        with pytest.raises(KernelError):
            route.send(rtnetlink.delete_link(4711), rtnetlink.change_link(1, up=True))
        assert route.find("lo").up
        route.send(rtnetlink.delete_link(route.index("br0")))
        assert route.find("br0") is None


@isolated
def test_a_thousand_addresses_in_one_dump() -> None:
    with rtnetlink.Route() as route:
        for high in range(10):
            route.send(*[rtnetlink.address(1, f"10.1.{high}.{low}", 32) for low in range(1, 101)])
        assert len(route.addresses()) == 1001
        assert len(json.loads(output("ip", "-j", "-4", "addr"))[0]["addr_info"]) == 1001


@isolated
def test_a_batch_is_all_or_nothing() -> None:
    with nft.Nftables() as rules:
        with pytest.raises(KernelError) as caught:
            rules.commit([nft.add_table("t"), nft.add_chain("t", "c"), nft.delete_rule("t", "c", 99), nft.add_chain("t", "d")])
        assert caught.value.errno == errno.ENOENT
        assert caught.value.message == "nf_tables DELRULE t c handle 99: no such file or directory"
        assert rules.table_comment("t") is None
        rules.commit([nft.add_table("t", comment="mine"), nft.add_chain("t", "c")])
        assert rules.table_comment("t") == "mine"
        with pytest.raises(KernelError) as caught:
            rules.commit([nft.add_table("t", new=True)])
        assert caught.value.errno == errno.EEXIST
        assert rules.chain("t", "nothing") is None
        assert rules.rules("t", "nothing") == []
        rules.commit([nft.delete_table("t")])
    assert output("nft", "list", "ruleset") == ""


@isolated
def test_rules_are_added_inserted_and_deleted() -> None:
    with nft.Nftables() as rules:
        rules.commit([nft.add_table("t"), nft.add_chain("t", "c", nft.FILTER, nft.HOOK_INPUT, 5, nft.NF_DROP)])
        chain = rules.chain("t", "c")
        assert (chain.kind, chain.hook, chain.priority, chain.policy) == ("filter", nft.HOOK_INPUT, 5, nft.NF_DROP)
        rules.commit([nft.add_rule("t", "c", [nft.counter(), nft.verdict(nft.NF_ACCEPT)], comment=word) for word in ("b", "c")])
        rules.commit([nft.add_rule("t", "c", nft.iifname_is("lo"), comment="a", insert=True)])
        found = rules.rules("t", "c")
        assert [comment for _, comment in found] == ["a", "b", "c"]
        rules.commit([nft.delete_rule("t", "c", found[1][0])])
        assert [comment for _, comment in rules.rules("t", "c")] == ["a", "c"]
    listed = [line.strip() for line in output("nft", "list", "chain", "ip", "t", "c").splitlines()]
    assert 'iifname "lo" comment "a"' in listed
    assert 'counter packets 0 bytes 0 accept comment "c"' in listed


@isolated
def test_sets() -> None:
    with nft.Nftables() as rules:
        rules.commit([nft.add_table("t"), nft.add_set("t", "s", (nft.TYPE_IPV4_ADDR, nft.TYPE_INET_SERVICE), 1)])
        keys = [bytes([10, 0, 0, n, 0, 80, 0, 0]) for n in range(5)]
        rules.commit(nft.add_elements("t", "s", [(key, b"") for key in keys]))
        rules.commit(nft.delete_elements("t", "s", keys[:2]))
        assert sorted(rules.elements("t", "s")) == [(key, b"") for key in keys[2:]]
        with pytest.raises(KernelError) as caught:
            rules.commit(nft.delete_elements("t", "s", keys[:1]))
        assert caught.value.errno == errno.ENOENT
        with pytest.raises(KernelError):
            rules.elements("t", "nothing")
    listed = json.loads(output("nft", "-j", "list", "set", "ip", "t", "s"))["nftables"][1]["set"]
    assert listed["type"] == ["ipv4_addr", "inet_service"]
    assert {"concat": ["10.0.0.2", 80]} in listed["elem"] and len(listed["elem"]) == 3
