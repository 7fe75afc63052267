"""The flags of run and create, and what they become: the documents of Docker's create request. Hot path.

`CREATE_FLAGS` has all of Docker's, the ones of later with the mark LATER; `RUN_FLAGS` adds what only run has.
`create_request(call)` reads files named on the command line (--env-file, --label-file, a seccomp profile) and nothing else.
"""

import os

from boxship.cli.envfiles import read_environment, read_labels
from boxship.cli.flags import (
    BOOL,
    BYTES,
    DURATION,
    INT,
    KEYS,
    LATER,
    LIST,
    STRING,
    ClientError,
)
from boxship.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.cli.flags import Call

    Document = dict[str, Any]

_ENV = ("list", 1, "environment")
_LABEL = ("list", 1, "label")
_HOST = ("list", 1, "add_host")
_ADDRESS = ("list", 1, "ip_address")
_STREAM = ("list", 1, "stream")
_CPUS = ("decimal", 0, "cpus")
_SWAP = ("bytes", 0, "swap_size")
_ULIMIT = ("ulimit", 1, "ulimit")
_UINT16 = ("uint16", 0, "")
_UINT = ("uint", 0, "")
_NETWORK = ("network", 1, "")
_MOUNT = ("mount", 1, "")
_GPUS = ("gpu-request", 0, "")

