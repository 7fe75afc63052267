"""A container as the document of Docker's GET /containers/ID/json (API 1.51)."""

import os

from boxship import fastjson
from boxship.engine import containerlist, networks, timestamps
from boxship.oci import spec as oci
from boxship.state import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.engine.containerlist import Life
    from boxship.engine.store import Store
    from boxship.state.containers import Container

    Document = dict[str, Any]

RUNTIME = "boxship"

# in the order of Docker's answer, with what it shows where nothing was asked for
_HOST: "Document" = {
    "Binds": None, "ContainerIDFile": "", "LogConfig": None, "NetworkMode": "", "PortBindings": {}, "RestartPolicy": None,
    "AutoRemove": False, "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [0, 0], "CapAdd": None, "CapDrop": None,
    "CgroupnsMode": "private", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None,
    "IpcMode": "private", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
    "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "",
    "ShmSize": oci.DEFAULT_SHM_SIZE, "Runtime": RUNTIME, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
    "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": None,
    "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": None, "OomKillDisable": False,
    "PidsLimit": None, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
    "MaskedPaths": None, "ReadonlyPaths": None,
}  # fmt: skip
# "" and 0 of these mean the default above
_DEFAULT_WHEN_EMPTY = ("CgroupnsMode", "IpcMode", "ShmSize", "Runtime", "ConsoleSize", "PidsLimit")

_CONFIG: "Document" = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "ExposedPorts": None, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None, "Healthcheck": None,
    "ArgsEscaped": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
    "StopSignal": None, "StopTimeout": None, "Shell": None,
}  # fmt: skip
# Go leaves them out when they are empty
_CONFIG_OPTIONAL = ("ExposedPorts", "Healthcheck", "ArgsEscaped", "StopSignal", "StopTimeout", "Shell")


def document(store: "Store", row: "Container", now_is: "Life", size: bool = False) -> "Document":
    config, host = fastjson.loads(row.config), fastjson.loads(row.host_config)
    home = f"{store.paths.containers}/{row.id}"
    words = containerlist.words(config) or [""]
    shown: Document = {
        "Id": row.id,
        "Created": timestamps.rfc3339(row.created),
        "Path": words[0],
        "Args": words[1:],
        "State": _state(now_is),
        "Image": row.image_id,
        "ResolvConfPath": _made(f"{home}/resolv.conf"),
        "HostnamePath": _made(f"{home}/hostname"),
        "HostsPath": _made(f"{home}/hosts"),
        "LogPath": _made(f"{home}/{row.id}-json.log"),
        "Name": f"/{row.name}",
        "RestartCount": now_is.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(host),
        "GraphDriver": {"Data": _graph(store, row, home), "Name": "overlay2"},
    }
    if size:
        shown.update(containerlist.sizes(store, row))
    shown["Mounts"] = containerlist.mounts(store, row.id, config, host)
    shown["Config"] = container_config(row, config, host)
    shown["NetworkSettings"] = _network_settings(store, row, now_is, config, host)
    return shown


def _made(path: str) -> str:
    """Docker names these files from the first start on."""
    return path if os.path.exists(path) else ""


def _state(now_is: "Life") -> "Document":
    return {
        "Status": now_is.name(),
        "Running": now_is.running,
        "Paused": False,
        "Restarting": now_is.restarting,
        "OOMKilled": now_is.oom,
        "Dead": False,
        "Pid": now_is.pid,
        "ExitCode": now_is.code,
        "Error": now_is.error,
        "StartedAt": timestamps.rfc3339(now_is.started),
        "FinishedAt": timestamps.rfc3339(now_is.finished),
    }


def host_config(host: "Document") -> "Document":
    """All of Docker's fields, what was not given as Docker fills it in."""
    shown = {**_HOST, **host}
    for name in _DEFAULT_WHEN_EMPTY:
        shown[name] = shown[name] or _HOST[name]
    log, restart = host.get("LogConfig") or {}, host.get("RestartPolicy") or {}
    shown["LogConfig"] = {"Type": log.get("Type") or "json-file", "Config": log.get("Config") or {}}
    shown["RestartPolicy"] = {"Name": restart.get("Name") or "no", "MaximumRetryCount": restart.get("MaximumRetryCount") or 0}
    shown["NetworkMode"] = networks.mode(host)
    if shown["MemorySwappiness"] == -1:
        shown["MemorySwappiness"] = None
    if shown["Memory"] > 0 and not shown["MemorySwap"]:
        shown["MemorySwap"] = 2 * shown["Memory"]
    if shown["Privileged"]:
        shown["SecurityOpt"] = shown["SecurityOpt"] or ["label=disable"]
    else:
        for name, usual in (("MaskedPaths", oci.MASKED_PATHS), ("ReadonlyPaths", oci.READONLY_PATHS)):
            shown[name] = list(usual) if shown[name] is None else shown[name]
    return shown


def container_config(row: "Container", config: "Document", host: "Document") -> "Document":
    shown = {**_CONFIG, **{name: value for name, value in config.items() if value is not None}}
    shown["Image"] = row.image_name
    shown["Volumes"] = shown["Volumes"] or None
    if not shown["Hostname"]:
        shown["Hostname"] = os.uname().nodename if networks.mode(host) == "host" else row.id[:12]
    for name in _CONFIG_OPTIONAL:
        if shown[name] is None or shown[name] in ("", {}, []):
            del shown[name]
    return shown


def _graph(store: "Store", row: "Container", home: str) -> "Document":
    lowers = [f"{store.paths.layers}/{layer.dir}" for layer in reversed(layers.of_image(store.db, row.image_id))]
    return {
        "LowerDir": ":".join(lowers),
        "MergedDir": f"{home}/merged",
        "UpperDir": f"{home}/upper",
        "WorkDir": f"{home}/work",
    }


def _network_settings(store: "Store", row: "Container", now_is: "Life", config: "Document", host: "Document") -> "Document":
    build = containerlist.Builder(store)
    mode = networks.mode(host)
    endpoint = build.endpoint(row.id, now_is)
    ports: dict[str, list[Document] | None] = {}
    if now_is.pid and mode == networks.BRIDGE:
        ports = {f"{number}/{proto}": None for number, proto in containerlist.exposed(config)}
        for port in build.ports(row.id):
            key = f"{port.container_port}/{port.proto}"
            ports[key] = [*(ports.get(key) or []), {"HostIp": port.host_ip, "HostPort": str(port.host_port)}]
    return {
        "Bridge": "",
        "SandboxID": "",
        # no name leads to the namespace but that of its process
        "SandboxKey": f"/proc/{now_is.pid}/ns/net" if now_is.pid and mode != "host" else "",
        "Ports": ports,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        "Gateway": endpoint["Gateway"],
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": endpoint["IPAddress"],
        "IPPrefixLen": endpoint["IPPrefixLen"],
        "IPv6Gateway": "",
        "MacAddress": endpoint["MacAddress"],
        "Networks": {mode: endpoint},
    }
