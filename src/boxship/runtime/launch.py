"""From a spec to a running init: the parent's half and the child's, and the channel between them.

    parent (shim)                            child (init)
    -------------                            ------------
    unshare(pid), fork ------------------->  new session, signals to default, cgroups (waits 15 ms on v1)
    connect the network meanwhile            join or unshare the other namespaces, mounts, terminal, pivot
                  <----------- "R" [+ terminal's master]
    write the state
                  "G" ------------------->   masks, limits, user, capabilities, seccomp, chdir
                  <----------- end of file   execve: the channel is close-on-exec
                  <----------- {"message"..} or: what went wrong, in words

The channel is a socket pair because the master of a terminal that was made in the container's own devpts crosses it.
"""

import _signal  # type: ignore[import-not-found]  # signal without its enums
import _socket
import fcntl
import os
import stat
import struct
from errno import ENODEV

from boxship.errors import BoxshipError, KernelError
from boxship.linux import ns, prctl, tty
from boxship.linux.mount import PROC_SUPER_MAGIC, fs_type
from boxship.runtime import mounts, process, rootfs
from boxship.runtime.channel import Child, channel_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_SIGKILL = 9
_NO_ACTION = (9, 19, 32, 33)  # SIGKILL and SIGSTOP have none to set; sigaction(3) refuses the others
_UNSHARED_BY_CHILD = ("mount", "uts", "ipc", "network", "cgroup", "time", "user")


class Request:
    """What init needs, all of it made before the fork.

    `spec`: the OCI runtime spec. `rootfs_mounts`: what to mount on its root ([]: the directory itself). `netns`: a descriptor of a
    ready network namespace, -1 when the spec decides. `cgroup_procs`: open cgroup.procs files to write "0" into. `stdio`: three
    descriptors, None with a terminal. `init`: stay as PID 1 and reap.
    """

    __slots__ = (
        "cgroup_mounts",
        "cgroup_procs",
        "init",
        "lower_directory",
        "netns",
        "prepared",
        "rootfs_mounts",
        "size",
        "spec",
        "stdio",
    )

    def __init__(self, spec: "dict[str, Any]", program: "bytes | None") -> None:
        self.spec = spec
        self.prepared = process.Prepared(spec["process"], program)
        self.rootfs_mounts: list[dict[str, Any]] = []
        self.lower_directory = ""
        self.netns = -1
        self.cgroup_procs: list[int] = []
        self.cgroup_mounts: list[tuple[str, str, str]] = []
        self.stdio: tuple[int, int, int] | None = None
        self.size: tuple[int, int] | None = None
        self.init = False


def fork_into_pidns(path_fd: int = -1, new: bool = True) -> int:
    """fork() whose child is in a new pid namespace (or in that of `path_fd`); the caller's later children are not."""
    if path_fd < 0 and not new:
        return os.fork()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if path_fd >= 0:
            ns.setns(path_fd, ns.CLONE_NEWPID)
        else:
            ns.unshare(ns.CLONE_NEWPID)
        pid = os.fork()
        if pid:
            ns.setns(own, ns.CLONE_NEWPID)
        return pid
    finally:
        os.close(own)


def launch(request: Request, for_parent: bool = False) -> Child:
    """Fork init. Returns at once: connect the network, then `await_ready` and `go`.

    `for_parent`: init becomes the child of the caller's parent (CLONE_PARENT), who waits for it; the caller may end.
    """
    namespaces = {one["type"]: one.get("path") for one in request.spec["linux"].get("namespaces", [])}
    ours, theirs = channel_pair()
    pid_path = namespaces.get("pid")
    if for_parent and not pid_path:
        pid = ns.clone(ns.CLONE_PARENT | (ns.CLONE_NEWPID if "pid" in namespaces else 0))
    else:
        path_fd = os.open(pid_path, os.O_RDONLY | os.O_CLOEXEC) if pid_path else -1
        pid = fork_into_pidns(path_fd, "pid" in namespaces)
        if path_fd >= 0:
            os.close(path_fd)
    if pid == 0:
        ours.close()  # or it would never see the end of file when its parent dies
        run_child(theirs, lambda: _init(request, namespaces, theirs))
    theirs.close()
    return Child(pid, ours)


