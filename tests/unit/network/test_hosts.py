import pytest

from boxship.errors import InvalidArgument
from boxship.network import hosts

LOOPBACK = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def test_own_name() -> None:
    assert hosts.container_file("0123456789ab", ips=["172.17.0.2"]) == LOOPBACK + "172.17.0.2\t0123456789ab\n"


def test_domain_gives_both_names() -> None:
    want = LOOPBACK + "172.17.0.2\tweb.example.com web\n"
    assert hosts.container_file("web", "example.com", ["172.17.0.2"]) == want
    assert hosts.container_file("web.example.com", ips=["172.17.0.2"]) == want


def test_without_a_network() -> None:
    assert hosts.container_file("x") == LOOPBACK
    assert hosts.container_file("x", ipv6=False) == "127.0.0.1\tlocalhost\n"


def test_add_host() -> None:
    extra = ["db:10.0.0.5", "six:2001:db8::1", "me:host-gateway"]
    got = hosts.container_file("x", ips=["172.17.0.2"], extra=extra, gateway="172.17.0.1")
    assert got == LOOPBACK + "10.0.0.5\tdb\n2001:db8::1\tsix\n172.17.0.1\tme\n172.17.0.2\tx\n"


@pytest.mark.parametrize("entry", ["", "name", "name:", ":1.2.3.4"])
def test_bad_entry(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="bad format for add-host"):
        hosts.container_file("x", extra=[entry])


def test_host_gateway_without_one() -> None:
    with pytest.raises(InvalidArgument, match="host-gateway"):
        hosts.container_file("x", extra=["me:host-gateway"])
