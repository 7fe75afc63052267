"""What the fork server's children do: run a container, run a command in one, run one step of a build.

Each function here is the whole life of one forked process. It gets everything it needs in its message: no database is read to
start something; a container's end is written to it by `record`.
"""

import _socket
import os
import select
import struct

from boxship import fastjson
from boxship.config import Paths, store_tag
from boxship.engine import client, devices, record, specgen, stage, taskrun
from boxship.engine.logdrivers import json_file
from boxship.errors import BoxshipError, Conflict, KernelError
from boxship.linux import ns, prctl
from boxship.network import bridge, ipam, portmap, sandbox
from boxship.runtime import active, cgroups, launch, process
from boxship.runtime.shim import Exit, Shim, error_document
from boxship.runtime.stdio import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Document = dict[str, Any]


def warm_up() -> None:
    """Load what the forks would otherwise load each for themselves, and compile the usual seccomp filter."""
    stage.warm_up()


class Container:
    """Hooks of one container's shim. The start itself is done by a helper that ends (`Starter`): what it touches of the memory that
    it shares with the fork server would otherwise be the shim's own for as long as the container lives."""

    def __init__(self, paths: Paths, head: "Document", body: bytes, where: str) -> None:
        self.paths = paths
        self.head = head
        self.body = body  # read by the helpers, not here: parsed, it would be the largest thing in the shim's memory
        self.id: str = head["id"]
        self.where = where
        self.home = f"{paths.containers}/{self.id}"
        self.tag = store_tag(paths)
        self.group = ""
        self.reserved: list[int] = []
        self.restarts = 0
        self.failures = 0

    # -- Hooks ---------------------------------------------------------------------------------------------------------------
    def start(self, streams: Streams) -> launch.Child:
        ours, theirs = launch.channel_pair()
        helper = os.fork()
        if helper == 0:
            ours.close()
            Starter(self).run(theirs)
        theirs.close()
        self.group = f"{cgroups.parent(self.tag)}/{self.id}"
        data, fds = launch.receive(ours)
        ours.close()
        try:
            return self._adopt(data, fds, streams)
        except BaseException as error:
            self.teardown(final=False)
            _reap()
            if isinstance(error, BoxshipError):
                record.failed(self.paths, self.id, error)
            raise

    def _adopt(self, data: bytes, fds: "list[int]", streams: Streams) -> launch.Child:
        """What the helper made: init is our child (CLONE_PARENT), mounted and waiting for "go"."""
        made: Document = fastjson.loads(data) if data else {"error": "the helper that starts the container was killed"}
        if "error" in made:
            raise client.rebuilt(made)
        by_name = dict(zip(made["fds"], fds, strict=False))
        self.reserved += fds[len(made["fds"]) :]
        child = launch.Child(made["pid"], _socket.socket(fileno=by_name["channel"]), by_name.get("master", -1))
        child.go()
        if child.master >= 0:
            streams.open_terminal(child.master, bool(self.head["stdin"]))
        else:
            outputs = {1: by_name["stdout"], 2: by_name["stderr"]}
            streams.open_pipes(outputs, by_name.get("stdin", -1), bool(self.head["stdin_once"]))
        return child

    def stopped(self, status: Exit) -> None:
        oom = cgroups.find(self.group).oom_killed()
        again = not status.manual and self.restart_after(status, peek=True) is not None
        remove = bool(self.head["remove"]) or status.remove
        record.ended(self.paths, self.id, status, oom, self.restarts, again=again, remove=remove and not again)
        if again:
            state = active.read_state(self.paths, self.id) or {}
            active.write_state(self.where, {**state, "pid": 0, "start": 0, "restarting": True})

    def restart_after(self, status: Exit, peek: bool = False) -> "float | None":
        """Docker's policies; 100 ms, doubled at each failure up to a minute, forgotten after ten seconds of life."""
        name, most = self.head["restart"]
        failures = 0 if status.seconds > 10 else self.failures
        if name in ("always", "unless-stopped"):
            wanted = True
        elif name == "on-failure":
            wanted = status.code != 0 and (most == 0 or self.restarts < most)
        else:
            wanted = False
        if not wanted:
            return None
        if not peek:
            self.failures = failures + 1
            self.restarts += 1
        return min(60.0, 0.1 * 2.0**failures)

    def teardown(self, final: bool) -> None:
        """In the order that a crash between any two leaves something `recovery` finds: active/ID goes last, in the shim."""
        if self.group:
            group = cgroups.find(self.group)
            group.kill_all()
            group.destroy()
        if final:
            if self.reserved:
                network = fastjson.loads(self.body)["network"]
                portmap.unpublish(bridge.names(self.tag)[1], published(network))
            _close(self.reserved)
            self.reserved.clear()
            record.forget(self.paths, self.id, self.home)


def published(network: "Document") -> "list[tuple[str, str, int, str, int]]":
    return [(proto, host_ip, host_port, network["ip"], port) for proto, host_ip, host_port, port in network["ports"]]


def _reap() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