def run_child(channel: "_socket.socket", body: "Any") -> "NoReturn":
    """Run `body` in a forked child: whatever it raises is reported on the channel, and nothing of the parent's runs on."""
    try:
        body()
    except BaseException as error:
        process.report(channel.fileno(), error)
    os._exit(125)


def reset_signals() -> None:
    """As exec'd programs expect them: Python ignores SIGPIPE and SIGXFSZ, nohup SIGHUP, and ignoring is inherited."""
    for number in range(1, 65):
        if number not in _NO_ACTION:
            _signal.signal(number, _signal.SIG_DFL)
    prctl.default_reserved_signals()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def join_cgroups(procs: "list[int]") -> None:
    """In one burst: the grace periods overlap."""
    for fd in procs:
        os.write(fd, b"0")


def _init(request: Request, namespaces: "dict[str, str | None]", channel: "_socket.socket") -> None:
    prctl.prctl(prctl.PR_SET_PDEATHSIG, _SIGKILL)
    prctl.set_title("boxship-init")  # the container reads /proc/1/cmdline: it learns no path of the host
    reset_signals()
    os.setsid()
    process.limit(request.prepared)
    process.score(request.prepared)
    join_cgroups(request.cgroup_procs)
    _enter_namespaces(request, namespaces)
    prctl.join_session_keyring()
    linux = request.spec["linux"]
    root = _mount(request, linux)
    slave = _terminal(request, root, channel)
    rootfs.pivot(root)
    os.close(root.fd)
    _host_name(request.spec, namespaces)
    _stdio(request, slave)
    if channel.recv(1) != b"G":
        os._exit(0)  # the parent gave up
    _sysctls(linux.get("sysctl") or {})
    rootfs.make_readonly(linux.get("readonlyPaths") or [])
    rootfs.mask(linux.get("maskedPaths") or [])
    if request.spec["root"].get("readonly"):
        rootfs.remount_root_readonly()
    close_all_but(channel.fileno())
    if request.init:
        _stay_as_init(request.prepared, channel)
    process.become(request.prepared)


def _enter_namespaces(request: Request, namespaces: "dict[str, str | None]") -> None:
    fresh = 0
    for kind in _UNSHARED_BY_CHILD:
        if kind not in namespaces:
            continue
        flag = ns.BY_OCI_NAME[kind][0]
        path = namespaces[kind]
        if kind == "network" and request.netns >= 0:
            ns.setns(request.netns, ns.CLONE_NEWNET)
        elif path:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            ns.setns(fd, flag)
            os.close(fd)
        else:
            fresh |= flag
    if fresh:
        ns.unshare(fresh)


def _mount(request: Request, linux: "dict[str, Any]") -> rootfs.Root:
    propagation = mounts.Options([linux.get("rootfsPropagation") or "rslave"]).propagation[0]
    path = request.spec["root"]["path"]
    try:
        root = rootfs.prepare(path, request.rootfs_mounts, request.lower_directory, propagation)
    except KernelError as error:
        # mount(2): the kernel does not have that type of file system, or its module is not loaded
        hint = "the kernel needs overlayfs: modprobe overlay" if error.errno == ENODEV else error.hint
        raise BoxshipError(f"can't mount the container's root: {error}", hint=hint) from None
    rootfs.mount_all(root, request.spec, request.cgroup_mounts)
    # runc makes a working directory that the image lacks, and so does Docker
    directory = root.make(request.prepared.cwd, directory=True)
    if not stat.S_ISDIR(os.fstat(directory).st_mode):
        raise BoxshipError(f"Cannot mkdir: {request.prepared.cwd} is not a directory", hint="name a directory for -w or WORKDIR")
    os.close(directory)
    if any(one["destination"] == "/dev" and one.get("type") == "tmpfs" for one in request.spec.get("mounts", [])):
        rootfs.make_devices(root, linux.get("devices") or [], bool(request.spec["process"].get("terminal")))
    return root


