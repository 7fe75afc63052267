"""Published and exposed ports as run and create take them. Pure; refusals are ValueError in Docker's words."""

from boxship.cli.values import is_ip

_PROTOCOLS = frozenset(("tcp", "udp", "sctp"))


def parse_number(text: str) -> int:
    """A port number, 0 to 65535."""
    if not text:
        raise ValueError("value is empty")
    body = text[1:] if text[0] in "+-" else text
    if not (body.isascii() and body.isdigit()):
        raise ValueError("invalid syntax")
    if not 0 <= int(text) <= 65535:
        raise ValueError("value out of range (0–65535)")
    return int(text)


def parse_range(text: str) -> "tuple[int, int]":
    """First and last of "80" or "80-90"."""
    if not text:
        raise ValueError("empty string specified for ports")
    first, dash, last = text.partition("-")
    start = _end(first, "start")
    end = _end(last, "end") if dash else start
    if end < start:
        raise ValueError(f"invalid port range: {text}")
    return start, end


def _end(text: str, which: str) -> int:
    try:
        return parse_number(text)
    except ValueError as error:
        raise ValueError(f"invalid {which} port '{text}': {error}") from None


def split_protocol(text: str) -> "tuple[str, str]":
    """ "80-90/udp" -> ("80-90", "udp"); tcp when none is given; ("", "") without a port."""
    port, _, protocol = text.partition("/")
    if not port:
        return "", ""
    return port, protocol or "tcp"


def expand(text: str) -> "list[str]":
    """Every port of --expose: "80-81/udp" -> ["80/udp", "81/udp"]."""
    port, protocol = split_protocol(text)
    if not port:
        raise ValueError("invalid start port '': value is empty")
    first, last = parse_range(port)
    return [f"{number}/{protocol.lower()}" for number in range(first, last + 1)]


def short_form(text: str) -> str:
    """-p with key=value pairs in short syntax: "target=80,published=8080" -> "8080:80/tcp". Others stay as they are."""
    if "=" not in text:
        return text
    found = {"protocol": "tcp", "published": "", "target": ""}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"invalid publish opts format (should be name=value but got '{pair}')")
        found[name] = value
    return f"{found['published']}:{found['target']}/{found['protocol']}"


def parse_publish(text: str) -> "list[tuple[str, str, str]]":
    """One -p in short syntax as (container port, host address, host port): ("80/tcp", "", "8080").

    The host port is empty when the engine is to choose, and a range when it is to choose from one.
    """
    address, host, container = _parts(text)
    port, protocol = split_protocol(container)
    if address and not is_ip(address):
        raise ValueError(f"invalid IP address: {address}")
    if not port:
        raise ValueError(f"no port specified: {text}<empty>")
    first, last = _range_or("containerPort", port)
    low, high = _range_or("hostPort", host) if host else (0, 0)
    if host and last - first != high - low and last != first:
        raise ValueError(f"invalid ranges specified for container and host Ports: {port} and {host}")
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    protocol = protocol.lower()
    if host and first == last and high > low:
        return [(f"{first}/{protocol}", address, f"{low}-{high}")]
    return [(f"{first + step}/{protocol}", address, str(low + step) if host else "") for step in range(last - first + 1)]


def _parts(text: str) -> "tuple[str, str, str]":
    parts = text.split(":")
    container = parts[-1]
    host = parts[-2] if len(parts) > 1 else ""
    address = ":".join(parts[:-2])
    if address[:1] == "[":
        if address[-1] != "]":
            raise ValueError(f"invalid IP address: {address}")
        address = address[1:-1]
    return address, host, container


def _range_or(name: str, text: str) -> "tuple[int, int]":
    try:
        return parse_range(text)
    except ValueError:
        raise ValueError(f"invalid {name}: {text}") from None
