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
from boxship.engine import devices, record, specgen, stage, taskrun
from boxship.engine.logdrivers import json_file
from boxship.errors import BoxshipError, Conflict, KernelError
from boxship.linux import ns, prctl
from boxship.network import bridge, ipam, portmap, sandbox
from boxship.runtime import active, cgroups, launch, process
from boxship.runtime.shim import Exit, Shim, error_document
from boxship.runtime.stdio import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]


def warm_up() -> None:
    """Load what the forks would otherwise load each for themselves, and compile the usual seccomp filter."""
    stage.warm_up()


class Container:
    """Hooks of one container's shim: what `start` makes is kept here until `teardown` has undone it."""

    def __init__(self, paths: Paths, message: "Document", lock: active.Lock) -> None:
        self.paths = paths
        self.message = message
        self.id: str = message["id"]
        self.lock = lock
        self.where = lock.directory
        self.home = f"{paths.containers}/{self.id}"
        self.tag = store_tag(paths)
        self.cgroup: Any = None
        self.sandbox: sandbox.Sandbox | None = None
        self.reserved: list[int] = []
        self.published = False
        self.restarts = 0
        self.failures = 0
        self.started = 0

    # -- Hooks ---------------------------------------------------------------------------------------------------------------
    def start(self, streams: Streams) -> launch.Child:
        try:
            return self._start(streams)
        except (BoxshipError, OSError) as error:
            self.teardown(final=False)
            record.failed(self.paths, self.message, str(error))
            if isinstance(error, KernelError):
                raise BoxshipError(f"can't start the container: {error}", hint=error.hint) from None
            raise

    def _start(self, streams: Streams) -> launch.Child:
        network = self.message.get("network") or {}
        self._reserve(network)
        spec, program = self._spec()
        request = launch.Request(spec, program)
        request.rootfs_mounts, request.lower_directory = stage.root(self.paths, self.message["lowers"], self.home)
        request.init = bool(self.message["host"].get("Init"))
        size = self.message["host"].get("ConsoleSize") or [0, 0]
        request.size = (size[0], size[1]) if size[0] else None
        self.cgroup = cgroups.create(self.tag, self.id, spec["linux"]["resources"])
        request.cgroup_procs = self.cgroup.join_fds()
        request.cgroup_mounts = cgroups.mounts()
        if network.get("mode") != "host":
            self.sandbox = sandbox.create()
            request.netns = self.sandbox.fd
        ours = self._pipes(request)
        child = launch.launch(request)
        for fd in request.cgroup_procs:
            os.close(fd)
        if request.stdio:
            for fd in request.stdio:
                os.close(fd)
        try:
            self._connect(network)
            child.await_ready()
        except BaseException:
            self._abandon(child, ours)
            raise
        self.started = record.now()
        self._write_state(child)
        active.write_document(f"{self.where}/config.json", spec)
        try:
            child.go()
        except BoxshipError:
            if child.master >= 0:
                os.close(child.master)
            _close(ours.values())
            raise
        self._hand_over(streams, child, ours)
        return child

    def _spec(self) -> "tuple[Document, bytes | None]":
        message = self.message
        config, host = message["config"], message["host"]
        facts = stage.facts(self.paths, message, self.home)
        facts.devices = devices.gather(host.get("Devices") or [], bool(host.get("Privileged")))
        facts.seccomp = {}
        spec = specgen.generate(self.id, config, host, facts)
        document, program = stage.seccomp(self.paths, host, spec["process"]["capabilities"]["bounding"])
        spec["linux"]["seccomp"] = document
        return spec, program

    def _reserve(self, network: "Document") -> None:
        if self.reserved or not network.get("ports"):
            return
        for proto, host_ip, host_port, _ in network["ports"]:
            self.reserved.append(portmap.reserve(host_ip, host_port, proto, endpoint=self.message["name"]))

    def _pipes(self, request: launch.Request) -> "dict[str, int]":
        """Our ends; the container's go into the request. With a terminal there are none."""
        config = self.message["config"]
        if config.get("Tty"):
            return {}
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        ours = {"stdout": out_read, "stderr": err_read}
        if config.get("OpenStdin"):
            stdin, ours["stdin"] = os.pipe2(os.O_CLOEXEC)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        request.stdio = (stdin, out_write, err_write)
        return ours

    def _connect(self, network: "Document") -> None:
        """The wires of the sandbox, while init waits for its cgroups."""
        if self.sandbox is None:
            return
        if network.get("mode") == "none":
            sandbox.loopback_only(self.sandbox)
            return
        name, table = bridge.names(self.tag)
        info = bridge.ensure(name, table, network["subnet"])
        ip = network["ip"]
        veth = f"veth{os.urandom(4).hex()[:7]}"
        sandbox.connect(
            self.sandbox, info.ifindex, ip, info.prefixlen, info.gateway, ipam.mac_of(ip), veth, hairpin=bool(network.get("ports"))
        )
        if network.get("ports"):
            portmap.publish(table, self._published(network))
            self.published = True

    @staticmethod
    def _published(network: "Document") -> "list[tuple[str, str, int, str, int]]":
        return [(proto, host_ip, host_port, network["ip"], port) for proto, host_ip, host_port, port in network["ports"]]

    @staticmethod
    def _abandon(child: launch.Child, ours: "dict[str, int]") -> None:
        """Nobody says go: init ends by itself when the channel closes."""
        _close(ours.values())
        child.channel.close()
        try:
            os.kill(child.pid, 9)
            os.waitpid(child.pid, 0)
            os.close(child.pidfd)
        except (ProcessLookupError, ChildProcessError, OSError):
            return  # reported by itself and reaped already

    def _write_state(self, child: launch.Child) -> None:
        assert self.cgroup is not None
        state = {
            "pid": child.pid,
            "start": active.start_time(child.pid),
            "started": self.started,
            "shim": os.getpid(),
            "restarts": self.restarts,
            "cgroup": self.cgroup.name,
        }
        active.write_state(self.where, state)

    def _hand_over(self, streams: Streams, child: launch.Child, ours: "dict[str, int]") -> None:
        config = self.message["config"]
        if child.master >= 0:
            streams.open_terminal(child.master, bool(config.get("OpenStdin")))
        else:
            outputs = {1: ours["stdout"], 2: ours["stderr"]}
            streams.open_pipes(outputs, ours.get("stdin", -1), bool(config.get("StdinOnce")))

    def stopped(self, status: Exit) -> None:
        oom = self.cgroup is not None and self.cgroup.oom_killed()
        policy = self.message["host"].get("RestartPolicy") or {}
        again = not status.manual and self.restart_after(status, peek=True) is not None
        remove = bool(self.message["host"].get("AutoRemove")) or status.remove
        record.ended(self.paths, self.message, status, oom, self.restarts, again=again, remove=remove and not again)
        if again:
            state = active.read_state(self.paths, self.id) or {}
            active.write_state(self.where, {**state, "pid": 0, "start": 0, "restarting": True, "policy": policy.get("Name")})

    def restart_after(self, status: Exit, peek: bool = False) -> "float | None":
        """Docker's policies; 100 ms, doubled at each failure up to a minute, forgotten after ten seconds of life."""
        policy = self.message["host"].get("RestartPolicy") or {}
        name, most = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
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
        if self.sandbox is not None:
            self.sandbox.close()
            self.sandbox = None
        if self.cgroup is not None:
            self.cgroup.kill_all()
            self.cgroup.destroy()
            self.cgroup = None
        network = self.message.get("network") or {}
        if final:
            if self.published:
                portmap.unpublish(bridge.names(self.tag)[1], self._published(network))
                self.published = False
            _close(self.reserved)
            self.reserved.clear()
            record.forget(self.paths, self.id, self.home)