CREATE_FLAGS = (
    ("add-host", "", _HOST, (), "Add a host name to /etc/hosts (host:ip)"),
    ("annotation", "", KEYS, (), "Annotation passed to the OCI runtime (default map[])", LATER),
    ("attach", "a", _STREAM, (), "Attach to STDIN, STDOUT or STDERR", LATER),
    ("blkio-weight", "", _UINT16, 0, "Block IO weight, 10 to 1000, or 0 to disable (default 0)", LATER),
    ("blkio-weight-device", "", LIST, (), "Block IO weight of one device (default [])", LATER),
    ("cap-add", "", LIST, (), "Add Linux capabilities"),
    ("cap-drop", "", LIST, (), "Drop Linux capabilities"),
    ("cgroup-parent", "", STRING, "", "Parent cgroup of the container", LATER),
    ("cgroupns", "", STRING, "", "Cgroup namespace (host|private)", LATER),
    ("cidfile", "", STRING, "", "Write the container ID to the file"),
    ("cpu-count", "", INT, 0, "CPU count (Windows only)", LATER),
    ("cpu-percent", "", INT, 0, "CPU percent (Windows only)", LATER),
    ("cpu-period", "", INT, 0, "Period of the CFS CPU limit in microseconds", LATER),
    ("cpu-quota", "", INT, 0, "CPU time in each CFS period in microseconds", LATER),
    ("cpu-rt-period", "", INT, 0, "Real-time period in microseconds", LATER),
    ("cpu-rt-runtime", "", INT, 0, "Real-time run time in microseconds", LATER),
    ("cpu-shares", "c", INT, 0, "CPU shares (relative weight)"),
    ("cpus", "", _CPUS, 0, "Number of CPUs"),
    ("cpuset-cpus", "", STRING, "", "CPUs that may be used (0-3, 0,1)"),
    ("cpuset-mems", "", STRING, "", "Memory nodes that may be used (0-3, 0,1)", LATER),
    ("device", "", LIST, (), "Add a host device to the container"),
    ("device-cgroup-rule", "", LIST, (), "Add a rule to the list of allowed devices", LATER),
    ("device-read-bps", "", LIST, (), "Limit bytes per second read from a device (default [])", LATER),
    ("device-read-iops", "", LIST, (), "Limit reads per second from a device (default [])", LATER),
    ("device-write-bps", "", LIST, (), "Limit bytes per second written to a device (default [])", LATER),
    ("device-write-iops", "", LIST, (), "Limit writes per second to a device (default [])", LATER),
    ("disable-content-trust", "", BOOL, True, "Skip image verification (default true)", LATER),
    ("dns", "", _ADDRESS, (), "Set name servers"),
    ("dns-opt", "", LIST, (), "", LATER),
    ("dns-option", "", LIST, (), "Set resolver options", LATER),
    ("dns-search", "", LIST, (), "Set search domains", LATER),
    ("domainname", "", STRING, "", "NIS domain name of the container", LATER),
    ("entrypoint", "", STRING, "", "Replace the entrypoint of the image"),
    ("env", "e", _ENV, (), "Set environment variables"),
    ("env-file", "", LIST, (), "Read environment variables from a file"),
    ("expose", "", LIST, (), "Expose a port or a range of ports"),
    ("gpus", "", _GPUS, "", "GPUs to add to the container ('all' for all)", LATER),
    ("group-add", "", LIST, (), "Add supplementary groups", LATER),
    ("health-cmd", "", STRING, "", "Command that checks health", LATER),
    ("health-interval", "", DURATION, 0, "Time between checks (ms|s|m|h) (default 0s)", LATER),
    ("health-retries", "", INT, 0, "Failures in a row that make it unhealthy", LATER),
    ("health-start-interval", "", DURATION, 0, "Time between checks while starting (ms|s|m|h) (default 0s)", LATER),
    ("health-start-period", "", DURATION, 0, "Time to start before retries count (ms|s|m|h) (default 0s)", LATER),
    ("health-timeout", "", DURATION, 0, "Longest time one check may take (ms|s|m|h) (default 0s)", LATER),
    ("hostname", "h", STRING, "", "Host name of the container"),
    ("init", "", BOOL, False, "Run an init inside that forwards signals and reaps processes"),
    ("interactive", "i", BOOL, False, "Keep STDIN open even if not attached"),
    ("io-maxbandwidth", "", BYTES, 0, "Maximum IO bandwidth of the system drive (Windows only)", LATER),
    ("io-maxiops", "", _UINT, 0, "Maximum IOps of the system drive (Windows only)", LATER),
    ("ip", "", STRING, "", "IPv4 address (172.30.100.104)", LATER),
    ("ip6", "", STRING, "", "IPv6 address (2001:db8::33)", LATER),
    ("ipc", "", STRING, "", "IPC namespace to use", LATER),
    ("isolation", "", STRING, "", "Isolation technology", LATER),
    ("kernel-memory", "", BYTES, 0, "Kernel memory limit", LATER),
    ("label", "l", _LABEL, (), "Set metadata on the container"),
    ("label-file", "", LIST, (), "Read labels from a file, one a line"),
    ("link", "", LIST, (), "Add a link to another container", LATER),
    ("link-local-ip", "", LIST, (), "Link-local addresses of the container", LATER),
    ("log-driver", "", STRING, "", "Log driver of the container", LATER),
    ("log-opt", "", LIST, (), "Options of the log driver", LATER),
    ("mac-address", "", STRING, "", "MAC address (92:d0:c6:0a:29:33)", LATER),
    ("memory", "m", BYTES, 0, "Memory limit"),
    ("memory-reservation", "", BYTES, 0, "Soft memory limit", LATER),
    ("memory-swap", "", _SWAP, 0, "Limit of memory plus swap: '-1' for unlimited swap"),
    ("memory-swappiness", "", INT, -1, "Swappiness of the container (0 to 100)", LATER),
    ("mount", "", _MOUNT, (), "Attach a file system to the container", LATER),
    ("name", "", STRING, "", "Name of the container"),
    ("net", "", _NETWORK, (), "", "network"),
    ("net-alias", "", LIST, (), "", LATER),
    ("network", "", _NETWORK, (), "Connect the container to a network"),
    ("network-alias", "", LIST, (), "Add a name of the container on its network", LATER),
    ("no-healthcheck", "", BOOL, False, "Turn off the HEALTHCHECK of the image", LATER),
    ("oom-kill-disable", "", BOOL, False, "Turn off the OOM killer", LATER),
    ("oom-score-adj", "", INT, 0, "OOM preference of the container (-1000 to 1000)", LATER),
    ("pid", "", STRING, "", "PID namespace to use", LATER),
    ("pids-limit", "", INT, 0, "Limit of the number of processes (-1 for unlimited)"),
    ("platform", "", STRING, "", "Platform of the image (os/arch)"),
    ("privileged", "", BOOL, False, "Give extended privileges to the container"),
    ("publish", "p", LIST, (), "Publish a port of the container on the host"),
    ("publish-all", "P", BOOL, False, "Publish all exposed ports on free ports of the host"),
    ("pull", "", STRING, "missing", 'Pull the image first ("always", "missing", "never")'),
    ("quiet", "q", BOOL, False, "Don't show the progress of a pull"),
    ("read-only", "", BOOL, False, "Mount the container's root file system read-only"),
    ("restart", "", STRING, "no", "What to do when the container exits"),
    ("rm", "", BOOL, False, "Remove the container and its anonymous volumes when it exits"),
    ("runtime", "", STRING, "", "OCI runtime of the container", LATER),
    ("security-opt", "", LIST, (), "Security options"),
    ("shm-size", "", BYTES, 0, "Size of /dev/shm"),
    ("stop-signal", "", STRING, "", "Signal that stops the container"),
    ("stop-timeout", "", INT, 0, "Seconds to wait for it to stop before it is killed"),
    ("storage-opt", "", LIST, (), "Options of the storage driver", LATER),
    ("sysctl", "", KEYS, (), "Kernel settings of the container (default map[])", LATER),
    ("tmpfs", "", LIST, (), "Mount a tmpfs directory"),
    ("tty", "t", BOOL, False, "Allocate a pseudo-TTY"),
    ("ulimit", "", _ULIMIT, (), "Resource limits (default [])"),
    ("use-api-socket", "", BOOL, False, "Mount the API socket and its credentials", LATER),
    ("user", "u", STRING, "", "User name or UID (<name|uid>[:<group|gid>])"),
    ("userns", "", STRING, "", "User namespace to use", LATER),
    ("uts", "", STRING, "", "UTS namespace to use", LATER),
    ("volume", "v", LIST, (), "Mount a volume or a directory of the host"),
    ("volume-driver", "", STRING, "", "Volume driver of the container", LATER),
    ("volumes-from", "", LIST, (), "Mount the volumes of another container", LATER),
    ("workdir", "w", STRING, "", "Working directory inside the container"),
)
RUN_FLAGS = (
    *CREATE_FLAGS,
    ("detach", "d", BOOL, False, "Run in the background and print the container ID"),
    ("detach-keys", "", STRING, "", "Keys that detach from the container"),
    ("sig-proxy", "", BOOL, True, "Pass signals on to the process (default true)", LATER),
)

