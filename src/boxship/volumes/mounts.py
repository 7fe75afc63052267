"""What -v, --tmpfs, --volumes-from and the API's mount objects mean. Pure, on the run path; words and rules are Docker's
(moby volume/mounts, docker/cli opts and compose's volume format).
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_KINDS = {
    **dict.fromkeys(("ro", "rw"), "access"),
    **dict.fromkeys(PROPAGATIONS, "propagation"),
    **dict.fromkeys(("z", "Z"), "label"),
    "nocopy": "copy",
    **dict.fromkeys(("consistent", "cached", "delegated", "default"), "consistency"),
}
_OPTION_FIELDS = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions", "image": "ImageOptions"}

_TMPFS_PAIRS = (("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("rw", "ro"), ("async", "sync"), ("atime", "noatime"),
                ("diratime", "nodiratime"), ("relatime", "norelatime"), ("strictatime", "nostrictatime"))  # fmt: skip
_TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
_TMPFS_PROPAGATIONS = (*PROPAGATIONS, "unbindable", "runbindable")


def parse_short(spec: str) -> "dict[str, Any]":
    """-v by its form alone: type, source, target, and read_only, nocopy, bind_propagation as given; words are checked later."""
    if not spec:
        raise InvalidArgument("invalid empty volume spec", hint="such as -v /host/dir:/container/dir")
    parts = spec.split(":")
    if not all(parts):
        raise InvalidArgument(f"invalid spec: {spec}: empty section between colons", hint="such as -v /host/dir:/container/dir:ro")
    if len(parts) > 3:
        raise InvalidArgument(f"invalid spec: {spec}: too many colons", hint="such as -v /host/dir:/container/dir:ro")
    if len(parts) == 1:
        return {"type": "volume", "target": spec}
    kind = "bind" if parts[0][0] in "./~" else "volume"
    found: dict[str, Any] = {"type": kind, "source": parts[0], "target": parts[1]}
    for word in parts[2].split(",") if len(parts) == 3 else ():
        if word in ("ro", "rw"):
            found["read_only"] = word == "ro"
        elif word == "nocopy":
            found["nocopy"] = True
        elif word in PROPAGATIONS:
            found["bind_propagation"] = word
    return found


def is_mode(mode: str) -> bool:
    """Whether all words are known and none contradicts another of its kind."""
    kinds = [_KINDS.get(word) for word in mode.split(",")] if mode else []
    return None not in kinds and len(set(kinds)) == len(kinds)


def parse_bind(spec: str, driver: str = "") -> "tuple[dict[str, Any], dict[str, Any]]":
    """An entry of HostConfig.Binds: (mount point as inspect shows it, the same as a mount object). Raises InvalidArgument."""
    parts = spec.split(":")
    refused = f"invalid volume specification: '{spec}'"
    if not all(parts) or len(parts) > 3 or (len(parts) == 2 and is_mode(parts[1])):
        raise InvalidArgument(refused, hint="such as -v /host/dir:/container/dir:ro")
    mode = parts[2] if len(parts) == 3 else ""
    if not is_mode(mode):
        raise InvalidArgument(f"invalid mode: {mode}", hint="such as ro, z or rslave")
    source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    words = mode.split(",")
    mount: dict[str, Any] = {"Type": "bind" if source.startswith("/") else "volume", "Source": source, "Target": target}
    mount["ReadOnly"] = "ro" in words
    if driver and mount["Type"] == "volume":
        mount["VolumeOptions"] = {"DriverConfig": {"Name": driver}}
    if "nocopy" in words:
        mount.setdefault("VolumeOptions", {})["NoCopy"] = True
    propagation = [word for word in words if word in PROPAGATIONS]
    if propagation:
        mount["BindOptions"] = {"Propagation": propagation[0]}
    try:
        return {**parse_mount(mount), "Mode": mode}, mount
    except InvalidArgument as error:
        raise InvalidArgument(f"{refused}: {error.message}", hint="such as -v /host/dir:/container/dir:ro") from error


def parse_mount(mount: "dict[str, Any]", exists: "Callable[[str], bool] | None" = None) -> "dict[str, Any]":
    """The mount point of an entry of HostConfig.Mounts. `exists` tells whether a bind's source is there; None: not asked.

    InvalidArgument in Docker's words.
    """
    kind = mount.get("Type") or ""
    try:
        _check_mount(kind, mount, exists)
    except InvalidArgument as error:
        raise InvalidArgument(f'invalid mount config for type "{kind}": {error.message}', hint=error.hint) from error
    point: dict[str, Any] = {"Type": kind, "Source": "", "Destination": clean(mount["Target"]), "RW": not mount.get("ReadOnly")}
    point.update(Name="", Driver="", Propagation="", CopyData=False)
    if kind == "bind":
        point["Source"] = clean(mount["Source"])
        point["Propagation"] = (mount.get("BindOptions") or {}).get("Propagation") or "rprivate"
    elif kind == "volume":
        options = mount.get("VolumeOptions") or {}
        point["Name"] = mount.get("Source") or ""
        point["Driver"] = (options.get("DriverConfig") or {}).get("Name") or ""
        point["CopyData"] = not options.get("NoCopy")
    elif kind == "image":
        point["Source"] = mount["Source"]
    return point


def _check_mount(kind: str, mount: "dict[str, Any]", exists: "Callable[[str], bool] | None") -> None:
    target, source = mount.get("Target") or "", mount.get("Source") or ""
    if kind not in _OPTION_FIELDS:
        raise InvalidArgument("mount type unknown", hint="use bind, volume or tmpfs")
    if not target:
        raise InvalidArgument("field Target must not be empty")
    _absolute(target)
    if clean(target) == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    if kind in ("bind", "image") and not source:
        raise InvalidArgument("field Source must not be empty")
    if kind == "tmpfs" and source:
        raise InvalidArgument("field Source must not be specified")
    for other, field in _OPTION_FIELDS.items():
        if other != kind and mount.get(field) is not None:
            raise InvalidArgument(f"field {field} must not be specified")
    if kind == "bind":
        _check_bind(mount, source, exists)
    if kind == "volume" and not source and mount.get("ReadOnly"):
        raise InvalidArgument("must not set ReadOnly mode when using anonymous volumes", hint="name the volume")


def _check_bind(mount: "dict[str, Any]", source: str, exists: "Callable[[str], bool] | None") -> None:
    propagation = (mount.get("BindOptions") or {}).get("Propagation") or ""
    if propagation and propagation not in PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation mode: {propagation}", hint="such as rslave")
    _absolute(source)
    if exists is not None and not exists(source):
        raise InvalidArgument(f"bind source path does not exist: {clean(source)}", hint="make it first")


def _absolute(path: str) -> None:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")


def clean(path: str) -> str:
    """An absolute path without doubled slashes, `.` and `..`; `..` does not lead above the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def volumes_from(spec: str) -> "tuple[str, str]":
    """--volumes-from: (container, ro or rw)."""
    container, colon, mode = spec.partition(":")
    if not container:
        raise InvalidArgument("volumes-from specification cannot be an empty string", hint="name a container")
    if not colon:
        return container, "rw"
    words = mode.split(",")
    if not mode or not is_mode(mode) or any(_KINDS[word] in ("propagation", "copy") for word in words):
        raise InvalidArgument(f"invalid mode: {mode}", hint="use ro or rw")
    return container, mode


