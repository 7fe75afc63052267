"""The bridge with real sockets. Every test runs in a forked child in network namespaces of its own, which die with it:

outside 198.51.100.2 -- 198.51.100.1 "host" 172.17.0.1 -- boxship0 -- containers 172.17.0.2, .3, ...
"""

import contextlib
import functools
import json
import os
import signal
import socket
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator

import pytest

from boxship.errors import BoxshipError, Conflict
from boxship.linux import nftables, ns, rtnetlink
from boxship.network import bridge, ipam, portmap, sandbox

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")]

NAME, TABLE, SUBNET = "boxship0", "boxship", "172.17.0.0/16"
HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"


def isolated(test: Callable[[], None]) -> Callable[[], None]:
    """Run the test in a child process with a new network namespace that plays the host."""

    @functools.wraps(test)
    def run() -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                ns.unshare(ns.CLONE_NEWNET)
                with rtnetlink.Route() as route:
                    route.send(rtnetlink.change_link(1, up=True))
                test()
                status = 0
            except BaseException:
                os.write(writer, traceback.format_exc().encode()[-60000:])
            finally:
                os._exit(status)
        os.close(writer)
        with open(reader, "rb") as pipe:
            report = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        assert status == 0, report or f"the child ended with status {status}"

    return run


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def inside(place: sandbox.Sandbox) -> Iterator[None]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    ns.setns(place.fd, ns.CLONE_NEWNET)
    try:
        yield
    finally:
        ns.setns(home, ns.CLONE_NEWNET)
        os.close(home)


def outside_machine() -> sandbox.Sandbox:
    """A neighbour on the host's other network, which sends all it has to the host."""
    place = sandbox.create()
    with rtnetlink.Route() as route:
        route.send(rtnetlink.veth("out0", peer="eth0", peer_ns=place.fd))
        route.send(rtnetlink.address(route.index("out0"), HOST, 24))
    index = place.route.index("eth0")
    place.route.send(
        rtnetlink.address(index, OUTSIDE, 24), rtnetlink.change_link(index, up=True), rtnetlink.default_route(HOST, index)
    )
    return place


def container(info: bridge.BridgeInfo, number: int) -> tuple[sandbox.Sandbox, str]:
    ip = f"172.17.0.{number}"
    place = sandbox.create()
    sandbox.connect(place, info.ifindex, ip, info.prefixlen, info.gateway, ipam.mac_of(ip), f"veth{number}", hairpin=True)
    return place, ip


def listener(place: sandbox.Sandbox | None, ip: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    with inside(place) if place else contextlib.nullcontext():
        server = socket.socket(socket.AF_INET, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ip, port))
        server.settimeout(3)
        if kind == socket.SOCK_STREAM:
            server.listen()
    return server


def seen_from(server: socket.socket, place: sandbox.Sandbox | None, target: tuple[str, int]) -> str:
    """Connect from `place` (None: the host), send a word there and back; the client's address as the server sees it."""
    with inside(place) if place else contextlib.nullcontext():
        client = socket.create_connection(target, 3)
    with client:
        accepted, peer = server.accept()
        with accepted:
            client.sendall(b"ping")
            assert accepted.recv(4) == b"ping"
            accepted.sendall(b"pong")
            client.settimeout(3)
            assert client.recv(4) == b"pong"
    return str(peer[0])


def refused(place: sandbox.Sandbox | None, target: tuple[str, int], seconds: float = 0.5) -> bool:
    with inside(place) if place else contextlib.nullcontext():
        try:
            socket.create_connection(target, seconds).close()
        except OSError:
            return True
    return False


