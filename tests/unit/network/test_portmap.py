"""Reservations of ports, with real sockets on loopback: nothing here needs root."""

import os
import socket

import pytest

from boxship.errors import Conflict, InvalidArgument, Unavailable, Unsupported
from boxship.network import portmap

LOCAL = "127.0.0.1"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def host_program(port: int, kind: int, ip: str = LOCAL, reuse: bool = True) -> socket.socket:
    server = socket.socket(socket.AF_INET, kind)
    if reuse:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((ip, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
    except OSError:
        server.close()
        raise
    return server


KINDS = pytest.mark.parametrize(("proto", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])


@KINDS
def test_nobody_else_gets_a_reserved_port(proto: str, kind: int) -> None:
    port = free_port(kind)
    fd = portmap.reserve(LOCAL, port, proto)
    try:
        assert not os.get_inheritable(fd)
        with pytest.raises(Conflict, match=f"failed to bind host port {LOCAL}:{port}/{proto}: address already in use"):
            portmap.reserve(LOCAL, port, proto)
        with pytest.raises(Conflict):
            portmap.reserve("", port, proto)
        for reuse in (False, True):
            for ip in (LOCAL, "0.0.0.0"):
                with pytest.raises(OSError, match="in use"):
                    host_program(port, kind, ip, reuse)
    finally:
        os.close(fd)
    host_program(port, kind).close()


@KINDS
def test_the_port_of_a_program_is_not_reserved(proto: str, kind: int) -> None:
    port = free_port(kind)
    with host_program(port, kind), pytest.raises(Conflict) as caught:
        portmap.reserve("0.0.0.0", port, proto, endpoint="web")
    assert caught.value.message == (
        "driver failed programming external connectivity on endpoint web: "
        f"failed to bind host port 0.0.0.0:{port}/{proto}: address already in use"
    )


def leave_time_wait(port: int) -> None:
    """The server closes first, so that its port keeps a connection in TIME_WAIT."""
    with host_program(port, socket.SOCK_STREAM) as server:
        client = socket.create_connection((LOCAL, port))
        accepted, _ = server.accept()
        accepted.close()
        assert client.recv(1) == b""
        client.close()


def test_old_connections_are_no_hindrance_and_no_loophole() -> None:
    port = free_port()
    leave_time_wait(port)
    with pytest.raises(OSError, match="in use"):
        host_program(port, socket.SOCK_STREAM, reuse=False)
    fd = portmap.reserve(LOCAL, port, "tcp")
    try:
        with pytest.raises(Conflict):
            portmap.reserve(LOCAL, port, "tcp")
        for reuse in (False, True):
            with pytest.raises(OSError, match="in use"):
                host_program(port, socket.SOCK_STREAM, reuse=reuse)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOCAL, port), 2)
    finally:
        os.close(fd)


def test_a_reservation_refuses_connections() -> None:
    port = free_port()
    fd = portmap.reserve("", port, "tcp")
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOCAL, port), 2)
    finally:
        os.close(fd)


def test_free_port_of_a_range() -> None:
    first = 20000 + os.getpid() % 10000
    port, fd = portmap.reserve_free(LOCAL, "tcp", first=first, last=first + 30)
    try:
        assert first <= port <= first + 30
        following, other = portmap.reserve_free(LOCAL, "tcp", first=port, last=first + 30, taken={port + 1})
        os.close(other)
        assert following > port + 1
        with pytest.raises(Unavailable, match="all ports are allocated"):
            portmap.reserve_free(LOCAL, "tcp", first=port, last=port)
        around, other = portmap.reserve_free(LOCAL, "tcp", first=port, last=port + 1, after=port)
        os.close(other)
        assert around == port + 1
    finally:
        os.close(fd)


@KINDS
def test_free_port_of_the_kernels_range(proto: str, kind: int) -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    port, fd = portmap.reserve_free("", proto)
    os.close(fd)
    assert low <= port <= high


def test_an_address_of_another_host() -> None:
    with pytest.raises(Unavailable, match="cannot assign requested address") as caught:
        portmap.reserve("192.0.2.77", free_port(), "tcp")
    assert caught.value.hint
    with pytest.raises(Unavailable, match="cannot assign requested address"):
        portmap.reserve_free("192.0.2.77", "tcp")


def test_words_for_a_port_of_another_container() -> None:
    error = portmap.already_allocated("web", "", 8080)
    assert error.message == (
        "driver failed programming external connectivity on endpoint web: Bind for 0.0.0.0:8080 failed: port is already allocated"
    )


def test_what_can_not_be_published() -> None:
    with pytest.raises(InvalidArgument, match="invalid protocol: icmp"):
        portmap.reserve(LOCAL, 1, "icmp")
    with pytest.raises(InvalidArgument, match="invalid protocol: icmp"):
        portmap.publish("t", [("icmp", "", 1, "172.17.0.2", 1)])
    with pytest.raises(Unsupported, match="IPv6"):
        portmap.publish("t", [("tcp", "::1", 1, "172.17.0.2", 1)])
    for port in (0, -1, 65536):
        with pytest.raises(InvalidArgument, match="invalid port"):
            portmap.publish("t", [("tcp", "", port, "172.17.0.2", 1)])
        with pytest.raises(InvalidArgument, match="invalid port"):
            portmap.reserve(LOCAL, port, "tcp")
    portmap.publish("t", [])
    portmap.unpublish("t", [])