def parse_tmpfs(value: str) -> "tuple[str, str]":
    """--tmpfs PATH[:OPTIONS]: (path, options)."""
    path, _, options = value.partition(":")
    return path, options


def tmpfs_options(options: str) -> "list[str]":
    """The mount options of HostConfig.Tmpfs: Docker's noexec,nosuid,nodev, unless the user's own words say otherwise.

    The last word of each kind wins. Raises InvalidArgument for an unknown one, as Docker does when the container starts.
    """
    words = ["noexec", "nosuid", "nodev", *(word for word in options.split(",") if word)]
    kept: list[str] = []
    seen: set[object] = set()
    for word in reversed(words):
        kind = _tmpfs_kind(word)
        if kind not in seen:
            seen.add(kind)
            kept.append(word)
    return kept[::-1]


def _tmpfs_kind(word: str) -> object:
    for pair in _TMPFS_PAIRS:
        if word in pair:
            return pair
    if word in _TMPFS_PROPAGATIONS:
        return "propagation"
    key, equals, _ = word.partition("=")
    if equals and key in _TMPFS_DATA:
        return key
    raise InvalidArgument(f'invalid tmpfs option "{word}"', hint="such as size=64m, mode=1777, uid=1000 or exec")


def tmpfs_data(options: "dict[str, Any]", read_only: bool) -> str:
    """The mount options of a TmpfsOptions object: SizeBytes, Mode, Options (exec and noexec)."""
    words = ["ro"] if read_only else []
    if options.get("Mode"):
        words.append(f"mode={options['Mode']:o}")
    size = options.get("SizeBytes") or 0
    if size:
        words.append(f"size={_size(size)}")
    for entry in options.get("Options") or ():
        if entry not in (["exec"], ["noexec"]):
            raise InvalidArgument(f"invalid option: {'='.join(entry)!r}", hint="use exec or noexec")
        words += entry
    return ",".join(words)


def _size(size: int) -> str:
    for letter, unit in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)