PULL_POLICIES = ("always", "missing", "never")
_NETWORKS = ("default", "bridge", "none", "host")


class CreateRequest:
    """What run and create ask the engine for. `config`, `host_config`, `networking`: documents of Docker's API.

    `command` is None when the image's own is wanted. `detach_keys` is "" for the usual ones.
    """

    __slots__ = ("config", "detach", "detach_keys", "host_config", "name", "networking", "platform", "pull", "quiet")

    def __init__(self, call: "Call", config: "Document", host_config: "Document") -> None:
        self.config = config
        self.host_config = host_config
        self.networking: Document = {"EndpointsConfig": {}}
        self.name: str = call["name"]
        self.pull: str = call["pull"]
        self.platform: str = call["platform"]
        self.quiet: bool = call["quiet"]
        self.detach: bool = call.values.get("detach", False)
        self.detach_keys: str = call.values.get("detach-keys", "")


def create_request(call: "Call") -> CreateRequest:
    """The request of a command line of run or create, whose first argument is the image.

    Raises ClientError or Unsupported; nothing has happened then.
    """
    if call["pull"] not in PULL_POLICIES:
        raise ClientError(f"""invalid pull option: '{call["pull"]}': must be one of "always", "missing" or "never\"""")
    try:
        config = _config(call)
        host = _host_config(call)
        _add_volumes(call, config, host)
        _add_ports(call, config, host)
    except ValueError as error:
        raise ClientError(str(error)) from None
    except OSError as error:
        raise ClientError(f"open {error.filename}: {os.strerror(error.errno or 0).lower()}") from None
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise ClientError("conflicting options: cannot specify both --restart and --rm")
    return CreateRequest(call, config, host)


