"""kill -9 at the Nth step of a process: ptrace(2) by hand, for no hook in the product would kill where a user's kill does.

A step is the entry into a system call that changes something others see. The tracer is a process of its own: when it ends, the
kernel detaches everything it traced and lets it run on.
"""

import contextlib
import ctypes
import os
import platform
import signal
import struct
import time
from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long

_SYSCALL, _DETACH, _SEIZE, _INTERRUPT, _GET_SYSCALL_INFO, _GETEVENTMSG = (
    24, 17, 0x4206, 0x4207, 0x420E, 0x4201,
)  # fmt: skip
_O_SYSGOOD, _O_FORK, _O_VFORK, _O_CLONE, _O_EXEC = 1, 2, 4, 8, 16
_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE, _EVENT_EXEC, _EVENT_STOP = 1, 2, 3, 4, 128
_WALL = 0x40000000

# name -> (x86_64, aarch64); None: there is none
_CALLS = {
    "write": (1, 64), "pwrite64": (18, 68), "sendmsg": (46, 211), "sendto": (44, 206), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435), "execve": (59, 221),
    "exit_group": (231, 94), "kill": (62, 129), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "open_tree": (428, 428), "move_mount": (429, 429), "mount_setattr": (442, 442), "setsid": (112, 157), "ftruncate": (77, 46),
    "prctl": (157, 167), "pidfd_send_signal": (424, 424), "wait4": (61, 260), "sendfile": (40, 71), "mknodat": (259, 33),
    "symlinkat": (266, 36), "pipe2": (293, 59), "fcntl": (72, 25), "socketpair": (53, 199), "recvmsg": (47, 212),
}  # fmt: skip
STEPS = frozenset(numbers[0 if platform.machine() == "x86_64" else 1] for numbers in _CALLS.values()) - {None}


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> bool:
    return bool(_libc.ptrace(request, pid, address, data) == 0)


class _Tracer:
    """`roles` maps the pids at the start; a fork of a process of role R has the role heirs[R], or R's own when there is none."""

    def __init__(self, roles: dict[int, str], heirs: dict[str, str], victim: str, nth: int, report: int) -> None:
        self.roles = roles
        self.heirs = heirs
        self.victim = victim
        self.nth = nth
        self.report = report
        self.count = 0
        self.done = False

    def run(self) -> None:
        # without heirs: its threads, and no process that it starts
        options = _O_SYSGOOD | (_O_EXEC | _O_FORK | _O_VFORK | _O_CLONE if self.heirs else _O_CLONE)
        for pid in self.roles:
            if not _ptrace(_SEIZE, pid, 0, options):
                os.write(self.report, b"E")
                os._exit(1)
            _ptrace(_INTERRUPT, pid)
        os.write(self.report, b"R")
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                os._exit(0)
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if event in (_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE):
            message = ctypes.c_ulong()
            _libc.ptrace(_GETEVENTMSG, pid, None, ctypes.addressof(message))
            role = self.roles.get(pid, "")
            self.roles[message.value] = self.heirs.get(role, role)
        elif event == _EVENT_EXEC:
            # what a container runs is not ours
            _ptrace(_DETACH, pid)
            return
        elif event == _EVENT_STOP:
            pass  # our own PTRACE_INTERRUPT, or the stop that it was found in
        elif number == signal.SIGTRAP | 0x80:
            self._at_syscall(pid)
        else:
            _ptrace(_SYSCALL, pid, 0, number)  # a signal on its way
            return
        _ptrace(_SYSCALL, pid)

    def _at_syscall(self, pid: int) -> None:
        if self.done or self.roles.get(pid) != self.victim:
            return
        info = ctypes.create_string_buffer(88)
        _libc.ptrace(_GET_SYSCALL_INFO, pid, 88, ctypes.addressof(info))
        entered, number = info.raw[0] == 1, struct.unpack_from("Q", info.raw, 24)[0]
        if not entered or number not in STEPS:
            return
        self.count += 1
        if self.count == self.nth:
            self.done = True
            os.kill(pid, signal.SIGKILL)
            os.write(self.report, b"K")
        elif self.nth == 0:
            os.write(self.report, b".")


@contextlib.contextmanager
def killing(roles: dict[int, str], heirs: dict[str, str], victim: str, nth: int) -> Iterator["Report"]:
    """While the block runs, the `victim` is killed at its `nth` step; 0: never, but the steps are counted."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            _Tracer(dict(roles), heirs, victim, nth, write).run()
        finally:
            os._exit(1)
    os.close(write)
    report = Report(read)
    try:
        report.wait(b"R")
        yield report
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        report.text += report.rest()
        os.close(read)


class Report:
    """What the tracer says: `killed`, and how many `steps` a run with nth=0 had."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.text = b""

    def rest(self) -> bytes:
        data = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.fd, 65536):
                data += chunk
        return data

    def wait(self, mark: bytes, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while mark not in self.text:
            self.text += self.rest()
            assert b"E" not in self.text, "ptrace(2) is not permitted"
            assert time.monotonic() < deadline, f"the tracer did not say {mark!r}"
            time.sleep(0.001)

    @property
    def killed(self) -> bool:
        return b"K" in self.text

    @property
    def steps(self) -> int:
        return self.text.count(b".")
