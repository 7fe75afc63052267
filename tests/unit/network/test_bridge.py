import pytest

from boxship.errors import InvalidArgument, Unavailable
from boxship.network import bridge


def test_names_of_stores() -> None:
    assert bridge.names("") == ("boxship0", "boxship")
    name, table = bridge.names("89abcdef")
    assert (name, table) == ("bx89abcdef", "boxship_89abcdef")
    assert len(name) <= 15


def test_first_pool_that_the_host_does_not_use() -> None:
    assert bridge.choose_subnet({}, [], ["0.0.0.0/0"]) == "172.17.0.0/16"
    assert bridge.choose_subnet({}, ["172.17.0.1/16"], []) == "172.18.0.0/16"
    assert bridge.choose_subnet({}, ["172.18.5.1/24"], ["172.17.3.0/24"]) == "172.19.0.0/16"
    assert bridge.choose_subnet({}, ["127.0.0.1/8"], ["172.16.0.0/12"]) == "192.168.0.0/20"
    assert bridge.choose_subnet({}, ["192.168.1.7/24"], ["172.16.0.0/12"]) == "192.168.16.0/20"


def test_no_pool_left() -> None:
    with pytest.raises(Unavailable, match="non-overlapping IPv4 address pool") as caught:
        bridge.choose_subnet({}, [], ["172.16.0.0/12", "192.168.0.0/16"])
    assert "boxship.toml" in (caught.value.hint or "")


def test_the_setting_wins() -> None:
    assert bridge.choose_subnet({"network": {"subnet": "10.9.8.7/24"}}, ["10.9.8.1/24"], []) == "10.9.8.0/24"


@pytest.mark.parametrize("subnet", ["10.0.0.0", "10.0.0.0/30", "10.0.0.0/7", "x/16", "fd00::/64", 16, ["10.0.0.0/8"]])
def test_a_bad_setting_is_refused(subnet: object) -> None:
    with pytest.raises(InvalidArgument):
        bridge.choose_subnet({"network": {"subnet": subnet}}, [], [])