def _config(call: "Call") -> "Document":
    attached = not call.values.get("detach", False)
    stdin = bool(call["interactive"])
    config: Document = {
        "Hostname": call["hostname"],
        "Domainname": "",
        "User": call["user"],
        "AttachStdin": stdin and attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": call["tty"],
        "OpenStdin": stdin,
        "StdinOnce": stdin and attached,
        "Env": read_environment(call["env-file"], call["env"]) or None,
        "Cmd": call.args[1:] or None,
        "Image": call.args[0],
        "Volumes": {},
        "WorkingDir": call["workdir"],
        "Entrypoint": [call["entrypoint"]] if "entrypoint" in call.given else None,
        "OnBuild": None,
        "Labels": read_labels(call["label-file"], call["label"]),
    }
    if call["stop-signal"]:
        config["StopSignal"] = call["stop-signal"]
    if "stop-timeout" in call.given:
        config["StopTimeout"] = call["stop-timeout"]
    return config


def _host_config(call: "Call") -> "Document":
    """HostConfig as Docker's client sends it; the fields of later flags have their empty values."""
    add, drop = effective_capabilities(call["cap-add"], call["cap-drop"])
    host: Document = {
        "Binds": None,
        "ContainerIDFile": call["cidfile"],
        "LogConfig": {"Type": "", "Config": {}},
        "NetworkMode": _network_mode(call["network"]),
        "PortBindings": {},
        "RestartPolicy": parse_restart(call["restart"]),
        "AutoRemove": call["rm"],
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": [0, 0],
        "CapAdd": add or None,
        "CapDrop": drop or None,
        "CgroupnsMode": "",
        "Dns": call["dns"],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": call["add-host"] or None,
        "GroupAdd": None,
        "IpcMode": "",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": call["privileged"],
        "PublishAllPorts": call["publish-all"],
        "ReadonlyRootfs": call["read-only"],
        "SecurityOpt": _security_options(call["security-opt"]) or None,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": call["shm-size"],
        "Isolation": "",
        **_resources(call),
        "MaskedPaths": None,
        "ReadonlyPaths": None,
    }
    if "init" in call.given:
        host["Init"] = call["init"]
    if call["tmpfs"]:
        host["Tmpfs"] = dict(_split_first(text) for text in call["tmpfs"])
    return host


