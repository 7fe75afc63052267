# ruff: noqa: E501  prose
"""defaults.md: what a container gets when nothing is said, read out of the runtime spec that is made for it."""

from typing import Any

from boxship.engine import specgen
from boxship.engine.logdrivers import json_file
from boxship.linux import caps, seccomp
from boxship.oci import seccomp_default, seccomp_profile
from boxship.oci import spec as oci
from refpages.text import code, codes, document, table

Document = dict[str, Any]

_RELEASE = "6.1.0"
_CAPABILITIES = {
    "CAP_AUDIT_WRITE": "write to the kernel's audit log",
    "CAP_CHOWN": "change the owner of files",
    "CAP_DAC_OVERRIDE": "read, write and execute files whatever their mode says",
    "CAP_FOWNER": "what otherwise only the owner of a file may do",
    "CAP_FSETID": "keep set-user-ID bits when a file is changed",
    "CAP_KILL": "signal processes of other users",
    "CAP_MKNOD": "make device nodes (the device list decides whether they open)",
    "CAP_NET_BIND_SERVICE": "ports below 1024",
    "CAP_NET_RAW": "raw sockets: ping",
    "CAP_SETFCAP": "set capabilities of files",
    "CAP_SETGID": "change groups",
    "CAP_SETPCAP": "change the own capability sets",
    "CAP_SETUID": "change the user",
    "CAP_SYS_CHROOT": "chroot",
}
_NAMESPACES = {
    "mount": "its own tree of mounts; the host's is not in it",
    "uts": "its own host name",
    "ipc": "its own shared memory, semaphores, message queues",
    "pid": "sees its own processes only; the first one is process 1",
    "cgroup": "its own cgroup is the root of what it sees",
    "network": "its own interfaces, addresses, ports (shared with the host under `--network host`)",
}


def page() -> str:
    spec = _spec({})
    return document(
        "Defaults of a container",
        "The same as Docker's, so that what runs there runs here. The tables are read out of the OCI runtime spec (version "
        f"{oci.VERSION}) that is made for `boxship run IMAGE`, with nothing else on the command line.",
        *_isolation(spec),
        *_files(spec),
        *_system_calls(spec),
        *_rest(spec),
    )


def _spec(host: Document) -> Document:
    return specgen.generate("0" * 64, {"Cmd": ["sh"]}, {"NetworkMode": "default", **host}, specgen.Facts())


def _isolation(spec: Document) -> list[str]:
    held = spec["process"]["capabilities"]["bounding"]
    kinds = [one["type"] for one in spec["linux"]["namespaces"]]
    return [
        "## Namespaces",
        table(("namespace", "what it means"), [(code(kind), _NAMESPACES[kind]) for kind in kinds]),
        "There is no user namespace: root in the container is root for the kernel, held by everything below.",
        "## Capabilities",
        f"{len(held)} of {len(caps.NAMES)}, in the bounding, permitted and effective sets; never inheritable or ambient. "
        "`--cap-add` and `--cap-drop` change the list, `--privileged` gives all.",
        table(("held", "for"), [(code(name), _CAPABILITIES[name]) for name in sorted(held)]),
        "Not held: " + codes(sorted(set(caps.NAMES) - set(held))) + ".",
        f"`no_new_privs` is {'on' if spec['process']['noNewPrivileges'] else 'off'}; `--security-opt no-new-privileges` turns it on.",
    ]


def _files(spec: Document) -> list[str]:
    linux = spec["linux"]
    mounts = [(code(one["destination"]), one["type"], codes(one["options"])) for one in spec["mounts"]]
    devices = [
        (code(one["path"]), f"{one['type']} {one['major']}:{one['minor']}", f"{one['fileMode']:04o}") for one in linux["devices"]
    ]
    rules = [
        (
            "allow" if one["allow"] else "deny",
            one.get("type", "all"),
            _number(one.get("major")),
            _number(one.get("minor")),
            one["access"],
        )
        for one in linux["resources"]["devices"]
    ]
    return [
        "## Mounts",
        "Beside the image's layers, over which a layer of the container's own takes what it writes:",
        table(("path", "type", "options"), mounts),
        "And three files that are made for it: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.",
        "Hidden (an empty file or folder stands there): " + codes(linux["maskedPaths"]) + ".",
        "Read-only: " + codes(linux["readonlyPaths"]) + ".",
        "## Devices",
        table(("path", "number", "mode"), devices),
        "The device cgroup has this list; `--device` adds to it. `m` is to make a node, `r` and `w` are to open it.",
        table(("", "type", "major", "minor", "access"), rules),
    ]


