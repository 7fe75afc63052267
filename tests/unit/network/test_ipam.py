import pytest

from boxship.errors import InvalidArgument, Unavailable
from boxship.network import ipam

NET = "172.17.0.0/16"


def test_first_address_follows_the_gateway() -> None:
    assert ipam.gateway(NET) == "172.17.0.1"
    assert ipam.next_address(NET, []) == "172.17.0.2"
    assert ipam.next_address(NET, ["172.17.0.2", "172.17.0.3"]) == "172.17.0.4"


def test_goes_round_instead_of_giving_the_last_one_back() -> None:
    assert ipam.next_address(NET, [], "172.17.0.2") == "172.17.0.3"
    assert ipam.next_address(NET, ["172.17.0.4"], "172.17.0.3") == "172.17.0.5"
    assert ipam.next_address("10.0.0.0/29", [], "10.0.0.6") == "10.0.0.2"
    assert ipam.next_address("10.0.0.0/29", ["10.0.0.2"], "10.0.0.6") == "10.0.0.3"


def test_a_last_address_of_another_subnet_is_of_no_account() -> None:
    assert ipam.next_address(NET, [], "10.0.0.9") == "172.17.0.2"


def test_gives_every_address_once_and_never_the_reserved_ones() -> None:
    used: list[str] = []
    last = ""
    with pytest.raises(Unavailable, match="no available IPv4 addresses on this network's address pools: bridge"):
        for _ in range(100):
            last = ipam.next_address("10.0.0.0/28", used, last)
            used.append(last)
    assert sorted(used, key=ipam.number) == [f"10.0.0.{n}" for n in range(2, 15)]


def test_mac_carries_the_address() -> None:
    assert ipam.mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert ipam.mac_of("192.168.240.255") == "02:42:c0:a8:f0:ff"


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.x", "::1", "01.2.3.4/8", "1.2.3.4\0"])
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid IPv4 address"):
        ipam.number(text)


@pytest.mark.parametrize("text", ["1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/x", "1.2.3.4/²"])
def test_refuses_what_is_no_subnet(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid subnet"):
        ipam.parse_subnet(text)


def test_subnets_overlap_when_one_holds_the_other() -> None:
    assert ipam.overlap("172.16.0.0/12", NET)
    assert ipam.overlap(NET, "172.17.3.4/32")
    assert ipam.overlap("0.0.0.0/0", NET)
    assert not ipam.overlap("172.18.0.0/16", NET)


def test_broadcast() -> None:
    assert ipam.broadcast("172.17.0.2", 16) == "172.17.255.255"
    assert ipam.broadcast("10.0.0.1", 29) == "10.0.0.7"
