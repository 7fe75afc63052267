"""Values inside instructions: durations, ports, working directories, comma lists, sources."""

from __future__ import annotations

import posixpath

from boxship.build.dockerfile.commands import Device
from boxship.build.dockerfile.text import clean, parse_bool, quote, suggested
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST = (1 << 63) - 1
_PART_MAX = 64
_MAX_PORT = 65535


def duration(text: str) -> int:
    """Nanoseconds of a duration as Go writes it: "1h30m", "1.5s", "-2ms", "0"."""
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0
    total = _sum(body)
    if total is None or total > _LONGEST:
        raise DockerfileError(f"invalid duration: {quote(text)}", hint='write it like "30s" or "1m30s"')
    return -total if text[0] == "-" else total


def _sum(body: str) -> int | None:
    """Nanoseconds of number and unit, once or several times; None when it is no such text."""
    if not body:
        return None
    # of 10^-64 nanoseconds: what stands behind the last digit of a part must not get lost before all are added
    total = position = 0
    while position < len(body):
        whole, behind = _digits(body, position)
        part = ""
        if body[behind : behind + 1] == ".":
            part, behind = _digits(body, behind + 1)
        end = behind
        while end < len(body) and (body[end] in "µμ" or "a" <= body[end] <= "z"):
            end += 1
        unit = _UNITS.get(body[behind:end])
        if unit is None or not (whole or part) or end - position > _PART_MAX:
            return None
        total += int((whole + part).ljust(len(whole) + _PART_MAX, "0")) * unit
        position = end
    return int(total // 10**_PART_MAX)


def _digits(text: str, position: int) -> tuple[str, int]:
    end = position
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
    return text[position:end], end


def csv_fields(text: str) -> list[str]:
    """The fields of one line of comma-separated values; quotes double inside quotes (RFC 4180)."""
    fields: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            field, position = _quoted_field(text, position)
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            field, position = text[position:end], end
            if '"' in field:
                raise DockerfileError(f'bare " in non-quoted field: {text}')
        fields.append(field)
        if position >= len(text):
            return fields
        position += 1


def _quoted_field(text: str, position: int) -> tuple[str, int]:
    parts: list[str] = []
    while True:
        end = text.find('"', position + 1)
        if end < 0:
            raise DockerfileError(f'extraneous or missing " in quoted field: {text}')
        parts.append(text[position + 1 : end])
        position = end + 1
        if not text.startswith('"', position):
            break
    if position < len(text) and text[position] != ",":
        raise DockerfileError(f'extraneous or missing " in quoted field: {text}')
    return '"'.join(parts), position


def device(text: str) -> Device:
    """The value of RUN --device: NAME[,required[=BOOL]]."""
    name = ""
    required = False
    for field in csv_fields(text):
        key, separator, value = field.partition("=")
        key = key.lower()
        if key == "required":
            parsed = parse_bool(value) if separator else True
            if parsed is None:
                raise DockerfileError(f"invalid value for {key}: {value}")
            required = parsed
        elif key == "name" and separator:
            if name:
                raise DockerfileError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        elif not separator:
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair")
        else:
            raise DockerfileError(suggested(f"unexpected key '{key}' in '{field}'", key, ("name", "required")))
    return Device(name, required)


def workdir(current: str, wanted: str) -> str:
    """The working directory after WORKDIR: absolute and clean, a relative one counted from the one before."""
    if not wanted:
        raise DockerfileError("cannot normalize nothing", hint="give WORKDIR a path")
    return clean(posixpath.join("/", current, wanted))


def exposed_ports(words: Iterable[str]) -> list[str]:
    """PORT/PROTOCOL for every word of EXPOSE, in order, ranges spread out; addresses and host ports are dropped."""
    return [port for word in words for port in _exposed(word)]


def _exposed(word: str) -> list[str]:
    address, host, container = _port_parts(word)
    container, _, protocol = container.partition("/")
    if not container:
        raise DockerfileError(f"invalid port: {quote(word)}: no port specified")
    if protocol.lower() not in ("", "tcp", "udp", "sctp"):
        raise DockerfileError(f"invalid port: {quote(word)}: invalid proto: {protocol}", hint="use tcp, udp or sctp")
    _check_address(address)
    first, last = _port_range(container, "containerPort")
    if host:
        host_first, host_last = _port_range(host, "hostPort")
        if last - first not in (0, host_last - host_first):
            raise DockerfileError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    return [f"{port}/{protocol.lower() or 'tcp'}" for port in range(first, last + 1)]


def _port_parts(word: str) -> tuple[str, str, str]:
    *rest, container = word.split(":")
    host = rest.pop() if rest else ""
    return ":".join(rest), host, container


def _check_address(address: str) -> None:
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not bare:
        return
    import ipaddress

    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise DockerfileError(f"invalid IP address: {address}") from None
    if "%" in bare:
        raise DockerfileError(f"invalid IP address: {address}")


def _port_range(text: str, what: str) -> tuple[int, int]:
    first, separator, last = text.partition("-")
    if not separator:
        last = first
    low, high = _port(first), _port(last)
    if low is None or high is None or not 0 <= low <= high <= _MAX_PORT:
        raise DockerfileError(f"invalid {what}: {text}", hint=f"ports are numbers from 0 to {_MAX_PORT}")
    return low, high


def _port(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if 1 <= len(digits) <= 20 and digits.isascii() and digits.isdecimal() else None
