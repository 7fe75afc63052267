from boxship.network import resolv


def test_loopback_servers_are_dropped() -> None:
    host = "# by hand\nnameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver ::1\nsearch lan home\noptions ndots:2\n"
    assert resolv.container_file(host) == "nameserver 10.0.0.53\nsearch lan home\noptions ndots:2\n"


def test_google_where_none_is_left() -> None:
    assert resolv.container_file("nameserver 127.0.0.53\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    assert resolv.container_file("") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    assert resolv.container_file("nameserver 2001:4860:4860::8888\n").startswith("nameserver 8.8.8.8\n")


def test_host_network_keeps_the_hosts_servers() -> None:
    assert resolv.container_file("nameserver 127.0.0.53\n", bridge=False) == "nameserver 127.0.0.53\n"
    assert resolv.container_file("", bridge=False) == ""


def test_the_users_words_replace_the_hosts() -> None:
    host = "nameserver 10.0.0.53\nsearch lan\noptions ndots:2\nsortlist 10.0.0.0\n"
    got = resolv.container_file(host, dns=["1.1.1.1", "127.0.0.1"], search=["a.b", "c"], options=["use-vc", "debug"])
    assert got == "nameserver 1.1.1.1\nnameserver 127.0.0.1\nsearch a.b c\noptions use-vc debug\nsortlist 10.0.0.0\n"


def test_a_dot_means_no_search() -> None:
    assert resolv.container_file("nameserver 10.0.0.53\nsearch lan\n", search=["."]) == "nameserver 10.0.0.53\n"


def test_odd_lines() -> None:
    host = "nameserver\nnameserver nonsense\n; x\nnameserver fe80::1%eth0\n\n  nameserver 10.0.0.1 extra\ndomain a\nsearch b\n"
    assert resolv.container_file(host) == "nameserver 10.0.0.1\nsearch b\n"


def test_systemds_stub_leads_to_its_own_file() -> None:
    assert resolv.host_file("nameserver 127.0.0.53\noptions edns0\n") == "/run/systemd/resolve/resolv.conf"
    assert resolv.host_file("nameserver 127.0.0.53\nnameserver 1.1.1.1\n") == "/etc/resolv.conf"
    assert resolv.host_file("") == "/etc/resolv.conf"
