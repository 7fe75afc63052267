"""The facts of Docker's default seccomp profile, as a table.

Origin: seccomp/default.json of github.com/moby/profiles at commit cd3bed8061c7 (2026-06-30), Apache License 2.0. Which system
calls a container may make is Docker's decision, taken over unchanged; `profile()` gives the document in Docker's own form.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARCHITECTURES = {
    "X86_64": "X86 X32",
    "AARCH64": "ARM",
    "MIPS64": "MIPS MIPS64N32",
    "MIPS64N32": "MIPS MIPS64",
    "MIPSEL64": "MIPSEL MIPSEL64N32",
    "MIPSEL64N32": "MIPSEL MIPSEL64",
    "S390X": "S390",
    "RISCV64": "",
    "LOONGARCH64": "",
}

_ALWAYS = """
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid
getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area
gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set
io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall
riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid
setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area
set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe
utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
"""

# (system calls, condition on one argument, when the rule applies, errno or None to allow)
_RULES: "tuple[tuple[str, str, str, int | None], ...]" = (
    ("process_vm_readv process_vm_writev ptrace", "", "minKernel=4.8", None),
    ("socket", "0 LT 38", "", None),
    ("socket", "0 EQ 39", "", None),
    ("socket", "0 GT 40", "", None),
    ("personality", "0 EQ 0", "", None),
    ("personality", "0 EQ 8", "", None),
    ("personality", "0 EQ 131072", "", None),
    ("personality", "0 EQ 131080", "", None),
    ("personality", "0 EQ 4294967295", "", None),
    ("sync_file_range2 swapcontext", "", "arches=ppc64le", None),
    ("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", "", "arches=arm,arm64", None),
    ("arch_prctl", "", "arches=amd64,x32", None),
    ("modify_ldt", "", "arches=amd64,x32,x86", None),
    ("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", "", "arches=s390,s390x", None),
    ("riscv_flush_icache", "", "arches=riscv64", None),
    ("open_by_handle_at", "", "caps=CAP_DAC_READ_SEARCH", None),
    (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
        "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount "
        "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog "
        "umount umount2 unshare",
        "", "caps=CAP_SYS_ADMIN", None),
    ("clone", "0 MASKED_EQ 2114060288", "not caps=CAP_SYS_ADMIN; not arches=s390,s390x", None),
    ("clone", "1 MASKED_EQ 2114060288", "arches=s390,s390x; not caps=CAP_SYS_ADMIN", None),
    ("clone3", "", "not caps=CAP_SYS_ADMIN", 38),
    ("reboot", "", "caps=CAP_SYS_BOOT", None),
    ("chroot", "", "caps=CAP_SYS_CHROOT", None),
    ("delete_module init_module finit_module", "", "caps=CAP_SYS_MODULE", None),
    ("acct", "", "caps=CAP_SYS_PACCT", None),
    ("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace", "", "caps=CAP_SYS_PTRACE", None),
    ("iopl ioperm", "", "caps=CAP_SYS_RAWIO", None),
    ("settimeofday stime clock_settime clock_settime64", "", "caps=CAP_SYS_TIME", None),
    ("vhangup", "", "caps=CAP_SYS_TTY_CONFIG", None),
    ("get_mempolicy mbind set_mempolicy set_mempolicy_home_node", "", "caps=CAP_SYS_NICE", None),
    ("syslog", "", "caps=CAP_SYSLOG", None),
    ("bpf", "", "caps=CAP_BPF", None),
    ("perf_event_open", "", "caps=CAP_PERFMON", None),
)


def profile() -> "dict[str, Any]":
    """Docker's default profile: defaultAction, defaultErrnoRet, archMap, syscalls. A new document at each call."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": f"SCMP_ARCH_{arch}", "subArchitectures": [f"SCMP_ARCH_{sub}" for sub in subs.split()] or None}
            for arch, subs in _ARCHITECTURES.items()
        ],
        "syscalls": [{"names": _ALWAYS.split(), "action": "SCMP_ACT_ALLOW"}, *[_rule(*row) for row in _RULES]],
    }


def _rule(names: str, arg: str, when: str, errno: "int | None") -> "dict[str, Any]":
    rule: dict[str, Any] = {"names": names.split(), "action": "SCMP_ACT_ALLOW"}
    if errno is not None:
        rule.update(action="SCMP_ACT_ERRNO", errnoRet=errno)
    if arg:
        index, op, value = arg.split()
        rule["args"] = [{"index": int(index), "value": int(value), "op": f"SCMP_CMP_{op}"}]
    for term in when.split("; ") if when else ():
        key, _, value = term.partition("=")
        side = "excludes" if key.startswith("not ") else "includes"
        key = key.removeprefix("not ")
        rule.setdefault(side, {})[key] = value if key == "minKernel" else value.split(",")
    return rule