@isolated
def test_a_published_port_is_reached_from_everywhere() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    neighbour, _ = container(info, 3)
    server = listener(place, "0.0.0.0", 80)
    holder = portmap.reserve("", 8080, "tcp")
    assert refused(None, ("127.0.0.1", 8080))
    portmap.publish(TABLE, [("tcp", "", 8080, ip, 80)])

    assert seen_from(server, None, ("127.0.0.1", 8080)) == info.gateway
    assert seen_from(server, None, ("localhost", 8080)) == info.gateway
    assert seen_from(server, None, (HOST, 8080)) == HOST
    assert seen_from(server, None, (info.gateway, 8080)) == info.gateway
    assert seen_from(server, None, (ip, 80)) == info.gateway
    assert seen_from(server, outside, (HOST, 8080)) == OUTSIDE
    assert seen_from(server, place, (HOST, 8080)) == info.gateway
    assert seen_from(server, place, (info.gateway, 8080)) == info.gateway
    assert seen_from(server, neighbour, (HOST, 8080)) == info.gateway
    assert seen_from(server, neighbour, (ip, 80)) == "172.17.0.3"

    portmap.unpublish(TABLE, [("tcp", "", 8080, ip, 80)])
    assert refused(None, ("127.0.0.1", 8080))
    assert refused(outside, (HOST, 8080))
    os.close(holder)


@pytest.mark.parametrize("filtering", ["0", "1"])
def test_a_container_reaches_its_own_port(filtering: str) -> None:
    """With br_netfilter and without: with it the packet is turned round inside the bridge."""

    @isolated
    def check() -> None:
        try:
            with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w") as file:
                file.write(filtering)
        except FileNotFoundError:
            assert filtering == "0" or not os.path.exists("/proc/sys/net/bridge")
        info = bridge.ensure(NAME, TABLE, SUBNET)
        outside = outside_machine()
        place, ip = container(info, 2)
        neighbour, _ = container(info, 3)
        server = listener(place, "0.0.0.0", 80)
        portmap.publish(TABLE, [("tcp", "", 8080, ip, 80)])
        for target in (HOST, info.gateway):
            assert seen_from(server, place, (target, 8080)) == info.gateway
            assert seen_from(server, neighbour, (target, 8080)) == info.gateway
        assert seen_from(server, outside, (HOST, 8080)) == OUTSIDE

    check()


@isolated
def test_containers_reach_the_world_under_the_hosts_address() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, _ = container(info, 2)
    server = listener(outside, OUTSIDE, 7)
    assert seen_from(server, place, (OUTSIDE, 7)) == HOST
    on_the_host = listener(None, info.gateway, 9)
    assert seen_from(on_the_host, place, (info.gateway, 9)) == "172.17.0.2"


@isolated
def test_only_published_ports_are_open_to_the_world() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    server = listener(place, "0.0.0.0", 80)
    portmap.publish(TABLE, [("tcp", "", 8080, ip, 80)])
    assert refused(outside, (ip, 80))
    assert seen_from(server, outside, (HOST, 8080)) == OUTSIDE
    # it is our rule that keeps it shut: the route is there
    output("nft", "flush", "chain", "ip", TABLE, "forward")
    assert seen_from(server, outside, (ip, 80)) == OUTSIDE


@isolated
def test_a_port_on_one_address_of_the_host() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    server = listener(place, "0.0.0.0", 80)
    portmap.publish(TABLE, [("tcp", HOST, 81, ip, 80), ("tcp", "127.0.0.1", 82, ip, 80)])
    assert seen_from(server, outside, (HOST, 81)) == OUTSIDE
    assert seen_from(server, place, (HOST, 81)) == info.gateway
    assert refused(None, ("127.0.0.1", 81))
    assert seen_from(server, None, ("127.0.0.1", 82)) == info.gateway
    assert refused(None, (HOST, 82))
    assert refused(outside, (HOST, 82))


@isolated
def test_udp() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    server = listener(place, "0.0.0.0", 53, socket.SOCK_DGRAM)
    tcp = listener(place, "0.0.0.0", 54)
    holder = portmap.reserve("", 5353, "udp")
    portmap.publish(TABLE, [("udp", "", 5353, ip, 53), ("tcp", "", 5353, ip, 54)])
    for where, target in ((None, "127.0.0.1"), (None, HOST), (outside, HOST), (place, HOST)):
        with inside(where) if where else contextlib.nullcontext():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(3)
        client.connect((target, 5353))
        client.send(b"ask")
        question, peer = server.recvfrom(10)
        assert question == b"ask"
        server.sendto(b"answer", peer)
        assert client.recv(10) == b"answer"
    assert seen_from(tcp, outside, (HOST, 5353)) == OUTSIDE
    os.close(holder)