def _resources(call: "Call") -> "Document":
    devices = [parse_device(text) for text in call["device"]]
    ulimits = {limit["Name"]: limit for limit in call["ulimit"]}
    return {
        "CpuShares": call["cpu-shares"],
        "Memory": call["memory"],
        "NanoCpus": call["cpus"],
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": call["cpuset-cpus"],
        "CpusetMems": "",
        "Devices": devices,
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": 0,
        "MemorySwap": call["memory-swap"],
        "MemorySwappiness": -1,
        "OomKillDisable": False,
        "PidsLimit": call["pids-limit"],
        "Ulimits": [ulimits[name] for name in sorted(ulimits)],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _split_first(text: str) -> "tuple[str, str]":
    path, _, options = text.partition(":")
    return path, options


def _network_mode(values: "list[str]") -> str:
    if not values:
        return "default"
    if len(values) > 1:
        raise Unsupported("more than one --network is not supported yet", hint="keep one of them")
    mode = values[0].removeprefix("name=")
    if mode not in _NETWORKS:
        raise Unsupported(f"--network {values[0]} is not supported yet", hint="use bridge, none or host")
    return mode


def _add_volumes(call: "Call", config: "Document", host: "Document") -> None:
    binds = []
    for text in call["volume"]:
        source, rest = parse_volume(text)
        if not source:
            config["Volumes"][rest] = {}
            continue
        if source[0] == ".":
            source = os.path.abspath(source)
        binds.append(f"{source}:{rest}")
    host["Binds"] = binds or None


def parse_volume(text: str) -> "tuple[str, str]":
    """-v as (source, the rest): source is "" for an anonymous volume."""
    if not text:
        raise ValueError("invalid empty volume spec")
    parts = text.split(":")
    if not all(parts):
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons")
    return ("", text) if len(parts) == 1 else (parts[0], text[len(parts[0]) + 1 :])


def _add_ports(call: "Call", config: "Document", host: "Document") -> None:
    if not call["publish"] and not call["expose"]:
        return
    from boxship.cli import ports

    exposed: Document = {}
    for text in call["publish"]:
        for port, address, host_port in ports.parse_publish(ports.short_form(text)):
            exposed[port] = {}
            host["PortBindings"].setdefault(port, []).append({"HostIp": address, "HostPort": host_port})
    for text in call["expose"]:
        try:
            exposed.update((port, {}) for port in ports.expand(text))
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {error}") from None
    config["ExposedPorts"] = exposed


def parse_restart(text: str) -> "Document":
    """ "on-failure:3" as Docker's RestartPolicy. The engine judges the name."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    body = count[1:] if count[:1] in ("-", "+") else count
    if colon and not (body.isascii() and body.isdigit()):
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def parse_device(text: str) -> "Document":
    """--device host[:container[:permissions]] as Docker's DeviceMapping."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    if "=" in parts[0] and parts[0][0] != "/":
        raise Unsupported(f"--device {text} is not supported yet", hint="name a path under /dev")
    inside, mode = parts[0], "rwm"
    if len(parts) == 3:
        inside, mode = parts[1], parts[2]
        if not _is_mode(mode):
            raise ValueError(f"bad mode specified: {mode}")
    elif len(parts) == 2:
        inside, mode = (parts[0], parts[1]) if _is_mode(parts[1]) else (parts[1], "rwm")
    if not inside.startswith("/"):
        raise ValueError(f"{inside} is not an absolute path")
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": mode}


def _is_mode(text: str) -> bool:
    return 0 < len(text) <= 3 and all(char in "rwm" and text.count(char) == 1 for char in text)


def effective_capabilities(add: "list[str]", drop: "list[str]") -> "tuple[list[str], list[str]]":
    """Both lists with their names made whole, sorted, without doubles; what is added is not dropped, ALL takes the rest."""
    added = {capability(name) for name in add}
    dropped = {capability(name) for name in drop}
    if "ALL" in added:
        added = {"ALL"}
    dropped = {"ALL"} if "ALL" in dropped else dropped - added
    return sorted(added), sorted(dropped)


def capability(name: str) -> str:
    """ " net_admin" -> "CAP_NET_ADMIN"."""
    name = name.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def _security_options(texts: "list[str]") -> "list[str]":
    return [_security_option(text) for text in texts]


def _security_option(text: str) -> str:
    name, separator, value = text.partition("=")
    if not separator:
        # Docker took a colon here before 1.11, and still does
        name, separator, value = text.partition(":")
    if name == "no-new-privileges" and value in ("", "true", "false"):
        return f"{name}={value}" if separator else name
    if not separator:
        raise ValueError(f'Invalid --security-opt: "{text}"')
    if name == "seccomp":
        return f"seccomp={value if value in ('unconfined', 'builtin') else _seccomp_profile(value)}"
    if (name, value) in (("apparmor", "unconfined"), ("label", "disable")):
        # so it is anyway: Boxship loads no AppArmor profile and sets no SELinux label
        return f"{name}={value}"
    raise Unsupported(f"--security-opt {text} is not supported yet", hint="leave it out")


def _seccomp_profile(path: str) -> str:
    import json

    try:
        with open(path, "rb") as file:
            return json.dumps(json.load(file), separators=(",", ":"))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None
