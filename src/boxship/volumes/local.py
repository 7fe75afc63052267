"""The local volume driver: names, options, directories, the inspect document. The rows are the caller's.

A volume lives in VOLUMES/NAME/_data. With the options type, device and o it is a mount made when a container starts.
"""

import os

from boxship.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DRIVER = "local"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"

_PUNCTUATION = "_.-"
_NEEDS = (("device", ("type",)), ("type", ("device",)), ("o", ("device", "type")))


def is_name(name: str) -> bool:
    """[a-zA-Z0-9][a-zA-Z0-9_.-]+"""
    return len(name) > 1 and name.isascii() and name[0].isalnum() and all(one.isalnum() or one in _PUNCTUATION for one in name)


def check_name(name: str) -> None:
    """Raises InvalidArgument in Docker's words."""
    if len(name) == 1:
        raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if not is_name(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are'
            " allowed. If you intended to pass a host directory, use absolute path"
        )


def check_options(options: "dict[str, str]") -> None:
    """Raises InvalidArgument for options that mean nothing, Unsupported for `size`, which needs quotas."""
    for key in options:
        if key not in ("type", "o", "device", "size"):
            raise InvalidArgument(f'invalid option: "{key}"', hint="the local driver has type, device, o and size")
    if "size" in options:
        _check_size(options["size"])
    for key, others in _NEEDS:
        for other in others if key in options else ():
            if other not in options:
                raise InvalidArgument(f'missing required option: "{other}"', hint="type and device go together")
    if options.get("type") == "cifs":
        _check_cifs(options["device"])


def _check_size(size: str) -> None:
    if not size[:1].isdigit():
        raise InvalidArgument(f"invalid size: '{size}'", hint="such as 10g")
    raise Unsupported("quota size requested but no quota support", hint="leave the size option out")


def _check_cifs(device: str) -> None:
    if device.startswith(":"):
        message = f'error parsing mount device url: parse "{device}": missing protocol scheme'
        raise InvalidArgument(message, hint="such as //server/share")
    if _port(device):
        raise InvalidArgument("port not allowed in CIFS device URL, include 'port' in 'o='", hint="such as o=port=2345")


def _server(device: str) -> str:
    return device[2:].partition("/")[0] if device.startswith("//") else ""


def _port(device: str) -> str:
    server = _server(device)
    return server.rpartition(":")[2] if ":" in server and not server.endswith("]") else ""


def option(o: str, key: str) -> str:
    """The value of KEY=VALUE in a comma-separated option text; "" when it is absent."""
    for word in o.split(","):
        name, _, value = word.partition("=")
        if name == key:
            return value
    return ""


def masked(o: str) -> str:
    """`o` for messages: without the password."""
    password = option(o, "password")
    return o.replace(f"password={password}", "password=********") if password else o


def mount_source(kind: str, device: str, o: str, lookup: "Callable[[str], str]") -> "tuple[str, str]":
    """(device, data) for mount(2): the kernel knows no host names, `lookup` gives an address (the name itself if it has none)."""
    address = option(o, "addr")
    if kind == "nfs" and address and not address[0].isdigit() and ":" not in address:
        return device, o.replace(f"addr={address}", f"addr={lookup(address)}", 1)
    server = _server(device)
    if kind == "cifs" and server and not address and not server[0].isdigit():
        return f"//{lookup(server)}{device[2 + len(server) :]}", o
    return device, o


def mountpoint(volumes: str, name: str) -> str:
    """`volumes` is the store's directory of volumes."""
    return f"{volumes}/{name}/_data"


def create(volumes: str, name: str, options: "dict[str, str] | None" = None) -> str:
    """The directories of a volume, which may exist already; its mount point. InvalidArgument for a bad name or option."""
    check_name(name)
    check_options(options or {})
    where = mountpoint(volumes, name)
    try:
        os.makedirs(volumes, 0o711, exist_ok=True)
        os.mkdir(f"{volumes}/{name}", 0o711)
    except FileExistsError:
        pass
    try:
        os.mkdir(where, 0o755)
        os.chmod(where, 0o755)  # noqa: S103 - as Docker, whatever the umask: programs in containers have many users
    except FileExistsError:
        pass
    return where


def remove(volumes: str, name: str) -> None:
    """The directories with all they hold; gone already is fine."""
    from boxship.layers.remove import remove_tree

    check_name(name)
    remove_tree(f"{volumes}/{name}")


def document(volumes: str, name: str, created: int, labels: "dict[str, str]", options: "dict[str, str]") -> "dict[str, Any]":
    """What `volume inspect` shows; `created` in nanoseconds since the epoch."""
    from time import gmtime, strftime

    return {
        "CreatedAt": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(created // 1_000_000_000)),
        "Driver": DRIVER,
        "Labels": labels or None,
        "Mountpoint": mountpoint(volumes, name),
        "Name": name,
        "Options": options or None,
        "Scope": "local",
    }