def frame(source: str, target: str, port: int, macs: tuple[str, str]) -> bytes:
    """An Ethernet frame with an UDP datagram, addressed as no routing table would let it be."""
    total = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 8 + 4, 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
    value = sum(struct.unpack("!10H", total))
    value = (value & 0xFFFF) + (value >> 16)
    head = total[:10] + struct.pack("!H", ~value & 0xFFFF) + total[12:]
    ethernet = rtnetlink.mac_bytes(macs[1]) + rtnetlink.mac_bytes(macs[0]) + b"\x08\x00"
    return ethernet + head + struct.pack("!HHHH", 999, port, 12, 0) + b"evil"


def inject(place: sandbox.Sandbox, data: bytes) -> None:
    with inside(place), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(data)


def hears(server: socket.socket) -> bool:
    server.settimeout(0.3)
    try:
        server.recv(10)
    except TimeoutError:
        return False
    return True


@isolated
def test_the_hosts_loopback_is_shut_to_containers() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    place, ip = container(info, 2)
    secret = listener(None, "127.0.0.1", 6666, socket.SOCK_DGRAM)
    evil = frame(ip, "127.0.0.1", 6666, (ipam.mac_of(ip), ipam.mac_of(info.gateway)))
    inject(place, evil)
    assert not hears(secret)
    output("nft", "flush", "chain", "ip", TABLE, "raw")
    inject(place, evil)
    assert hears(secret), "the frame is no proof: it does not arrive without the rule either"


@isolated
def test_a_port_on_127_0_0_1_is_shut_to_neighbours() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    server = listener(place, "0.0.0.0", 80, socket.SOCK_DGRAM)
    portmap.publish(TABLE, [("udp", "127.0.0.1", 81, ip, 80)])
    with rtnetlink.Route() as route:
        host_mac = route.find("out0").mac
    outside_mac = outside.route.find("eth0").mac
    evil = frame(OUTSIDE, "127.0.0.1", 81, (outside_mac, host_mac))
    inject(outside, evil)
    assert not hears(server)
    rules = json.loads(output("nft", "-j", "-a", "list", "chain", "ip", TABLE, "prerouting"))["nftables"]
    first = next(each["rule"]["handle"] for each in rules if "rule" in each)
    output("nft", "delete", "rule", "ip", TABLE, "prerouting", "handle", str(first))
    inject(outside, evil)
    assert hears(server), "the frame is no proof: it does not arrive without the rule either"


@isolated
def test_beside_a_forward_chain_that_drops() -> None:
    output("iptables", "-P", "FORWARD", "DROP")
    output("iptables", "-N", "DOCKER-USER")
    output("iptables", "-A", "DOCKER-USER", "-j", "RETURN")
    output("iptables", "-A", "FORWARD", "-j", "DOCKER-USER")
    before = output("iptables", "-S")
    info = bridge.ensure(NAME, TABLE, SUBNET)
    bridge.ensure(NAME, TABLE, SUBNET)
    outside = outside_machine()
    place, ip = container(info, 2)
    server = listener(place, "0.0.0.0", 80)
    portmap.publish(TABLE, [("tcp", "", 8080, ip, 80)])
    assert seen_from(server, outside, (HOST, 8080)) == OUTSIDE
    assert seen_from(listener(outside, OUTSIDE, 7), place, (OUTSIDE, 7)) == HOST
    # iptables can still read the chain, and each rule is there once
    lines = output("iptables", "-S", "DOCKER-USER").splitlines()
    comment = f'-m comment --comment "boxship {NAME}" -j ACCEPT'
    assert lines == [
        "-N DOCKER-USER",
        f"-A DOCKER-USER -i {NAME} {comment}",
        f"-A DOCKER-USER -o {NAME} {comment}",
        "-A DOCKER-USER -j RETURN",
    ]
    # a daemon that starts later
    output("iptables", "-F", "DOCKER-USER")
    assert refused(outside, (HOST, 8080))
    bridge.ensure(NAME, TABLE, SUBNET)
    assert seen_from(server, outside, (HOST, 8080)) == OUTSIDE
    output("iptables", "-A", "DOCKER-USER", "-j", "RETURN")
    bridge.remove(NAME, TABLE)
    assert output("iptables", "-S") == before


