"""The text of `info` and `version`, out of the documents of Docker's GET /info and /version."""

from boxship.cli.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_COUNTS = (
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
)
_HOST = (
    (" Kernel Version", "KernelVersion"),
    (" Operating System", "OperatingSystem"),
    (" OSType", "OSType"),
    (" Architecture", "Architecture"),
    (" CPUs", "NCPU"),
    (" Total Memory", "MemTotal"),
    (" Name", "Name"),
    (" ID", "ID"),
    (" Docker Root Dir", "DockerRootDir"),
    (" Debug Mode", "Debug"),
    (" HTTP Proxy", "HttpProxy"),
    (" HTTPS Proxy", "HttpsProxy"),
    (" No Proxy", "NoProxy"),
)


def info_text(client: "Document", info: "Document") -> str:
    lines = ["Client:", f" Version:    {client['Version']}", " Context:    default", " Debug Mode: false", "", "Server:"]
    lines += _rows(info, _COUNTS)
    lines.append(f" Server Version: {info.get('ServerVersion', '')}")
    lines.append(f" Storage Driver: {info.get('Driver', '')}")
    lines += [f"  {name}: {value}" for name, value in info.get("DriverStatus") or []]
    lines += _rows(info, ((" Logging Driver", "LoggingDriver"), (" Cgroup Driver", "CgroupDriver")))
    lines += _rows(info, ((" Cgroup Version", "CgroupVersion"),))
    lines += _plugins(info)
    lines += _runtimes(info)
    lines += _security(info.get("SecurityOptions") or [])
    lines += _rows(info, _HOST)
    lines += _list(" Labels", info.get("Labels") or [])
    lines.append(f" Experimental: {_word(info.get('ExperimentalBuild', False))}")
    lines += _registries(info.get("RegistryConfig") or {})
    if "LiveRestoreEnabled" in info:
        lines.append(f" Live Restore Enabled: {_word(info['LiveRestoreEnabled'])}")
    return "\n".join(lines) + "\n\n"


def _rows(info: "Document", rows: "tuple[tuple[str, str], ...]") -> "list[str]":
    found = []
    for label, name in rows:
        value = info.get(name)
        if value is None or value == "":
            continue
        found.append(f"{label}: {format_size(value, binary=True) if name == 'MemTotal' else _word(value)}")
    return found


def _word(value: "Any") -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _list(title: str, values: "list[str]") -> "list[str]":
    return [f"{title}:", *(f"  {value}" for value in values)] if values else []


def _plugins(info: "Document") -> "list[str]":
    plugins = info.get("Plugins") or {}
    lines = [f"  {kind}: {' '.join(plugins[kind])}" for kind in ("Volume", "Network", "Log") if plugins.get(kind)]
    if plugins.get("Authorization"):
        lines.append(f"  Authorization: {' '.join(plugins['Authorization'])}")
    return [" Plugins:", *lines] if lines else []


def _runtimes(info: "Document") -> "list[str]":
    lines = []
    state = (info.get("Swarm") or {}).get("LocalNodeState")
    if state:
        lines.append(f" Swarm: {state}")
    if info.get("Runtimes"):
        lines.append(f" Runtimes: {' '.join(sorted(info['Runtimes']))}")
        lines.append(f" Default Runtime: {info.get('DefaultRuntime', '')}")
    if info.get("InitBinary"):
        lines.append(f" Init Binary: {info['InitBinary']}")
    for name, label in (("ContainerdCommit", "containerd"), ("RuncCommit", "runc"), ("InitCommit", "init")):
        ident = (info.get(name) or {}).get("ID")
        if ident:
            lines.append(f" {label} version: {ident}")
    return lines


def _security(options: "list[str]") -> "list[str]":
    """ "name=seccomp,profile=builtin" as two lines."""
    lines = []
    for option in options:
        pairs = [pair.partition("=") for pair in option.split(",")]
        for name, _, value in pairs:
            lines.append(f"  {value}" if name == "name" else f"   {name.capitalize()}: {value}")
    return [" Security Options:", *lines] if lines else []


def _registries(config: "Document") -> "list[str]":
    insecure = [index["Name"] for index in (config.get("IndexConfigs") or {}).values() if not index.get("Secure", True)]
    insecure += config.get("InsecureRegistryCIDRs") or []
    return _list(" Insecure Registries", insecure) + _list(" Registry Mirrors", config.get("Mirrors") or [])


def version_text(client: "Document", server: "Document") -> str:
    lines = ["Client:", *_version_rows(client, " ", _CLIENT), ""]
    platform = (server.get("Platform") or {}).get("Name", "")
    lines.append(f"Server: {platform}".rstrip())
    for component in server.get("Components") or []:
        details = component.get("Details") or {}
        lines.append(f" {component['Name']}:")
        lines.append(f"  {'Version:':<17} {component.get('Version', '')}")
        known = _ENGINE if component["Name"] == "Engine" else (("GitCommit", "GitCommit"),)
        lines += _version_rows(details, "  ", known)
    return "\n".join(lines) + "\n"


_CLIENT = (
    ("Version", "Version"),
    ("API version", "ApiVersion"),
    ("Python version", "PythonVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
    ("OS/Arch", "Os"),
    ("Context", "Context"),
)
_ENGINE = (
    ("API version", "ApiVersion"),
    ("Go version", "GoVersion"),
    ("Python version", "PythonVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
    ("OS/Arch", "Os"),
    ("Experimental", "Experimental"),
)


def _version_rows(details: "Document", indent: str, rows: "tuple[tuple[str, str], ...]") -> "list[str]":
    width = 18 if len(indent) == 1 else 17
    lines = []
    for label, name in rows:
        value = details.get(name)
        if not value:
            continue
        if name == "Os":
            value = f"{value}/{details.get('Arch', '')}"
        if label == "API version" and details.get("MinAPIVersion"):
            value = f"{value} (minimum version {details['MinAPIVersion']})"
        if name == "BuildTime":
            value = _built(value)
        lines.append(f"{indent}{label + ':':<{width}} {value}")
    return lines


def _built(text: str) -> str:
    """An RFC 3339 time as date(1) shows it; anything else as it is."""
    import time

    try:
        return time.strftime("%a %b %e %H:%M:%S %Y", time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return text
