"""A container's network namespace, made by the shim (a process with a single thread) before the container exists.

    sandbox = create()                                       # the caller stands in the host's namespace before and after
    connect(sandbox, bridge.ifindex, ip, 16, gateway, mac, "vethXXXXXXX")
    ... setns(sandbox.fd, CLONE_NEWNET) in the container's init ...
    sandbox.close()

Nothing is mounted anywhere: the namespace lives as long as a descriptor or a process is in it. Closing the last one is the
tear-down; the kernel removes both ends of the veth by itself, later. Deleting the veth would make us wait for that (32 ms).
"""

import os
import time
from errno import ENODEV, ENOENT

from boxship.errors import KernelError
from boxship.linux import ns, rtnetlink
from boxship.network import ipam

_OWN = "/proc/thread-self/ns/net"
_LOOPBACK = 1  # in every network namespace

# An address of the container's own choice, or a router that a neighbour advertises, would be a way around the bridge.
# `default` is what eth0 starts from; lo keeps ::1, as Docker's containers do.
_SYSCTLS = (("ipv6/conf/default/disable_ipv6", b"1"), ("ipv6/conf/default/accept_ra", b"0"))

_SETTLE_SECONDS = 0.5
_SETTLE_STEP = 0.0005


class Sandbox:
    """`fd` is the namespace (close-on-exec), `route` an rtnetlink socket inside it."""

    __slots__ = ("fd", "route")

    def __init__(self, fd: int, route: rtnetlink.Route) -> None:
        self.fd = fd
        self.route = route

    def close(self) -> None:
        """Let go of the namespace. May be called twice."""
        self.route.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_namespace() -> int:
    try:
        return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError("open", error.errno or 0, _OWN) from None


def create() -> Sandbox:
    """A new network namespace with nothing but a loopback interface that is down. Raises KernelError."""
    home = _open_namespace()
    try:
        ns.unshare(ns.CLONE_NEWNET)
        try:
            return _inside()
        finally:
            ns.setns(home, ns.CLONE_NEWNET)
    finally:
        os.close(home)


def _inside() -> Sandbox:
    for key, value in _SYSCTLS:
        write_sysctl(key, value)
    fd = _open_namespace()
    try:
        return Sandbox(fd, rtnetlink.Route())
    except KernelError:
        os.close(fd)
        raise


def write_sysctl(key: str, value: bytes) -> None:
    """Write /proc/sys/net/KEY of the namespace in which the caller stands; no such file (no IPv6 here) is no error."""
    path = f"/proc/sys/net/{key}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno != ENOENT:
            raise KernelError("write", error.errno or 0, path) from None


def loopback_only(sandbox: Sandbox) -> None:
    """`--network none`: lo is up, and that is all."""
    sandbox.route.send(rtnetlink.change_link(_LOOPBACK, up=True))


def connect(
    sandbox: Sandbox,
    bridge_ifindex: int,
    ip: str,
    prefixlen: int,
    gateway: str,
    mac: str,
    host_veth_name: str,
    *,
    interface: str = "eth0",
    hairpin: bool = False,
) -> None:
    """Give the sandbox an interface on the bridge, its address and a default route (none when `gateway` is '').

    `hairpin` lets the container reach its own published ports; it also gets its own broadcasts back, so leave it off for a
    container that publishes none. (Where br_netfilter is loaded, the packet is turned round inside the bridge.)
    `host_veth_name` must be fresh: the end of a sandbox that was closed a moment ago may still be there. Raises KernelError;
    the caller then closes the sandbox, and nothing is left.
    """
    inside = sandbox.route
    with rtnetlink.Route() as host:
        host.send(rtnetlink.veth(host_veth_name, peer=interface, peer_ns=sandbox.fd, peer_mac=mac, master=bridge_ifindex))
        index = inside.index(interface)
        steps = [
            rtnetlink.change_link(_LOOPBACK, up=True),
            rtnetlink.address(index, ip, prefixlen, ipam.broadcast(ip, prefixlen)),
            rtnetlink.change_link(index, up=True),
        ]
        if gateway:
            steps.append(rtnetlink.default_route(gateway, index))
        inside.send(*steps)
        index = _settle(host, host_veth_name)
        # a container that was restarted has the same address on another port
        last = [rtnetlink.bridge_entry(index, mac)]
        if hairpin:
            last.append(rtnetlink.hairpin(index))
        host.send(*last)


def _settle(host: rtnetlink.Route, port: str) -> int:
    """Wait until the bridge forwards over the port: an ARP request lost before that is repeated after a whole second.
    Returns the index of the port.

    The kernel's link watcher sees to it in the background. Asking for the link makes it do so at once (Linux 6.8 and newer).
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        link = host.find(port)
        if link is None:
            raise KernelError("rtnetlink GETLINK", ENODEV, port)
        if link.forwarding or time.monotonic() > deadline:
            return link.index
        time.sleep(_SETTLE_STEP)
