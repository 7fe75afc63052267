"""From a seccomp profile in Docker's format to the `linux.seccomp` object of an OCI spec. Pure: no file, no system call.

Docker's format adds to OCI's: archMap, and includes/excludes by capability, architecture and kernel (moby/profiles seccomp).
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# machine as uname says -> (Docker's word in includes.arches, OCI's word)
ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}

_COPIED = ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def resolve(profile: "dict[str, Any]", caps: "Iterable[str]", machine: str, release: str) -> "dict[str, Any] | None":
    """The OCI linux.seccomp object for a container with the bounding set `caps`; None for a profile that says nothing.

    `machine` and `release` are os.uname()'s. Raises InvalidArgument in Docker's words for a profile that contradicts itself.
    """
    if not profile.get("defaultAction") and not profile.get("syscalls"):
        return None
    if profile.get("architectures") and profile.get("archMap"):
        raise _both("architectures", "archMap")
    word, native = ARCHITECTURES.get(machine, (machine, ""))
    oci: dict[str, Any] = {"defaultAction": profile.get("defaultAction", "")}
    architectures = list(profile.get("architectures") or ()) or _mapped(profile.get("archMap") or (), native)
    if architectures:
        oci["architectures"] = architectures
    oci.update((key, profile[key]) for key in _COPIED if profile.get(key))
    held = frozenset(caps)
    rules = [_rule(call) for call in profile.get("syscalls") or () if _applies(call, held, word, release)]
    if rules:
        oci["syscalls"] = rules
    return oci


def parse(text: "str | bytes") -> "dict[str, Any]":
    """A profile from the text of --security-opt seccomp=FILE. Raises InvalidArgument; the form of its filters is checked too."""
    import json

    try:
        profile = json.loads(text)
    except ValueError as error:
        raise _refused(f"decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict) or not all(isinstance(call, dict) for call in profile.get("syscalls") or ()):
        raise _refused("decoding seccomp profile failed: not an object")
    for call in profile.get("syscalls") or ():
        for side in ("includes", "excludes"):
            check_filter(call.get(side) or {})
    return profile


def check_filter(conditions: "dict[str, Any]") -> None:
    """Whether an includes or excludes object is well formed; raises InvalidArgument."""
    minimum = conditions.get("minKernel", "")
    if minimum != "":
        version_of(minimum)


def version_of(minimum: object) -> "tuple[int, int]":
    """A profile's minKernel: exactly "X.Y"."""
    if isinstance(minimum, str):
        kernel, dot, major = minimum.partition(".")
        if dot and kernel.isdecimal() and major.isdecimal() and minimum.isascii():
            return int(kernel), int(major)
    raise _refused(f'invalid kernel version: "{minimum}", expected "<kernel>.<major>"')


def kernel_version(release: str) -> "tuple[int, int]":
    """The first two numbers of uname's release: 6.1.0-13-amd64 -> (6, 1)."""
    kernel, dot, rest = release.partition(".")
    end = 0
    while end < len(rest) and rest[end] in "0123456789":
        end += 1
    if not (dot and end and kernel.isascii() and kernel.isdecimal()):
        raise InvalidArgument(f"failed to parse kernel version: {release!r}")
    return int(kernel), int(rest[:end])


def _mapped(arch_map: "Iterable[dict[str, Any]]", native: str) -> "list[str]":
    for entry in arch_map:
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return []


def _applies(call: "dict[str, Any]", caps: "frozenset[str]", word: str, release: str) -> bool:
    out = call.get("excludes") or {}
    need = call.get("includes") or {}
    if word in (out.get("arches") or ()) or caps.intersection(out.get("caps") or ()):
        return False
    if out.get("minKernel") and kernel_version(release) >= version_of(out["minKernel"]):
        return False
    if need.get("arches") and word not in need["arches"]:
        return False
    if not caps.issuperset(need.get("caps") or ()):
        return False
    return not need.get("minKernel") or kernel_version(release) >= version_of(need["minKernel"])


def _rule(call: "dict[str, Any]") -> "dict[str, Any]":
    names = call.get("names")
    if call.get("name"):
        if names:
            raise _both("name", "names")
        names = [call["name"]]
    rule: dict[str, Any] = {"names": names or [], "action": call.get("action", "")}
    if call.get("errnoRet") is not None:
        rule["errnoRet"] = call["errnoRet"]
    if call.get("args"):
        rule["args"] = call["args"]
    return rule


def _both(one: str, other: str) -> InvalidArgument:
    return _refused(f"both '{one}' and '{other}' are specified in the seccomp profile, use either '{one}' or '{other}'")


def _refused(message: str) -> InvalidArgument:
    return InvalidArgument(message, hint="see docs.docker.com/engine/security/seccomp for the format")
