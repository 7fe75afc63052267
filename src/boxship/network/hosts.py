"""A container's /etc/hosts. Pure."""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HOST_GATEWAY = "host-gateway"

_IPV4 = "127.0.0.1\tlocalhost\n"
_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def container_file(
    hostname: str,
    domainname: str = "",
    ips: "Iterable[str]" = (),
    extra: "Iterable[str]" = (),
    gateway: str = "",
    *,
    ipv6: bool = True,
) -> str:
    """The text of the file: loopback, then --add-host, then the container's own name.

    `extra` are 'NAME:ADDRESS' as in HostConfig.ExtraHosts; the address host-gateway stands for `gateway`. `ipv6` says whether
    the container's loopback interface has ::1. Raises InvalidArgument.
    """
    lines = [_IPV4, _IPV6 if ipv6 else ""]
    lines += [f"{_address(ip, gateway)}\t{name}\n" for name, ip in map(_split, extra)]
    names = _names(hostname, domainname)
    lines += [f"{ip}\t{names}\n" for ip in ips]
    return "".join(lines)


def _split(entry: str) -> "tuple[str, str]":
    name, colon, ip = entry.partition(":")
    if not name or not colon or not ip:
        raise InvalidArgument(f'bad format for add-host: "{entry}"', hint="write it as NAME:ADDRESS")
    return name, ip


def _address(ip: str, gateway: str) -> str:
    if ip != HOST_GATEWAY:
        return ip
    if not gateway:
        raise InvalidArgument("unable to derive the IP value for host-gateway", hint="the container has no network with a gateway")
    return gateway


def _names(hostname: str, domainname: str) -> str:
    """The full name, then the name alone: hostname 'a.b' is 'a.b a'."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short, dot, _domain = full.partition(".")
    return f"{full} {short}" if dot else full