def _number(value: int | None) -> str:
    return "any" if value in (None, -1) else str(value)


def _system_calls(spec: Document) -> list[str]:
    held = spec["process"]["capabilities"]["bounding"]
    profile = seccomp_default.profile()
    resolved = seccomp_profile.resolve(profile, held, "x86_64", _RELEASE) or {}
    free = {
        name
        for rule in resolved["syscalls"]
        if not rule.get("args") and rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    partly = {name for rule in resolved["syscalls"] if rule.get("args") for name in rule["names"]} - free
    known = set(seccomp.numbers("SCMP_ARCH_X86_64"))
    by_capability: dict[str, set[str]] = {}
    for rule in profile["syscalls"]:
        needs = rule.get("includes", {}).get("caps", ())
        for name in needs if rule["action"] == "SCMP_ACT_ALLOW" else ():
            by_capability.setdefault(name, set()).update(set(rule["names"]) & known - free)
    refused = known - free - partly
    return [
        "## System calls",
        f"Docker's default seccomp profile. On x86_64, {len(free & known)} of the {len(known)} system calls known here are allowed, {len(partly)} depend on "
        f"their arguments ({codes(sorted(partly))}), and {len(refused)} fail with EPERM (`clone3` with ENOSYS, so that the C library falls back to `clone`). "
        "`--security-opt seccomp=unconfined` turns the filter off, `seccomp=FILE` takes another profile.",
        "Refused: " + codes(sorted(refused)) + ".",
        "A capability that is added brings its system calls along:",
        table(
            ("capability", "system calls"),
            [(code(name), codes(sorted(calls))) for name, calls in sorted(by_capability.items()) if calls],
        ),
    ]


def _rest(spec: Document) -> list[str]:
    limits = [
        ("memory, CPU, processes", "no limit", "`-m`, `--memory-swap`, `--cpus`, `--cpu-shares`, `--cpuset-cpus`, `--pids-limit`"),
        ("swap, when `-m` is given", "as much again", "`--memory-swap`"),
        ("/dev/shm", f"{oci.DEFAULT_SHM_SIZE >> 20} MiB", "`--shm-size`"),
        ("resource limits (setrlimit)", "those of the process that starts containers", "`--ulimit`"),
        ("log", f"{json_file.MAX_FILES} files of {json_file.MAX_SIZE >> 20} MiB", "`[log]` in boxship.toml"),
        ("stop", "SIGTERM, after 10 seconds SIGKILL", "`--stop-signal`, `--stop-timeout`, `stop -t`"),
        ("restart", "never", "`--restart`"),
        ("network", "the bridge, NAT to the outside, no port published", "`--network`, `-p`, `-P`"),
    ]
    sysctls = [(code(name), code(value)) for name, value in spec["linux"]["sysctl"].items()]
    variables = [(code(name), code(value)) for name, _, value in (pair.partition("=") for pair in spec["process"]["env"])]
    return [
        "## Limits and the like",
        table(("what", "default", "changed by"), limits),
        "## Environment",
        table(
            ("variable", "value"),
            [(name, "first 12 digits of the ID" if "HOSTNAME" in name else value) for name, value in variables],
        ),
        "`HOME` is that of the user in the image's passwd file; `TERM=xterm` comes with `-t`.",
        "## Kernel settings of its network namespace",
        table(("sysctl", "value"), sysctls),
        "## --privileged",
        "Every capability, every device of the host, no seccomp filter, nothing hidden or read-only, `/sys` writable. That is no isolation "
        "from a program that wants out; use `--cap-add` and `--device` instead.",
    ]
