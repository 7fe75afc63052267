"""--device: what the host has under a path, as OCI devices."""

import os
import stat

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def gather(mappings: "list[dict[str, Any]]", privileged: bool) -> "list[dict[str, Any]]":
    """OCI devices (with `access` for the device cgroup) of Docker's DeviceMappings; a directory stands for all nodes below it.

    Raises InvalidArgument for a path that is missing or is no device.
    """
    found: dict[str, dict[str, Any]] = {}
    if privileged:
        for device in _below("/dev", "/dev", "rwm"):
            found[device["path"]] = device
    for mapping in mappings:
        for device in _mapped(
            mapping["PathOnHost"], mapping["PathInContainer"] or mapping["PathOnHost"], mapping["CgroupPermissions"]
        ):
            found[device["path"]] = device
    return list(found.values())


def check(mappings: "list[dict[str, Any]]") -> None:
    """The same complaint as `gather`, before anything has happened."""
    for mapping in mappings:
        _mapped(mapping["PathOnHost"], mapping["PathInContainer"], "rwm")


def _mapped(path: str, inside: str, access: str) -> "list[dict[str, Any]]":
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{path}": {os.strerror(error.errno or 0).lower()}',
            hint="the host has no such device: plug it in, load its driver, or name another",
        ) from None
    if stat.S_ISDIR(status.st_mode):
        devices = _below(path, inside, access)
        if devices:
            return devices
    device = _device(path, inside, status, access)
    if device is None:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{path}": not a device node',
            hint="files and directories go in with -v",
        )
    return [device]


def _below(path: str, inside: str, access: str) -> "list[dict[str, Any]]":
    devices = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=_name):
            if entry.is_dir(follow_symlinks=False):
                # never a copy of the terminals, shared memory or queues of the host
                if entry.name not in ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"):
                    devices += _below(entry.path, f"{inside}/{entry.name}", access)
            elif entry.name != "console":
                device = _device(entry.path, f"{inside}/{entry.name}", entry.stat(follow_symlinks=False), access)
                if device is not None:
                    devices.append(device)
    return devices


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _device(path: str, inside: str, status: os.stat_result, access: str) -> "dict[str, Any] | None":
    if stat.S_ISCHR(status.st_mode):
        kind = "c"
    elif stat.S_ISBLK(status.st_mode):
        kind = "b"
    else:
        return None
    return {
        "path": inside,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "source": os.path.realpath(path),
        "access": access,
    }
