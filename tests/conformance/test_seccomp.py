"""The default seccomp filter as the kernel applies it: a child installs it and makes calls."""

import ctypes
import errno
import os
import platform
import signal
import struct

import pytest

from boxship.errors import KernelError
from boxship.linux import caps, seccomp
from boxship.linux.libc import MACHINE, libc
from boxship.linux.prctl import PR_SET_NO_NEW_PRIVS, prctl
from boxship.oci import seccomp_default, seccomp_profile

X86_64 = MACHINE == "x86_64"


def default_filter(capabilities=caps.DEFAULT):
    oci = seccomp_profile.resolve(seccomp_default.profile(), capabilities, MACHINE, platform.release())
    assert oci is not None
    return seccomp.compile(oci, MACHINE)


def under(program, calls, flags=0):
    """errno of each (nr, args) in a child under `program`, 0 when it did not fail; or the signal that ended the child, negative."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            seccomp.install(program, flags)
            for nr, args in calls:
                ctypes.set_errno(0)
                result = libc.syscall(ctypes.c_long(nr), *[ctypes.c_ulong(a) for a in args])
                os.write(write, struct.pack("i", ctypes.get_errno() if result == -1 else 0))
        finally:
            os._exit(0)
    os.close(write)
    data = b""
    while block := os.read(read, 4096):
        data += block
    os.close(read)
    _, status = os.waitpid(pid, 0)
    results = list(struct.unpack(f"{len(data) // 4}i", data))
    return [*results, -os.WTERMSIG(status)] if os.WIFSIGNALED(status) else results


def nr(name):
    return seccomp.numbers(seccomp.NATIVE[MACHINE])[name]


def test_default_profile_in_the_kernel():
    assert under(
        default_filter(),
        [
            (nr("getpid"), ()),
            (nr("unshare"), (0x10000000,)),
            (nr("mount"), (0, 0, 0, 0, 0)),
            (nr("bpf"), (0, 0, 0)),
            (nr("keyctl"), (0,)),
            (nr("clone3"), (0, 0)),
            (nr("socket"), (1, 1, 0)),
            (nr("socket"), (38, 5, 0)),  # AF_ALG
            (nr("socket"), (40, 1, 0)),  # AF_VSOCK
            (nr("personality"), (0xFFFFFFFF,)),
            (nr("personality"), (0x40000,)),
            (nr("chroot"), (0,)),
            (600, ()),
        ],
    ) == [
        0,
        errno.EPERM,
        errno.EPERM,
        errno.EPERM,
        errno.EPERM,
        errno.ENOSYS,
        0,
        errno.EPERM,
        errno.EPERM,
        0,
        errno.EPERM,
        errno.EFAULT,
        errno.ENOSYS,
    ]


def test_a_capability_opens_its_calls():
    calls = [(nr("unshare"), (0x80000000,)), (nr("clone3"), (0, 0))]
    assert under(default_filter(), calls) == [errno.EPERM, errno.ENOSYS]
    assert under(default_filter([*caps.DEFAULT, "CAP_SYS_ADMIN"]), calls) == [errno.EINVAL, errno.EINVAL]


@pytest.mark.skipif(not X86_64, reason="numbers of x86_64")
def test_every_number_is_answered_as_the_interpreter_says():
    """Calls with invalid arguments: the filter's errno where it forbids, anything but the child's death where it allows."""
    from tests.unit.linux import cbpf

    program = default_filter()
    code = cbpf.load(program)
    # these end, stop or block the child whatever their arguments are
    skip = {nr(n) for n in ("exit", "exit_group", "pause", "rt_sigreturn", "fork", "vfork", "clone", "select", "rt_sigsuspend", "restart_syscall",
                            "close", "dup2", "vhangup", "sync", "wait4", "alarm", "close_range", "munmap", "brk", "setsid", "personality")}  # fmt: skip
    skip |= {nr("uretprobe"), nr("uprobe")}  # seccomp lets these through before any filter (Linux 6.14)
    bad = (0xFFFFFFFFFFFFFFFF,) * 6
    wanted = [
        number for number in range(471) if number not in skip and cbpf.run(code, 0xC000003E, number, bad) != seccomp.RET_ALLOW
    ]
    got = under(program, [(number, bad) for number in wanted])
    assert got == [cbpf.run(code, 0xC000003E, number, bad) & 0xFFFF for number in wanted]
    assert len(wanted) > 60


@pytest.mark.skipif(not X86_64, reason="the int 0x80 entry is x86's")
def test_other_actions_in_the_kernel():
    def profile(action, **more):
        return seccomp.compile(
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["dup"], "action": action, **more}]}, MACHINE
        )

    call = [(nr("dup"), (99,))]
    assert under(profile("SCMP_ACT_LOG"), call) == [errno.EBADF]
    assert under(profile("SCMP_ACT_ERRNO", errnoRet=77), call) == [77]
    assert under(profile("SCMP_ACT_TRACE"), call) == [errno.ENOSYS]  # no tracer
    assert under(profile("SCMP_ACT_TRAP"), call) == [-signal.SIGSYS]
    assert under(profile("SCMP_ACT_KILL_PROCESS"), call) == [-signal.SIGSYS]
    assert under(profile("SCMP_ACT_KILL"), call) == [-signal.SIGSYS]
    condition = {"args": [{"index": 0, "value": 0xFFFFFFFF0000000F, "valueTwo": 0x100000002, "op": "SCMP_CMP_MASKED_EQ"}]}
    assert under(
        profile("SCMP_ACT_ERRNO", errnoRet=77, **condition), [(nr("dup"), (v,)) for v in (0x100000072, 0x72, 0x100000073)]
    ) == [77, 9, 9]


def test_a_broken_program_is_refused_by_the_kernel():
    assert pytest.raises(KernelError, seccomp.install, b"\0" * 8).value.errno == errno.EINVAL
