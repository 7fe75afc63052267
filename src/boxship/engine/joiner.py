"""The exec helper: joins a running container, starts a process in it, reports its pid and its end."""

import _socket
import os
import select
import struct

from boxship import fastjson
from boxship.config import Paths
from boxship.engine import stage
from boxship.engine.keeper import set_name
from boxship.errors import BoxshipError, Conflict
from boxship.linux import ns, prctl
from boxship.runtime import active, cgroups, launch, process
from boxship.runtime.channel import Child, channel_pair
from boxship.runtime.shim import error_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_JOINED = ns.CLONE_NEWUTS | ns.CLONE_NEWIPC | ns.CLONE_NEWNET | ns.CLONE_NEWCGROUP
_ENTERED = ns.CLONE_NEWNS | ns.CLONE_NEWPID


def execute(paths: Paths, connection: "_socket.socket", message: "Document", body: bytes, fds: "list[int]") -> None:
    """The life of an exec helper: join the container, start the process, report its pid and its end."""
    set_name("boxship-exec")
    os.setsid()
    try:
        child, master = _exec_child(paths, message, fds)
    except (BoxshipError, OSError) as error:
        if isinstance(error, OSError):
            error = BoxshipError(f"exec failed: {os.strerror(error.errno or 0).lower()}")
        _tell(connection, error_document(error))
        return
    started = {"started": child.pid}
    if master >= 0 and message.get("detach"):
        _tell(connection, started)
        _swallow(master, child.pidfd)
    elif master >= 0:
        _tell(connection, started, [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", master))])
        os.close(master)
    else:
        _tell(connection, started)
    for fd in fds:
        os.close(fd)
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    _tell(connection, {"exit": code if code >= 0 else 128 - code})


def _tell(connection: "_socket.socket", document: "Document", ancillary: "Any" = ()) -> None:
    try:
        connection.sendmsg([fastjson.dumps(document).encode()], ancillary, _socket.MSG_NOSIGNAL)
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


def _exec_child(paths: Paths, message: "Document", fds: "list[int]") -> "tuple[Child, int]":
    container_id = message["id"]
    state = active.read_state(paths, container_id) or {}
    spec = active.read_document(f"{active.directory(paths, container_id)}/config.json")
    pid = int(state.get("pid") or 0)
    pidfd = _pidfd(pid)
    # in this order: what the descriptor names can't be replaced by another process any more
    if spec is None or pidfd < 0 or active.start_time(pid) != state.get("start"):
        raise Conflict(f"container {container_id} is not running")
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
    ours, theirs = channel_pair()
    prctl.set_title("boxship-exec")  # the container sees the child before it becomes the program
    process.score(prepared)  # inherited by the child, which has no /proc of the host's to write it to
    child_pid = _fork_inside(pidfd)
    if child_pid == 0:
        ours.close()
        launch.run_child(theirs, lambda: _join(prepared, pidfd, procs, stdio, theirs, terminal, message.get("size")))
    theirs.close()
    for fd in (null, pidfd, *procs):
        os.close(fd)
    child = Child(child_pid, ours)
    child.await_ready()
    child.go()
    return child, child.master


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return -1


def _fork_inside(pidfd: int) -> int:
    """fork() whose child is in the container's pid namespace, and in its mount namespace from the first instant.

    As soon as the container's processes see the child, those with CAP_SYS_PTRACE may look at its root and its working directory:
    these must be the container's own then. The caller goes back to where it was before it does anything else.
    """
    own = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("mnt", "pid")]
    try:
        ns.setns(pidfd, _ENTERED)
        try:
            child = os.fork()
        except BaseException:
            _return_to(own)
            raise
        if child:
            _return_to(own)
        return child
    finally:
        for fd in own:
            os.close(fd)


def _return_to(own: "list[int]") -> None:
    ns.setns(own[0], ns.CLONE_NEWNS)
    ns.setns(own[1], ns.CLONE_NEWPID)


def _join(
    prepared: process.Prepared, pidfd: int, procs: "list[int]", stdio: "Any", channel: "_socket.socket", terminal: bool, size: "Any"
) -> None:
    prctl.prctl(prctl.PR_SET_PDEATHSIG, 0)
    launch.reset_signals()
    os.setsid()
    process.limit(prepared)
    launch.join_cgroups(procs)
    ns.setns(pidfd, _JOINED)
    # only the channel and the streams are still needed: nothing of the host's stays open where the container could look
    launch.close_all_but(channel.fileno(), *stdio)
    prctl.join_session_keyring()
    launch.exec_stdio(channel, stdio, terminal, size)
    if channel.recv(1) != b"G":
        os._exit(0)
    launch.close_all_but(channel.fileno())
    process.become(prepared, deathsig=False)