@isolated
def test_without_docker_user_the_rules_go_into_forward() -> None:
    output("iptables", "-P", "FORWARD", "DROP")
    bridge.ensure(NAME, TABLE, SUBNET)
    bridge.ensure(NAME, TABLE, SUBNET)
    assert len(output("iptables", "-S", "FORWARD").splitlines()) == 3
    bridge.remove(NAME, TABLE)
    assert output("iptables", "-S", "FORWARD").splitlines() == ["-P FORWARD DROP"]


@isolated
def test_ensure_is_idempotent_and_remove_leaves_nothing() -> None:
    first = bridge.ensure(NAME, TABLE, SUBNET)
    rules = output("nft", "list", "ruleset")
    again = bridge.ensure(NAME, TABLE, SUBNET)
    assert (first.fresh, again.fresh) == (True, False)
    assert (first.ifindex, first.gateway, first.prefixlen) == (again.ifindex, "172.17.0.1", 16)
    assert output("nft", "list", "ruleset") == rules
    [link] = json.loads(output("ip", "-j", "addr", "show", NAME))
    assert "UP" in link["flags"] and link["address"] == "02:42:ac:11:00:01"
    [address] = link["addr_info"]
    assert (address["local"], address["prefixlen"], address["broadcast"]) == ("172.17.0.1", 16, "172.17.255.255")
    for key, value in (("ip_forward", "1"), (f"conf/{NAME}/route_localnet", "1")):
        with open(f"/proc/sys/net/ipv4/{key}") as file:
            assert file.read().strip() == value
    bridge.remove(NAME, TABLE)
    bridge.remove(NAME, TABLE)
    assert output("nft", "list", "ruleset") == ""
    assert [each["ifname"] for each in json.loads(output("ip", "-j", "link"))] == ["lo"]


@isolated
def test_ensure_mends_what_others_broke() -> None:
    bridge.ensure(NAME, TABLE, SUBNET)
    output("nft", "flush", "ruleset")
    assert bridge.ensure(NAME, TABLE, SUBNET).fresh
    output("ip", "link", "delete", NAME)
    assert not bridge.ensure(NAME, TABLE, SUBNET).fresh
    output("ip", "link", "set", NAME, "down")
    bridge.ensure(NAME, TABLE, SUBNET)
    assert "UP" in json.loads(output("ip", "-j", "link", "show", NAME))[0]["flags"]


@isolated
def test_another_subnet() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    place, _ = container(info, 2)
    with pytest.raises(Conflict, match="172.17.0.0/16"):
        bridge.ensure(NAME, TABLE, "10.1.0.0/24")
    assert SUBNET in output("nft", "list", "table", "ip", TABLE), "a refusal leaves the rules as they were"
    place.close()
    with rtnetlink.Route() as route:
        wait_until(lambda: not route.links(master=info.ifindex))
    info = bridge.ensure(NAME, TABLE, "10.1.0.0/24")
    assert (info.gateway, info.prefixlen, info.fresh) == ("10.1.0.1", 24, True)
    assert [each["addr_info"][0]["local"] for each in json.loads(output("ip", "-j", "addr", "show", NAME))] == ["10.1.0.1"]
    assert SUBNET not in output("nft", "list", "table", "ip", TABLE)