class Starter:
    """The helper: makes everything, clones init for the shim, hands over the descriptors, ends."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.paths = container.paths
        self.message: Document = fastjson.loads(container.body)
        self.cgroup: Any = None
        self.sandbox: sandbox.Sandbox | None = None
        self.child: launch.Child | None = None
        self.ends: dict[str, int] = {}
        self.reserved: list[int] = []

    def run(self, channel: "_socket.socket") -> "NoReturn":
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


def _close(fds: "list[int]") -> None:
    for fd in fds:
        os.close(fd)


def start(paths: Paths, connection: "_socket.socket", head: "Document", body: bytes, fds: "list[int]") -> None:
    """The life of a shim."""
    set_name("boxship-shim")
    os.setsid()
    lock = active.Lock(active.directory(paths, head["id"]))
    if not lock.take(active.SHIM):
        connection.send(fastjson.dumps(error_document(Conflict("the container is running already"))).encode())
        return
    log = json_file.make(f"{paths.containers}/{head['id']}/{head['id']}-json.log", head["log"])
    shim = Shim(lock.directory, Container(paths, head, body, lock.directory), log)
    shim.run(connection, dict(zip(head["streams"], fds, strict=False)))


def set_name(name: str) -> None:
    """As prctl(PR_SET_NAME), without ctypes: its first call alone would cost each shim 100 KiB of memory of its own."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)


# -- exec ----------------------------------------------------------------------------------------------------------------------
_JOINED = ns.CLONE_NEWNS | ns.CLONE_NEWUTS | ns.CLONE_NEWIPC | ns.CLONE_NEWNET | ns.CLONE_NEWCGROUP


def execute(paths: Paths, connection: "_socket.socket", message: "Document", body: bytes, fds: "list[int]") -> None:
    """The life of an exec helper: join the container, start the process, report its pid and its end."""
    set_name("boxship-exec")
    os.setsid()
    try:
        child, master = _exec_child(paths, message, fds)
    except (BoxshipError, OSError) as error:
        if isinstance(error, OSError):
            error = BoxshipError(f"exec failed: {os.strerror(error.errno or 0).lower()}")
        connection.send(fastjson.dumps(error_document(error)).encode())
        return
    reply = fastjson.dumps({"started": child.pid}).encode()
    if master >= 0 and message.get("detach"):
        connection.send(reply)
        _swallow(master, child.pidfd)
    elif master >= 0:
        connection.sendmsg([reply], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", master))])
        os.close(master)
    else:
        connection.send(reply)
    for fd in fds:
        os.close(fd)
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    try:
        connection.send(fastjson.dumps({"exit": code if code >= 0 else 128 - code}).encode(), _socket.MSG_NOSIGNAL)
    except OSError:
        return  # nobody waits: exec -d, or a killed client


def _swallow(master: int, pidfd: int) -> None:
    """exec -d -t: somebody has to hold the terminal, or the process would be hung up on, and to read it, or it would block."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(master, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if pidfd in ready:
            return
        try:
            os.read(master, 1 << 16)
        except OSError:
            poll.unregister(master)  # EIO: nobody has the other side open


def _exec_child(paths: Paths, message: "Document", fds: "list[int]") -> "tuple[launch.Child, int]":
    container_id = message["id"]
    state = active.read_state(paths, container_id) or {}
    spec = active.read_document(f"{active.directory(paths, container_id)}/config.json")
    pid = int(state.get("pid") or 0)
    if spec is None or not pid or active.start_time(pid) != state.get("start"):
        raise Conflict(f"container {container_id} is not running")
    pidfd = os.pidfd_open(pid)
    process_spec = stage.exec_process(paths, spec, message, pid)
    names = process_spec["capabilities"]["bounding"]
    program = None if message.get("privileged") else stage.seccomp(paths, message["host"], names)[1]
    prepared = process.Prepared(process_spec, program)
    group = cgroups.find(state["cgroup"])
    procs = group.join_fds()
    terminal = bool(message.get("tty"))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    by_name = dict(zip(message.get("streams") or [], fds, strict=False))
    stdio = tuple(by_name.get(name, null) for name in ("stdin", "stdout", "stderr"))
    ours, theirs = launch.channel_pair()
    container_pid_ns = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    child_pid = launch.fork_into_pidns(container_pid_ns, False)
    if child_pid == 0:
        launch.run_child(theirs, lambda: _join(prepared, pidfd, procs, stdio, theirs, terminal, message.get("size")))
    theirs.close()
    for fd in (container_pid_ns, null, pidfd, *procs):
        os.close(fd)
    child = launch.Child(child_pid, ours)
    child.await_ready()
    child.go()
    return child, child.master


def _join(
    prepared: process.Prepared, pidfd: int, procs: "list[int]", stdio: "Any", channel: "_socket.socket", terminal: bool, size: "Any"
) -> None:
    prctl.prctl(prctl.PR_SET_PDEATHSIG, 0)
    launch.reset_signals()
    os.setsid()
    process.limit_and_score(prepared)
    launch.join_cgroups(procs)
    ns.setns(pidfd, _JOINED)
    prctl.join_session_keyring("boxship")
    launch.exec_stdio(channel, stdio, terminal, size)
    if channel.recv(1) != b"G":
        os._exit(0)
    launch.close_all_but(channel.fileno())
    process.become(prepared, deathsig=False)


# -- one step of a build -------------------------------------------------------------------------------------------------------
def task(paths: Paths, connection: "_socket.socket", message: "Document", body: bytes, fds: "list[int]") -> None:
    """The life of a build step's supervisor: stdout and stderr are the client's own pipes; ends when the client goes."""
    taskrun.supervise(paths, connection, message, fds)


OPERATIONS = {"start": start, "exec": execute, "task": task}
