"""From Docker's documents to an OCI runtime spec: one pure function. Everything of the host comes in through `Facts`.

Runs in the shim, which is forked from a warm process: what it imports costs nothing there.
"""

from boxship.errors import InvalidArgument
from boxship.linux import caps
from boxship.oci import spec as oci

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]


class Facts:
    """What specgen may know of the host and of this container's preparations.

    `user`: (uid, gid, groups, home). `mounts`: OCI mounts of volumes, binds and tmpfs. `files`: host paths of hosts, hostname and
    resolv.conf. `devices`: OCI devices of --device (and all of the host's when privileged). `seccomp`: the resolved profile.
    `memory_swap`: does the kernel account swap? `cpus`: how many there are.
    """

    __slots__ = ("cgroup", "cpus", "devices", "files", "host_name", "masked_extra", "mounts", "rootfs", "seccomp", "user")

    def __init__(self) -> None:
        self.user: tuple[int, int, list[int], str] = (0, 0, [], "/root")
        self.mounts: list[Document] = []
        self.files: dict[str, str] = {}
        self.devices: list[Document] = []
        self.seccomp: Document | None = None
        self.rootfs = ""
        self.cgroup = ""
        self.host_name = ""
        self.cpus = 1
        self.masked_extra: list[str] = []


def generate(container_id: str, config: "Document", host: "Document", facts: Facts) -> "Document":
    """The runtime spec of a container. Raises InvalidArgument for values that only fail in combination."""
    privileged = bool(host.get("Privileged"))
    own_network = host.get("NetworkMode") != "host"
    return {
        "ociVersion": oci.VERSION,
        "process": _process(container_id, config, host, facts),
        "root": {"path": facts.rootfs, "readonly": bool(host.get("ReadonlyRootfs"))},
        "hostname": host_name(container_id, config, host, facts.host_name),
        "domainname": config.get("Domainname") or "",
        "mounts": _mounts(host, facts, privileged),
        "linux": {
            "namespaces": _namespaces(own_network),
            "devices": [*_default_devices(), *facts.devices],
            "resources": resources(host, facts),
            "cgroupsPath": facts.cgroup,
            "rootfsPropagation": "rslave",
            "sysctl": dict(oci.SYSCTLS_OF_OWN_NETWORK) if own_network else {},
            "seccomp": None if privileged else facts.seccomp,
            "maskedPaths": [] if privileged else [*oci.MASKED_PATHS, *facts.masked_extra],
            "readonlyPaths": [] if privileged else list(oci.READONLY_PATHS),
        },
    }


def host_name(container_id: str, config: "Document", host: "Document", of_host: str) -> str:
    if host.get("NetworkMode") == "host" and not config.get("Hostname"):
        return of_host
    return config.get("Hostname") or container_id[:12]


def arguments(config: "Document") -> "list[str]":
    """ENTRYPOINT then CMD."""
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    if not words:
        raise InvalidArgument("no command specified", hint="the image names none: give one after the image's name")
    return words


def environment(container_id: str, config: "Document", host: "Document", facts: Facts) -> "list[str]":
    """PATH, HOSTNAME and TERM first, then the container's own, which win; HOME of the user where nobody set it."""
    merged = {"PATH": oci.DEFAULT_PATH, "HOSTNAME": host_name(container_id, config, host, facts.host_name)}
    if config.get("Tty"):
        merged["TERM"] = "xterm"
    for pair in config.get("Env") or []:
        name, equals, value = pair.partition("=")
        if equals:
            merged[name] = value
        else:
            merged.pop(name, None)
    merged.setdefault("HOME", facts.user[3])
    return [f"{name}={value}" for name, value in merged.items()]


def _process(container_id: str, config: "Document", host: "Document", facts: Facts) -> "Document":
    uid, gid, groups, _ = facts.user
    process = {
        "terminal": bool(config.get("Tty")),
        "user": {"uid": uid, "gid": gid, "additionalGids": groups},
        "args": arguments(config),
        "env": environment(container_id, config, host, facts),
        "cwd": config.get("WorkingDir") or "/",
        "capabilities": capabilities(host),
        "rlimits": [
            {"type": f"RLIMIT_{one['Name'].upper()}", "soft": one["Soft"], "hard": one["Hard"]} for one in host.get("Ulimits") or []
        ],
        "noNewPrivileges": no_new_privileges(host.get("SecurityOpt") or []),
    }
    if host.get("OomScoreAdj"):
        process["oomScoreAdj"] = host["OomScoreAdj"]
    return process


def capabilities(host: "Document") -> "Document":
    """Bounding, permitted and effective: Docker's; never inheritable or ambient (CVE-2022-24769)."""
    names = caps.tweak(host.get("CapAdd") or [], host.get("CapDrop") or [], bool(host.get("Privileged")))
    return {"bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": []}


def no_new_privileges(options: "list[str]") -> bool:
    for option in options:
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges":
            return value in ("", "true")
    return False


def _namespaces(own_network: bool) -> "list[Document]":
    kinds = ["mount", "uts", "ipc", "pid", "cgroup"]
    if own_network:
        kinds.append("network")
    return [{"type": kind} for kind in kinds]


def _default_devices() -> "list[Document]":
    return [
        {"path": path, "type": kind, "major": major, "minor": minor, "fileMode": 0o666} for path, kind, major, minor in oci.DEVICES
    ]


def _mounts(host: "Document", facts: Facts, privileged: bool) -> "list[Document]":
    """Docker's own, without those that the user replaces, then the files, then the user's, parents before children."""
    taken = {mount["destination"] for mount in facts.mounts}
    base = [
        mount for mount in oci.mounts(host.get("ShmSize") or oci.DEFAULT_SHM_SIZE, privileged) if mount["destination"] not in taken
    ]
    access = "ro" if host.get("ReadonlyRootfs") else "rw"
    files = [
        {"destination": target, "type": "bind", "source": source, "options": ["rbind", access, "rprivate"]}
        for target, source in facts.files.items()
        if target not in taken
    ]
    return [*base, *sorted([*files, *facts.mounts], key=_depth)]


def _depth(mount: "Document") -> int:
    return int(mount["destination"].rstrip("/").count("/"))


def resources(host: "Document", facts: Facts) -> "Document":
    """linux.resources from HostConfig: https://docs.docker.com/engine/containers/resource_constraints/."""
    result: Document = {"devices": _device_rules(host, facts)}
    memory = {}
    if host.get("Memory"):
        memory["limit"] = host["Memory"]
        # Docker: swap as much again unless said otherwise
        memory["swap"] = host.get("MemorySwap") or host["Memory"] * 2
    elif host.get("MemorySwap"):
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if memory:
        result["memory"] = memory
    cpu: Document = {}
    if host.get("CpuShares"):
        cpu["shares"] = host["CpuShares"]
    if host.get("NanoCpus"):
        cpu["period"] = 100_000
        cpu["quota"] = host["NanoCpus"] * 100_000 // 1_000_000_000
    if host.get("CpusetCpus"):
        cpu["cpus"] = host["CpusetCpus"]
    if cpu:
        result["cpu"] = cpu
    if host.get("PidsLimit"):
        result["pids"] = {"limit": host["PidsLimit"]}
    return result


def _device_rules(host: "Document", facts: Facts) -> "list[Document]":
    if host.get("Privileged"):
        return [{"allow": True, "access": "rwm"}]
    rules: list[Document] = [dict(rule) for rule in oci.DEVICE_RULES]
    for device in facts.devices:
        rules.append(
            {"allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"], "access": device["access"]}
        )
    return rules
