"""The supervisor of one build step, forked from the fork server: builds the container, waits, reports, leaves nothing behind.

It ends, and the step with it, when the build that asked for it goes away.
"""

import _socket
import os
import select
import struct

from boxship import fastjson
from boxship.config import Paths, store_tag
from boxship.engine import specgen, stage, stepgroups, stubs
from boxship.engine.keeper import set_name
from boxship.errors import BoxshipError, KernelError
from boxship.layers.remove import remove_tree
from boxship.network import bridge, ipam, sandbox
from boxship.runtime import cgroups, launch
from boxship.runtime.channel import Child
from boxship.runtime.shim import error_document
from boxship.snapshots import overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]


class Step:
    def __init__(self, paths: Paths, message: "Document", fds: "dict[str, int]") -> None:
        self.paths = paths
        self.message = message
        self.fds = fds
        self.tag = store_tag(paths)
        self.id = os.urandom(32).hex()
        self.home = f"{os.path.dirname(message['upper'])}/run"
        self.cgroup: Any = None
        self.sandbox: sandbox.Sandbox | None = None

    def start(self) -> Child:
        os.makedirs(f"{self.home}/merged", mode=0o755, exist_ok=True)
        request = self._request()
        self.cgroup = cgroups.create(self.tag, stepgroups.own_name(), request.spec["linux"]["resources"])
        request.cgroup_procs = self.cgroup.join_fds()
        request.cgroup_mounts = cgroups.mounts()
        mode = self.message["network"]["mode"]
        fresh = mode != "host" and "netns" not in self.fds
        if fresh:
            self.sandbox = sandbox.create()
            request.netns = self.sandbox.fd
        elif mode != "host":
            request.netns = self.fds["netns"]
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        request.stdio = (null, self.fds["stdout"], self.fds["stderr"])
        child = launch.launch(request)
        for fd in (*request.cgroup_procs, *request.stdio):
            os.close(fd)
        if fresh:
            self._connect()
        child.await_ready()
        child.go()
        return child

    def _request(self) -> launch.Request:
        message = self.message
        lowers = message["lowers"] or [overlay.empty_lower(self.paths)]
        tree = stage.view(self.paths, lowers, message["upper"])
        facts = specgen.Facts()
        facts.rootfs = f"{self.home}/merged"
        facts.host_name = os.uname().nodename
        facts.user = stage.user(tree, message["config"].get("User") or "", [])
        facts.files = stage.network_files({**message, "id": self.id}, self.home, facts.host_name)
        facts.mounts = self._scripts()
        facts.seccomp = {}
        spec = specgen.generate(self.id, message["config"], message["host"], facts)
        names = spec["process"]["capabilities"]["bounding"]
        spec["linux"]["seccomp"], program = stage.seccomp(self.paths, message["host"], names)
        request = launch.Request(spec, program)
        request.rootfs_mounts = self._root(tree, lowers)
        request.lower_directory = self.paths.layers
        return request

    def _root(self, tree: "Any", lowers: "list[str]") -> "list[Document]":
        if stubs.make(tree, f"{self.home}/stubs"):
            lowers = [os.path.relpath(f"{self.home}/stubs", self.paths.layers), *lowers]
        place = os.path.dirname(self.message["upper"])
        if self.message["upper"] != f"{place}/upper" or self.message["work"] != f"{place}/work":
            raise BoxshipError("upper and work of a step must lie side by side under these names")
        return overlay.mounts(self.paths, place, lowers)

    def _scripts(self) -> "list[Document]":
        mounts = []
        for number, (path, text) in enumerate(self.message.get("scripts", {}).items()):
            source = f"{self.home}/script{number}"
            fd = os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
            os.fchmod(fd, 0o755)
            os.write(fd, text.encode("utf-8", "surrogateescape"))
            os.close(fd)
            mounts.append({"destination": path, "type": "bind", "source": source, "options": ["bind", "ro"]})
        return mounts

    def _connect(self) -> None:
        network = self.message["network"]
        assert self.sandbox is not None
        if network["mode"] == "none":
            sandbox.loopback_only(self.sandbox)
            return
        name, table = bridge.names(self.tag)
        info = bridge.ensure(name, table, network["subnet"])
        ip = network["ip"]
        veth = f"veth{os.urandom(4).hex()[:7]}"
        sandbox.connect(self.sandbox, info.ifindex, ip, info.prefixlen, info.gateway, ipam.mac_of(ip), veth)

    def undo(self) -> None:
        if self.cgroup is not None:
            self.cgroup.kill_all()
            self.cgroup.destroy()
            self.cgroup = None
        remove_tree(self.home)


def supervise(paths: Paths, connection: "_socket.socket", message: "Document", body: bytes, fds: "list[int]") -> None:
    set_name("boxship-step")
    os.setsid()
    step = Step(paths, message, dict(zip(message["streams"], fds, strict=False)))
    try:
        child = step.start()
    except (BoxshipError, OSError) as error:
        step.undo()
        connection.send(fastjson.dumps(_document(error)).encode())
        return
    reply = fastjson.dumps({"started": child.pid}).encode()
    if step.sandbox is not None:
        packed = struct.pack("i", step.sandbox.fd)
        connection.sendmsg([reply], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
    else:
        connection.send(reply)
    if step.sandbox is not None:
        stepgroups.sweep(step.tag)  # once for each build, and while the step runs already
    code = _wait(connection, child)
    step.undo()
    try:
        connection.send(fastjson.dumps({"exit": code}).encode(), _socket.MSG_NOSIGNAL)
    except OSError:
        return  # the build is gone


def _document(error: Exception) -> "Document":
    if isinstance(error, KernelError) or not isinstance(error, BoxshipError):
        error = BoxshipError(f"can't start the step: {error}")
    return error_document(error)


def _wait(connection: "_socket.socket", child: Child) -> int:
    """Until the process ends; killed when the build says so or goes away."""
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    poll.register(connection.fileno(), select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if child.pidfd in ready:
            _, status = os.waitpid(child.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        poll.unregister(connection.fileno())
        os.kill(child.pid, 9)