def _close(fds: "Any") -> None:
    for fd in fds:
        os.close(fd)


def start(paths: Paths, connection: "_socket.socket", message: "Document", fds: "list[int]") -> None:
    """The life of a shim."""
    prctl.set_name("boxship-shim")
    os.setsid()
    lock = active.Lock(active.directory(paths, message["id"]))
    if not lock.take(active.SHIM):
        connection.send(fastjson.dumps(error_document(Conflict("the container is running already"))).encode())
        return
    log = json_file.make(f"{paths.containers}/{message['id']}/{message['id']}-json.log", message.get("log") or {})
    shim = Shim(lock.directory, Container(paths, message, lock), log)
    shim.run(connection, dict(zip(message.get("streams") or [], fds, strict=False)))


# -- exec ----------------------------------------------------------------------------------------------------------------------
_JOINED = ns.CLONE_NEWNS | ns.CLONE_NEWUTS | ns.CLONE_NEWIPC | ns.CLONE_NEWNET | ns.CLONE_NEWCGROUP


def execute(paths: Paths, connection: "_socket.socket", message: "Document", fds: "list[int]") -> None:
    """The life of an exec helper: join the container, start the process, report its pid and its end."""
    prctl.set_name("boxship-exec")
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
def task(paths: Paths, connection: "_socket.socket", message: "Document", fds: "list[int]") -> None:
    """The life of a build step's supervisor: stdout and stderr are the client's own pipes; ends when the client goes."""
    taskrun.supervise(paths, connection, message, fds)


OPERATIONS = {"start": start, "exec": execute, "task": task}
