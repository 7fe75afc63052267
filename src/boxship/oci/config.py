"""The image config document (image-spec, config.md): checked on its way in, kept as the plain dict that it is.

Everything in it will steer a container, and all of it comes from strangers: types, NUL bytes and sizes are checked
here, once, so that the code behind may rely on them. Fields we don't know are kept, for the digest covers them.
"""

from boxship.errors import InvalidArgument
from boxship.oci import digest as digests
from boxship.oci import document
from boxship.oci.sha256 import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# more than any image needs, far less than hurts: an honest config is a few KiB
CONFIG_MAX = 8 << 20
_LAYERS_MAX = 4096
_HISTORY_MAX = 65536
_WHAT = "image config"


def parse_config(data: bytes) -> "dict[str, Any]":
    """Read and check an image config. Raises InvalidArgument with the field's name."""
    raw = document.load(data, CONFIG_MAX, _WHAT)
    check_config(raw)
    return raw


def check_config(raw: "dict[str, Any]") -> None:
    """Raise InvalidArgument unless every field that Boxship reads has the type of the image-spec."""
    for key in ("created", "author", "variant", "os.version", "comment", "container", "docker_version", "parent", "id"):
        document.text(raw, key, _WHAT)
    for key in ("architecture", "os"):
        document.text(raw, key, _WHAT, required=True)
    document.texts(raw, "os.features", _WHAT)
    _check_run_config(document.mapping(raw, "config", _WHAT))
    rootfs = raw.get("rootfs")
    if not isinstance(rootfs, dict):
        raise document.wrong(_WHAT, "rootfs", "an object")
    _check_rootfs(rootfs)
    _check_history(document.objects(raw, "history", _WHAT, _HISTORY_MAX))


def _check_run_config(config: "dict[str, Any]") -> None:
    what = f"{_WHAT}: config"
    for key in ("User", "WorkingDir", "StopSignal", "Hostname", "Domainname", "Image"):
        document.text(config, key, what)
    for key in ("Env", "Entrypoint", "Cmd", "OnBuild", "Shell"):
        document.texts(config, key, what)
    for key in ("ExposedPorts", "Volumes"):
        document.empty_map(config, key, what)
    document.text_map(config, "Labels", what)
    for key in ("ArgsEscaped", "Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr"):
        document.flag(config, key, what)
    if config.get("StopTimeout") is not None:
        document.number(config, "StopTimeout", what)
    _check_health(document.mapping(config, "Healthcheck", what), f"{what}: Healthcheck")


def _check_health(health: "dict[str, Any]", what: str) -> None:
    document.texts(health, "Test", what)
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"):
        if health.get(key) is not None:
            document.number(health, key, what)


def _check_rootfs(rootfs: "dict[str, Any]") -> None:
    if document.text(rootfs, "type", f"{_WHAT}: rootfs", required=True) != "layers":
        raise InvalidArgument(f'invalid {_WHAT}: rootfs: type is not "layers"')
    found = document.texts(rootfs, "diff_ids", f"{_WHAT}: rootfs")
    if len(found) > _LAYERS_MAX:
        raise InvalidArgument(f"invalid {_WHAT}: more than {_LAYERS_MAX} layers")
    for one in found:
        if not digests.is_digest(one):
            raise InvalidArgument(f"invalid {_WHAT}: rootfs: diff_ids: not a digest: {one[:80]}")


def _check_history(entries: "list[dict[str, Any]]") -> None:
    for entry in entries:
        for key in ("created", "created_by", "author", "comment"):
            document.text(entry, key, f"{_WHAT}: history")
        document.flag(entry, "empty_layer", f"{_WHAT}: history")


def diff_ids(config: "dict[str, Any]") -> list[str]:
    """The digests of the unpacked layers, lowest first, of a checked config."""
    return list((config.get("rootfs") or {}).get("diff_ids") or [])


def chain_ids(layers: list[str]) -> list[str]:
    """The name of every stack of layers, lowest first (config.md, "Layer ChainID")."""
    chain: list[str] = []
    for layer in layers:
        chain.append(digest(f"{chain[-1]} {layer}".encode()) if chain else layer)
    return chain


def history_entry(
    created: str, created_by: str, *, comment: str = "", author: str = "", empty_layer: bool = False
) -> "dict[str, Any]":
    """One history entry. `created` is RFC 3339; `empty_layer` when the step made no layer."""
    entry: dict[str, Any] = {"created": created}
    if author:
        entry["author"] = author
    entry["created_by"] = created_by
    if comment:
        entry["comment"] = comment
    if empty_layer:
        entry["empty_layer"] = True
    return entry


def pair_history(config: "dict[str, Any]") -> "list[tuple[dict[str, Any], int | None]]":
    """History entries, oldest first, each with the place of its layer in `diff_ids`, None for one without.

    Raises InvalidArgument when the history speaks of more layers than there are. Layers that no entry speaks of
    (an image without history, as `docker import` of old made) get an empty entry at the end.
    """
    total = len(diff_ids(config))
    pairs: list[tuple[dict[str, Any], int | None]] = []
    used = 0
    for entry in config.get("history") or []:
        if entry.get("empty_layer"):
            pairs.append((entry, None))
            continue
        if used == total:
            raise InvalidArgument(f"invalid {_WHAT}: its history has more layers than its rootfs: {total}")
        pairs.append((entry, used))
        used += 1
    return pairs + [({}, place) for place in range(used, total)]