@isolated
def test_a_foreign_interface_is_left_alone() -> None:
    output("ip", "link", "add", NAME, "type", "veth", "peer", "name", "other0")
    with pytest.raises(Conflict, match=f"not ours: {NAME}"):
        bridge.ensure(NAME, TABLE, SUBNET)
    bridge.remove(NAME, TABLE)
    output("ip", "link", "show", NAME)


@isolated
def test_many_processes_at_once() -> None:
    ready, go = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)
            try:
                os._exit(1 if bridge.ensure(NAME, TABLE, SUBNET).fresh else 0)
            except BoxshipError:
                traceback.print_exc()
            finally:
                os._exit(9)
        children.append(child)
    os.close(go)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert codes == [0] * 7 + [1]
    many = output("nft", "list", "ruleset")
    bridge.remove(NAME, TABLE)
    bridge.ensure(NAME, TABLE, SUBNET)
    assert output("nft", "list", "ruleset") == many


def wait_until(condition: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


@isolated
def test_a_sandbox_from_inside() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    home = os.readlink("/proc/self/ns/net")
    place, ip = container(info, 2)
    assert os.readlink("/proc/self/ns/net") == home
    assert not os.get_inheritable(place.fd)
    with inside(place):
        links = {each["ifname"]: each for each in json.loads(output("ip", "-j", "addr"))}
        assert set(links) == {"lo", "eth0"}
        assert links["eth0"]["address"] == "02:42:ac:11:00:02"
        assert [(a["local"], a["prefixlen"], a["broadcast"]) for a in links["eth0"]["addr_info"]] == [(ip, 16, "172.17.255.255")]
        assert {a["local"] for a in links["lo"]["addr_info"]} == {"127.0.0.1", "::1"}
        routes = {each["dst"]: each.get("gateway") for each in json.loads(output("ip", "-j", "route"))}
        assert routes == {"default": "172.17.0.1", SUBNET: None}
        for key, value in (("disable_ipv6", "1"), ("accept_ra", "0")):
            with open(f"/proc/sys/net/ipv6/conf/eth0/{key}") as file:
                assert file.read().strip() == value


@isolated
def test_loopback_only() -> None:
    place = sandbox.create()
    sandbox.loopback_only(place)
    server = listener(place, "127.0.0.1", 80)
    assert seen_from(server, place, ("127.0.0.1", 80)) == "127.0.0.1"
    with inside(place):
        assert [each["ifname"] for each in json.loads(output("ip", "-j", "link"))] == ["lo"]
        assert output("ip", "route") == ""


@isolated
def test_closing_is_the_tear_down() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    before = len(os.listdir("/proc/self/fd"))
    place, _ = container(info, 2)
    with rtnetlink.Route() as route:
        assert [link.name for link in route.links(master=info.ifindex)] == ["veth2"]
        place.close()
        place.close()
        wait_until(lambda: not route.links(master=info.ifindex))
    assert len(os.listdir("/proc/self/fd")) == before


@isolated
def test_a_failure_to_connect_leaves_nothing() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    before = len(os.listdir("/proc/self/fd"))
    place = sandbox.create()
    with pytest.raises(BoxshipError, match="eth0|NEWLINK|NEWROUTE|default via"):
        sandbox.connect(place, info.ifindex, "172.17.0.2", 16, "10.0.0.1", "02:42:ac:11:00:02", "veth2")
    place.close()
    with rtnetlink.Route() as route:
        wait_until(lambda: route.find("veth2") is None)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.serial
@isolated
def test_a_restarted_container_is_reached_at_once() -> None:
    info = bridge.ensure(NAME, TABLE, SUBNET)
    slowest = 0.0
    for round_ in range(30):
        ip = "172.17.0.2"
        place = sandbox.create()
        sandbox.connect(place, info.ifindex, ip, 16, info.gateway, ipam.mac_of(ip), f"v{round_}")
        server = listener(place, "0.0.0.0", 80)
        start = time.monotonic()
        seen_from(server, None, (ip, 80))
        seen_from(server, place, (ip, 80))
        slowest = max(slowest, time.monotonic() - start)
        server.close()
        place.close()
    assert slowest < 0.9, "an ARP request or a frame went to the wrong port of the bridge"


@isolated
def test_elements_of_the_maps() -> None:
    bridge.ensure(NAME, TABLE, SUBNET)
    first = [("tcp", "", 8080, "172.17.0.2", 80), ("udp", "10.0.0.1", 53, "172.17.0.2", 5353), ("sctp", "", 9, "172.17.0.2", 9)]
    portmap.publish(TABLE, first)
    portmap.publish(TABLE, first)
    want = {("tcp", "0.0.0.0", 8080, "172.17.0.2", 80), ("udp", "10.0.0.1", 53, "172.17.0.2", 5353)}
    want.add(("sctp", "0.0.0.0", 9, "172.17.0.2", 9))
    assert set(portmap.published(TABLE)) == want
    # the last container was killed before it could take its port back
    portmap.publish(TABLE, [("tcp", "0.0.0.0", 8080, "172.17.0.3", 81), ("tcp", "", 8081, "172.17.0.3", 81)])
    portmap.unpublish(TABLE, first)
    assert set(portmap.published(TABLE)) == {("tcp", "0.0.0.0", p, "172.17.0.3", 81) for p in (8080, 8081)}
    listed = json.loads(output("nft", "-j", "list", "map", "ip", TABLE, "ports"))["nftables"][1]["map"]["elem"]
    assert [{"concat": ["tcp", 8080]}, {"concat": ["172.17.0.3", 81]}] in listed
    bridge.remove(NAME, TABLE)
    assert portmap.published(TABLE) == []
    portmap.unpublish(TABLE, first)
    with pytest.raises(BoxshipError):
        portmap.publish(TABLE, first)


@isolated
def test_many_elements_in_one_batch() -> None:
    bridge.ensure(NAME, TABLE, SUBNET)
    many = [("tcp", "", port, "172.17.0.2", port) for port in range(1, 5001)]
    portmap.publish(TABLE, many)
    assert len(portmap.published(TABLE)) == 5000
    portmap.unpublish(TABLE, many)
    assert portmap.published(TABLE) == []


RULESET = """
table ip boxship {
  comment "boxship 1 boxship0 172.17.0.0/16"
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map address_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  chain raw { type filter hook prerouting priority raw; policy accept;
    iifname "boxship0" ip daddr 127.0.0.0/8 drop
    iifname "boxship0" ip saddr 127.0.0.0/8 drop
  }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept;
    ip daddr 127.0.0.0/8 return
    dnat ip to ip daddr . meta l4proto . th dport map @address_ports
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
  }
  chain output { type nat hook output priority -100; policy accept;
    dnat ip to ip daddr . meta l4proto . th dport map @address_ports
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
  }
  chain forward { type filter hook forward priority filter; policy accept;
    oifname "boxship0" ct state established,related accept
    oifname "boxship0" ct status dnat accept
    oifname "boxship0" iifname != "boxship0" drop
  }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 oifname != "boxship0" masquerade
    oifname "boxship0" ip saddr 172.17.0.0/16 ct status dnat masquerade
    oifname "boxship0" ip saddr 127.0.0.0/8 masquerade
  }
}
"""


@isolated
def test_our_rules_are_what_nft_makes_of_the_same_words() -> None:
    bridge.ensure(NAME, TABLE, SUBNET)
    ours = output("nft", "list", "ruleset")
    bridge.remove(NAME, TABLE)
    subprocess.run(["nft", "-f", "-"], input=RULESET, text=True, check=True)
    assert ours == output("nft", "list", "ruleset")
    with nftables.Nftables() as rules:
        theirs = {chain.name: (chain.kind, chain.hook, chain.priority, chain.policy) for chain in rules.chains()}
    assert theirs["postrouting"] == ("nat", nftables.HOOK_POSTROUTING, 100, nftables.NF_ACCEPT)
    assert theirs["raw"] == ("filter", nftables.HOOK_PREROUTING, -300, nftables.NF_ACCEPT)
