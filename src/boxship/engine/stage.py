"""What a container needs from the host before its spec can be written: files, users, mounts, the seccomp program.

Runs in the forked child, where all modules are loaded already.
"""

import os
import stat

from boxship import fastjson
from boxship.config import Paths
from boxship.engine import specgen, stubs
from boxship.errors import BoxshipError, ExecFailed, InvalidArgument
from boxship.layers import users
from boxship.layers.view import View
from boxship.linux import caps
from boxship.linux import seccomp as filters
from boxship.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from boxship.network import hosts, resolv
from boxship.oci import seccomp_default, seccomp_profile
from boxship.oci import spec as oci
from boxship.snapshots import overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_programs: "dict[str, tuple[Document, bytes]]" = {}


def warm_up() -> None:
    names = list(caps.DEFAULT)
    _programs[_key("", names)] = _compile(seccomp_default.profile(), names)


# -- the root file system --------------------------------------------------------------------------------------------------
def root(paths: Paths, lowers: "list[str]", home: str) -> "tuple[list[Document], str]":
    """(mounts for home/merged, directory that lowerdir names count from); makes upper, work and merged."""
    if not os.path.isdir(f"{home}/work"):
        overlay.prepare(paths, home, lowers)
        if stubs.make(view(paths, lowers or [overlay.empty_lower(paths)], ""), f"{home}/stubs"):
            lowers = [os.path.relpath(f"{home}/stubs", paths.layers), *lowers]
    elif os.path.isdir(f"{home}/stubs"):
        lowers = [os.path.relpath(f"{home}/stubs", paths.layers), *lowers]
    os.makedirs(f"{home}/merged", mode=0o755, exist_ok=True)
    return overlay.mounts(paths, home, lowers), paths.layers


def view(paths: Paths, lowers: "list[str]", upper: str) -> View:
    directories = [f"{paths.layers}/{name}" for name in lowers]
    return View([upper, *directories] if upper and os.path.isdir(upper) else directories)


# -- files and facts ---------------------------------------------------------------------------------------------------------
def facts(paths: Paths, message: "Document", home: str) -> specgen.Facts:
    """Everything but devices and seccomp; writes hosts, hostname and resolv.conf below `home`, fills new volumes."""
    config, host = message["config"], message["host"]
    found = specgen.Facts()
    found.rootfs = f"{home}/merged"
    found.host_name = os.uname().nodename
    tree = view(paths, message["lowers"], f"{home}/upper")
    found.user = user(tree, config.get("User") or "", host.get("GroupAdd") or [])
    found.mounts = [mount for mount in message.get("mounts") or []]
    found.files = network_files(message, home, found.host_name)
    found.cpus = os.cpu_count() or 1
    found.masked_extra = _thermal()
    _fill(tree, message.get("fill") or [])
    return found


def _fill(tree: View, volumes: "list[list[str]]") -> None:
    """What the image has at a volume's place goes into the volume, when that is new."""
    for source, destination in volumes:
        if os.path.isdir(source) and not os.listdir(source):
            from boxship.volumes import copyup

            copyup.copy_up(tree, destination, source)


def _thermal() -> "list[str]":
    # moby masks these where they exist: they tell one container what the others make the processors do
    paths = (f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 1))
    return [path for path in paths if os.path.isdir(path)]


def user(tree: View, spec: str, groups: "list[str]") -> "tuple[int, int, list[int], str]":
    found = users.lookup_in(tree, spec)
    extra = with_own(found.gid, found.groups)
    if groups:
        extra += [gid for gid in users.extra_groups(groups, tree.read("/etc/group", users.FILE_LIMIT)) if gid not in extra]
    return found.uid, found.gid, extra, found.home


def with_own(gid: int, groups: "list[int]") -> "list[int]":
    """The supplementary groups name the primary one too, or a set-gid program could shed it (CVE-2022-36109)."""
    return [gid, *(group for group in groups if group != gid)]


def network_files(message: "Document", home: str, of_host: str) -> "dict[str, str]":
    """The container's /etc/hosts, /etc/hostname and /etc/resolv.conf: target -> file of the host."""
    config, host, network = message["config"], message["host"], message.get("network") or {}
    name = specgen.host_name(message["id"], config, host, of_host)
    shared = network.get("mode") == "host"
    texts = {"hostname": f"{name}\n"}
    if shared and not host.get("ExtraHosts"):
        texts["hosts"] = _read("/etc/hosts")
    else:
        ips = [network["ip"]] if network.get("ip") else []
        texts["hosts"] = hosts.container_file(
            name, config.get("Domainname") or "", ips, host.get("ExtraHosts") or (), network.get("gateway") or "", ipv6=True
        )
    of_host_file = resolv.host_file(_read("/etc/resolv.conf"))
    texts["resolv.conf"] = resolv.container_file(
        _read(of_host_file),
        dns=host.get("Dns") or (),
        search=host.get("DnsSearch") or (),
        options=host.get("DnsOptions") or (),
        bridge=not shared,
    )
    files = {}
    for file_name, text in texts.items():
        path = f"{home}/{file_name}"
        _write(path, text)
        files[f"/etc/{file_name}"] = path
    return files


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)
        os.write(fd, text.encode())
    finally:
        os.close(fd)