def _terminal(request: Request, root: rootfs.Root, channel: "_socket.socket") -> int:
    """With a terminal: made in the container's devpts, bound on /dev/console, its master sent out. Then "ready"."""
    if not request.spec["process"].get("terminal"):
        channel.send(b"R")
        return -1
    ptmx = root.open("/dev/pts/ptmx")
    master = tty.open_master(f"/proc/self/fd/{ptmx}")
    os.close(ptmx)
    if request.size:
        tty.set_size(master, *request.size)
    slave = tty.open_slave(master)
    rootfs.bind_console(root, slave)
    _send_master(channel, master)
    return slave


def _send_master(channel: "_socket.socket", master: int) -> None:
    channel.sendmsg([b"R"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", master))])
    os.close(master)


def exec_stdio(channel: "_socket.socket", stdio: "tuple[int, int, int]", terminal: bool, size: "list[int] | None") -> None:
    """The streams of a process that joined a container: the given ones, or a new terminal of the container's devpts."""
    if not terminal:
        place_stdio(stdio)
        channel.send(b"R")
        return
    ptmx = os.open("/dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(ptmx).st_rdev != os.makedev(5, 2):
        raise BoxshipError("the container's /dev/pts/ptmx is not a terminal multiplexer")
    master = tty.open_master(f"/proc/self/fd/{ptmx}")
    os.close(ptmx)
    if size:
        tty.set_size(master, *size)
    slave = tty.open_slave(master)
    _send_master(channel, master)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    tty.take_controlling(0)
    os.close(slave)


def _stdio(request: Request, slave: int) -> None:
    if slave >= 0:
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        tty.take_controlling(0)
        os.close(slave)
    elif request.stdio:
        place_stdio(request.stdio)


def place_stdio(stdio: "tuple[int, int, int]") -> None:
    # above 2 first: one of them may sit on another's number
    lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in stdio]
    for fd, source in enumerate(lifted):
        os.dup2(source, fd)
        os.close(source)


def _host_name(spec: "dict[str, Any]", namespaces: "dict[str, str | None]") -> None:
    if "uts" in namespaces:
        if spec.get("hostname"):
            ns.sethostname(spec["hostname"].encode())
        if spec.get("domainname"):
            ns.setdomainname(spec["domainname"].encode())


def _sysctls(values: "dict[str, str]") -> None:
    if not values:
        return
    for name, value in values.items():
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # never through a link or a mount that the image or a volume put there (CVE-2025-52881)
                if fs_type(fd) != PROC_SUPER_MAGIC:
                    raise BoxshipError(f"sysctl {name} is not the kernel's file")
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise BoxshipError(f"can't set sysctl {name}: {os.strerror(error.errno or 0).lower()}") from None


def close_all_but(*kept: int) -> None:
    """Nothing of the host's is open when the program's directory is entered (CVE-2024-21626)."""
    first = 3
    for fd in sorted(kept):
        if fd > first:
            prctl.close_range(first, fd - 1)
        first = max(first, fd + 1)
    prctl.close_range(first)


def _stay_as_init(prepared: process.Prepared, channel: "_socket.socket") -> None:
    """`--init`: PID 1 forks the program, hands signals on, reaps orphans, ends as the program does. Returns in the program only."""
    every = set(range(1, 65)) - {9, 11, 19, 32, 33}
    _signal.pthread_sigmask(_signal.SIG_BLOCK, every)
    pid = os.fork()
    if pid == 0:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        os.setpgid(0, 0)
        try:
            _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpgrp())
        except OSError:
            pass  # no terminal
        _signal.signal(_signal.SIGTTOU, _signal.SIG_DFL)
        return
    channel.close()
    process.own_stdio(prepared)
    process.restrict(prepared)
    prctl.prctl(prctl.PR_SET_PDEATHSIG, _SIGKILL)  # cleared by the change of ids
    while True:
        received = _signal.sigwaitinfo(every)
        if received.si_signo != _signal.SIGCHLD:
            try:
                os.kill(pid, received.si_signo)
            except ProcessLookupError:
                pass
            continue
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if ended == 0:
                break
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
