"""The helper that makes a container: everything from its files to its network, and init itself, cloned for the shim.

It hands the descriptors over and ends. What it touched of the fork server's memory goes with it.
"""

import _socket
import os
import struct

from boxship import fastjson
from boxship.engine import devices, record, specgen, stage
from boxship.engine.keeper import Container
from boxship.errors import BoxshipError, KernelError
from boxship.linux import prctl
from boxship.network import bridge, ipam, portmap, sandbox
from boxship.runtime import active, cgroups, launch
from boxship.runtime.channel import Child
from boxship.runtime.shim import error_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Document = dict[str, Any]


def published(network: "Document") -> "list[tuple[str, str, int, str, int]]":
    return [(proto, host_ip, host_port, network["ip"], port) for proto, host_ip, host_port, port in network["ports"]]


class Starter:
    """The helper: makes everything, clones init for the shim, hands over the descriptors, ends."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.paths = container.paths
        self.message: Document = fastjson.loads(container.body)
        self.cgroup: Any = None
        self.sandbox: sandbox.Sandbox | None = None
        self.child: Child | None = None
        self.ends: dict[str, int] = {}
        self.reserved: list[int] = []

    def run(self, channel: "_socket.socket", shim: int) -> "NoReturn":
        # without its shim nobody would undo what it makes
        prctl.prctl(prctl.PR_SET_PDEATHSIG, 9)
        if os.getppid() != shim:
            os._exit(1)
        try:
            document = self._make()
        except (BoxshipError, OSError) as error:
            self._undo()
            channel.send(fastjson.dumps(_failure(error)).encode())
        else:
            fds = [*self.ends.values(), *self.reserved]
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
            channel.sendmsg([fastjson.dumps(document).encode()], ancillary)
        os._exit(0)

    def _make(self) -> "Document":
        container, message = self.container, self.message
        network = message.get("network") or {}
        self._reserve(network)
        spec, program = self._spec()
        request = launch.Request(spec, program)
        request.rootfs_mounts, request.lower_directory = stage.root(self.paths, message["lowers"], container.home)
        request.init = bool(message["host"].get("Init"))
        size = message["host"].get("ConsoleSize") or [0, 0]
        request.size = (size[0], size[1]) if size[0] else None
        self.cgroup = cgroups.create(container.tag, container.id, spec["linux"]["resources"])
        request.cgroup_procs = self.cgroup.join_fds()
        request.cgroup_mounts = cgroups.mounts()
        if network.get("mode") != "host":
            self.sandbox = sandbox.create()
            request.netns = self.sandbox.fd
        self._pipes(request)
        self.child = launch.launch(request, for_parent=True)
        for fd in request.stdio or ():
            os.close(fd)
        self._connect(network)
        active.write_document(f"{container.where}/config.json", spec)
        self.child.await_ready()
        self.ends["channel"] = self.child.channel.fileno()
        if self.child.master >= 0:
            self.ends["master"] = self.child.master
        self._write_state()
        return {"pid": self.child.pid, "fds": list(self.ends)}

    def _undo(self) -> None:
        """The shim kills what is in the cgroup and removes it; the rest ends with this process."""
        if self.child is not None:
            try:
                os.kill(self.child.pid, 9)
            except ProcessLookupError:
                pass

    def _spec(self) -> "tuple[Document, bytes | None]":
        message = self.message
        config, host = message["config"], message["host"]
        facts = stage.facts(self.paths, message, self.container.home)
        facts.devices = devices.gather(host.get("Devices") or [], bool(host.get("Privileged")))
        spec = specgen.generate(self.container.id, config, host, facts)
        document, program = stage.seccomp(self.paths, host, spec["process"]["capabilities"]["bounding"])
        spec["linux"]["seccomp"] = document
        return spec, program

    def _reserve(self, network: "Document") -> None:
        if self.container.reserved or not network.get("ports"):
            return
        for proto, host_ip, host_port, _ in network["ports"]:
            self.reserved.append(portmap.reserve(host_ip, host_port, proto, endpoint=self.message["name"]))

    def _pipes(self, request: launch.Request) -> None:
        """The shim's ends; the container's go into the request. With a terminal there are none."""
        config = self.message["config"]
        if config.get("Tty"):
            return
        self.ends["stdout"], out_write = os.pipe2(os.O_CLOEXEC)
        self.ends["stderr"], err_write = os.pipe2(os.O_CLOEXEC)
        if config.get("OpenStdin"):
            stdin, self.ends["stdin"] = os.pipe2(os.O_CLOEXEC)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        request.stdio = (stdin, out_write, err_write)

    def _connect(self, network: "Document") -> None:
        """The wires of the sandbox, while init waits for its cgroups."""
        if self.sandbox is None:
            return
        if network.get("mode") == "none":
            sandbox.loopback_only(self.sandbox)
            return
        name, table = bridge.names(self.container.tag)
        info = bridge.ensure(name, table, network["subnet"])
        ip, ports = network["ip"], network.get("ports")
        veth = f"veth{os.urandom(4).hex()[:7]}"
        mac = ipam.mac_of(ip)
        sandbox.connect(self.sandbox, info.ifindex, ip, info.prefixlen, info.gateway, mac, veth, hairpin=bool(ports))
        if ports:
            portmap.publish(table, published(network))

    def _write_state(self) -> None:
        assert self.child is not None
        state = {
            "pid": self.child.pid,
            "start": active.start_time(self.child.pid),
            "started": record.now(),
            "shim": os.getppid(),
            "restarts": self.container.restarts,
            "cgroup": self.cgroup.name,
        }
        active.write_state(self.container.where, state)


def _failure(error: "BoxshipError | OSError") -> "Document":
    if isinstance(error, KernelError):
        error = BoxshipError(f"can't start the container: {error}", hint=error.hint)
    elif isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        error = BoxshipError(f"can't start the container: {os.strerror(error.errno or 0).lower()}{where}")
    return error_document(error)