# -- seccomp -----------------------------------------------------------------------------------------------------------------
def seccomp(paths: Paths, host: "Document", names: "list[str]") -> "tuple[Document | None, bytes | None]":
    """(the resolved profile for the spec, the program); (None, None) for unconfined and privileged containers.

    A compiled program is kept below the run directory: compiling costs more than all the rest of a start.
    """
    if host.get("Privileged"):
        return None, None
    text = ""
    for option in host.get("SecurityOpt") or []:
        key, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
        if key == "seccomp":
            text = "" if value == "builtin" else value
    if text == "unconfined":
        return None, None
    key = _key(text, names)
    if key in _programs:
        return _programs[key]
    cached = f"{paths.run}/seccomp-{key}"
    kept = _load(cached)
    if kept is None:
        kept = _compile(_custom(text) if text else seccomp_default.profile(), names)
        _keep(cached, kept)
    return kept


def _custom(text: str) -> "Document":
    import json

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(
            f"decoding seccomp profile failed: {error}", hint="--security-opt seccomp=FILE wants a JSON profile"
        ) from None
    if not isinstance(document, dict):
        raise InvalidArgument("decoding seccomp profile failed: not a JSON object")
    return document


def _compile(profile: "Document", names: "list[str]") -> "tuple[Document, bytes]":
    machine = os.uname().machine
    document = seccomp_profile.resolve(profile, names, machine, os.uname().release)
    if document is None:
        raise InvalidArgument("the seccomp profile has no default action")
    return document, filters.compile(document, machine)


def _key(text: str, names: "list[str]") -> str:
    value = 0xCBF29CE484222325
    for byte in f"{os.uname().release} {','.join(sorted(names))} {text}".encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def _load(path: str) -> "tuple[Document, bytes] | None":
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(4), "little")
            return fastjson.loads(file.read(size)), file.read()
    except (OSError, ValueError):
        return None


def _keep(path: str, program: "tuple[Document, bytes]") -> None:
    text = fastjson.dumps(program[0]).encode()
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(len(text).to_bytes(4, "little") + text + program[1])
    os.rename(temporary, path)


# -- exec --------------------------------------------------------------------------------------------------------------------
def exec_process(paths: Paths, spec: "Document", message: "Document", pid: int) -> "Document":
    """The OCI process of an exec: the container's own, changed by what was asked for."""
    base = spec["process"]
    container_root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        wanted = message.get("user") or message["config"].get("User") or ""
        found = users.lookup(wanted, read_inside(container_root, "etc/passwd"), read_inside(container_root, "etc/group"))
    except InvalidArgument as error:
        raise ExecFailed(error.message, hint=error.hint) from None
    finally:
        os.close(container_root)
    names = list(caps.known()) if message.get("privileged") else base["capabilities"]["bounding"]
    return {
        **base,
        "terminal": bool(message.get("tty")),
        "user": {"uid": found.uid, "gid": found.gid, "additionalGids": with_own(found.gid, found.groups)},
        "args": message["argv"],
        "env": _exec_environment(base["env"], message, found.home),
        "cwd": message.get("cwd") or base["cwd"],
        "capabilities": {"bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": []},
    }


def _exec_environment(base: "list[str]", message: "Document", home: str) -> "list[str]":
    merged = dict(pair.partition("=")[::2] for pair in base)
    if message.get("tty"):
        merged.setdefault("TERM", "xterm")
    explicit = {pair.partition("=")[0] for pair in message["config"].get("Env") or []}
    if "HOME" not in explicit:
        merged["HOME"] = home
    for pair in message.get("env") or []:
        name, equals, value = pair.partition("=")
        if equals:
            merged[name] = value
        else:
            merged.pop(name, None)
    merged.setdefault("PATH", oci.DEFAULT_PATH)
    return [f"{name}={value}" for name, value in merged.items()]


def read_inside(container_root: int, path: str) -> "bytes | None":
    """A regular file of at most a megabyte below a hostile root (CVE-2024-9676); None for anything else."""
    try:
        found = openat2(container_root, path, os.O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except BoxshipError:
        return None
    try:
        # looked at before it is opened: opening a device or a pipe does something (a watchdog starts, a writer wakes)
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or status.st_size > users.FILE_LIMIT:
            return None
        fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(found)
    try:
        return os.read(fd, users.FILE_LIMIT)
    finally:
        os.close(fd)
