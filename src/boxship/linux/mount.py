"""mount(2), umount2(2), pivot_root(2) and the file-descriptor mount API (Linux 5.2: fsopen, move_mount, open_tree;
5.12: mount_setattr)."""

import ctypes
import os

from boxship.linux.libc import check, libc, number, syscall

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
AT_FDCWD = -100

PROC_SUPER_MAGIC = 0x9FA0  # linux/magic.h

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

_PIVOT_ROOT = number(155, 41)
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_MOUNT_SETATTR = 442


def _bytes(text: "str | None") -> "bytes | None":
    return None if text is None else os.fsencode(text)


def mount(source: "str | None", target: str, fstype: "str | None", flags: int, data: "str | None" = None) -> None:
    flags_arg = ctypes.c_ulong(flags)
    result = libc.mount(_bytes(source), os.fsencode(target), _bytes(fstype), flags_arg, _bytes(data))
    check(result, f"mount {fstype or ('bind' if flags & MS_BIND else 'flags')}", target)


def umount2(target: str, flags: int = MNT_DETACH) -> None:
    check(libc.umount2(os.fsencode(target), flags), "umount", target)


def pivot_root(new_root: str, put_old: str) -> None:
    check(syscall(_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old)), "pivot_root", new_root)


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """A detached mount (OPEN_TREE_CLONE) or an O_PATH descriptor of `path`."""
    return check(syscall(_OPEN_TREE, dirfd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC), "open_tree", path)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
    result = syscall(_MOVE_MOUNT, from_fd, os.fsencode(from_path), to_fd, os.fsencode(to_path), flags)
    check(result, "move_mount", to_path or from_path)


def fs_type(fd: int) -> int:
    """The magic number of the file system that a descriptor (O_PATH too, since Linux 3.12) lies on: statfs(2), f_type."""
    answer = (ctypes.c_long * 32)()  # struct statfs is shorter, and f_type comes first
    check(libc.fstatfs(fd, answer), "fstatfs")
    return int(answer[0])


def fsopen(fstype: str) -> int:
    return check(syscall(_FSOPEN, os.fsencode(fstype), FSOPEN_CLOEXEC), "fsopen", fstype)


def fsconfig(fd: int, command: int, key: "str | None" = None, value: "str | None" = None, aux: int = 0) -> None:
    result = syscall(_FSCONFIG, fd, command, _bytes(key), _bytes(value), aux)
    check(result, "fsconfig", key)


def fsmount(fd: int, attributes: int = 0) -> int:
    return check(syscall(_FSMOUNT, fd, FSMOUNT_CLOEXEC, attributes), "fsmount")


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount_setattr(
    fd: int, path: str, flags: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, userns_fd: int = 0
) -> None:
    """Change the attributes of a mount, with AT_RECURSIVE of all below it."""
    attr = _MountAttr(set_, clear, propagation, userns_fd)
    result = syscall(_MOUNT_SETATTR, fd, os.fsencode(path), flags, ctypes.byref(attr), ctypes.sizeof(attr))
    check(result, "mount_setattr", path)
