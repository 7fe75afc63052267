"""The container's file system, from inside its new mount namespace. Runs in init, before any of the image's code.

Everything below the root may be hostile: a link where a directory should be, a volume that another container changes while
this one mounts. So every target is reached through `openat2(RESOLVE_IN_ROOT)` from a descriptor of the root, and mounts go to
/proc/self/fd/N, never to a path (CVE-2019-19921, CVE-2021-30465, CVE-2025-31133, CVE-2025-52881: ../security in docs/dev).
"""

import errno
import os
import stat

from boxship.errors import BoxshipError, KernelError
from boxship.linux import mount as m
from boxship.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2
from boxship.runtime.mounts import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_LOCKABLE = m.MS_RDONLY | m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC | m.MS_NOATIME | m.MS_NODIRATIME | m.MS_RELATIME
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
)
_MOST_LINKS = 40  # as the kernel: path_resolution(7)
# files that tell of the machine, which lxcfs and its like put a container's own in place of
_OVER_PROC = tuple(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "sys/crypto/fips_enabled",
                 "sys/kernel/ns_last_pid", "uptime")
)  # fmt: skip
# statvfs(3) flags that a bind remount inside a user namespace may not clear
_ST_FLAGS = ((1, m.MS_RDONLY), (2, m.MS_NOSUID), (4, m.MS_NODEV), (8, m.MS_NOEXEC), (1024, m.MS_NOATIME), (2048, m.MS_NODIRATIME))


class Root:
    """The root under construction: a descriptor and its path."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """A descriptor of `path` with every link resolved inside the root."""
        return openat2(self.fd, path.lstrip("/") or ".", flags, _IN_ROOT)

    def make(self, path: str, directory: bool) -> int:
        """Like open, and makes what is missing: directories 0755, the last part a directory or an empty file."""
        try:
            return self.open(path)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise BoxshipError(f"can't mount over {path}: {os.strerror(error.errno).lower()}") from None
        pending = _parts(path)
        current, walked, links = os.dup(self.fd), "", 0
        while pending:
            part = pending.pop()
            try:
                following = self.open(f"{walked}/{part}")
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                leads = self._create(current, part, directory or bool(pending))
                if leads:
                    links += 1
                    if links > _MOST_LINKS:
                        raise BoxshipError(f"can't mount over {path}: {os.strerror(errno.ELOOP).lower()}") from None
                    if leads.startswith("/"):
                        os.close(current)
                        current, walked = os.dup(self.fd), ""
                    pending += _parts(leads)
                    continue
                # NO_XDEV: what was just made lies on the same file system, or somebody swapped it
                following = openat2(current, part, os.O_PATH | os.O_NOFOLLOW, RESOLVE_NO_XDEV | RESOLVE_IN_ROOT)
            os.close(current)
            current, walked = following, f"{walked}/{part}"
        return current

    @staticmethod
    def _create(parent: int, name: str, directory: bool) -> str:
        """Where a dangling link of that name leads; "" when there is none, and `name` was made."""
        if name == "..":
            return ""
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644, dir_fd=parent))
        except FileExistsError:
            try:
                return os.readlink(name, dir_fd=parent)
            except OSError:
                return ""  # somebody has just made it
        return ""

    def where(self, fd: int) -> str:
        """The path inside the root of a descriptor below it. Reads the host's /proc: before the pivot only."""
        top, path = os.readlink(f"/proc/self/fd/{self.fd}"), os.readlink(f"/proc/self/fd/{fd}")
        if path != top and not path.startswith(f"{top}/"):
            raise BoxshipError("a mount target lies outside of the container's root")
        return path[len(top) :] or "/"


def _parts(path: str) -> "list[str]":
    """The components, last first."""
    return [part for part in reversed(path.split("/")) if part and part != "."]


def prepare(rootfs: str, mounts: "list[dict[str, Any]]", lower_directory: str, propagation: int) -> Root:
    """In a new mount namespace: cut it from the host's, mount the root, open it.

    `mounts` is what the snapshotter says has to be mounted on `rootfs` (overlay), or empty: then it is bind-mounted on itself, for
    pivot_root wants a mount point. `lower_directory` is where relative lowerdir= names count from.
    """
    m.mount(None, "/", None, propagation or (m.MS_REC | m.MS_SLAVE))
    if not mounts:
        # the parent mount must not be shared, or pivot_root refuses
        m.mount(rootfs, rootfs, None, m.MS_BIND | m.MS_REC)
        m.mount(None, rootfs, None, m.MS_PRIVATE)
    if lower_directory:
        os.chdir(lower_directory)
    for one in mounts:
        options = Options(one.get("options", []))
        m.mount(one.get("source", one["type"]), rootfs, one["type"], options.flags, options.data or None)
    return Root(rootfs)


def mount_all(root: Root, spec: "dict[str, Any]", cgroup_mounts: "list[tuple[str, str, str]]") -> None:
    for one in spec.get("mounts", []):
        try:
            if one.get("type") == "cgroup":
                _mount_cgroup(root, one, cgroup_mounts)
            else:
                mount_one(root, one)
        except KernelError as error:
            raise BoxshipError(
                f"error mounting {one.get('source', '')!r} to rootfs at {one['destination']!r}: {os.strerror(error.errno).lower()}"
            ) from None


def mount_one(root: Root, one: "dict[str, Any]") -> None:
    options = Options(one.get("options", []))
    if options.flags & m.MS_BIND or one.get("type") == "bind":
        _bind(root, one, options)
        return
    kind = one["type"]
    target = root.make(one["destination"], directory=True)
    _refuse_hidden(root.where(target), one["destination"], kind)
    m.mount(one.get("source", kind), f"/proc/self/fd/{target}", kind, options.flags, options.data or None)
    os.close(target)
    _propagate(root, one["destination"], options)


def _refuse_hidden(where: str, destination: str, kind: str) -> None:
    """The container's own /proc stays whole and where it is: the masks, and our own writes to it, rely on that.

    CVE-2019-16884, CVE-2019-19921, CVE-2023-27561; the exceptions are runc's (libcontainer/rootfs_linux.go, checkProcMount).
    """
    if kind in ("proc", "sysfs"):
        if where != destination:
            raise BoxshipError(
                f'filesystem "{kind}" must be mounted on ordinary directory: {destination}',
                hint=f"{destination} of the image is a link: make it a directory",
            )
    elif where == "/":
        raise BoxshipError(f"invalid mount {destination}: destination can't be '/'")
    elif where == "/proc" or (where.startswith("/proc/") and where not in _OVER_PROC):
        raise BoxshipError(f'"{destination}" cannot be mounted because it is inside /proc', hint="choose another place for it")


def _bind(root: Root, one: "dict[str, Any]", options: Options) -> None:
    source = one["source"]
    flags = m.OPEN_TREE_CLONE | (m.AT_RECURSIVE if options.flags & m.MS_REC else 0)
    tree = m.open_tree(m.AT_FDCWD, source, flags)
    is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    target = root.make(one["destination"], is_directory)
    where = root.where(target)
    if where != "/proc" or m.fs_type(tree) != m.PROC_SUPER_MAGIC:
        _refuse_hidden(where, one["destination"], "bind")
    m.move_mount(tree, "", target, "", m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH)
    os.close(target)
    _remount_bind(tree, options)
    for flag in options.propagation or [m.MS_PRIVATE | m.MS_REC]:
        m.mount(None, f"/proc/self/fd/{tree}", None, flag)
    if options.set_ or options.clear:
        m.mount_setattr(tree, "", m.AT_EMPTY_PATH | m.AT_RECURSIVE, set_=options.set_, clear=options.clear)
    os.close(tree)


def _remount_bind(tree: int, options: Options) -> None:
    wanted = options.flags & _LOCKABLE
    if not wanted:
        return
    keep = 0
    present = os.statvfs(f"/proc/self/fd/{tree}").f_flag
    for bit, flag in _ST_FLAGS:
        if present & bit:
            keep |= flag
    m.mount(None, f"/proc/self/fd/{tree}", None, m.MS_REMOUNT | m.MS_BIND | wanted | (keep & ~m.MS_RDONLY))


def _propagate(root: Root, destination: str, options: Options) -> None:
    if not options.propagation and not options.set_ and not options.clear:
        return
    target = root.open(destination)
    for flag in options.propagation:
        m.mount(None, f"/proc/self/fd/{target}", None, flag)
    if options.set_ or options.clear:
        m.mount_setattr(target, "", m.AT_EMPTY_PATH | m.AT_RECURSIVE, set_=options.set_, clear=options.clear)
    os.close(target)


def _mount_cgroup(root: Root, one: "dict[str, Any]", hierarchies: "list[tuple[str, str, str]]") -> None:
    """/sys/fs/cgroup as this cgroup namespace sees it: v2 at once, v1 as a tmpfs with one mount per hierarchy.

    `hierarchies` is [("", "cgroup2", "")] or [(directory, "cgroup", options)...].
    """
    options = Options(one.get("options", []))
    if hierarchies and hierarchies[0][1] == "cgroup2":
        target = root.make(one["destination"], directory=True)
        m.mount("cgroup", f"/proc/self/fd/{target}", "cgroup2", options.flags, None)
        os.close(target)
        return
    target = root.make(one["destination"], directory=True)
    fresh = options.flags & ~m.MS_RDONLY
    m.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", fresh, "mode=755")
    os.close(target)
    for name, kind, data in hierarchies:
        inner = root.make(f"{one['destination']}/{name}", directory=True)
        m.mount("cgroup", f"/proc/self/fd/{inner}", kind, options.flags, data or None)
        os.close(inner)
        parts = name.split(",")
        if len(parts) > 1:
            base = root.open(one["destination"], os.O_RDONLY | os.O_DIRECTORY)
            for part in parts:
                os.symlink(name, part, dir_fd=base)
            os.close(base)
    if options.flags & m.MS_RDONLY:
        target = root.open(one["destination"])
        m.mount(None, f"/proc/self/fd/{target}", None, m.MS_REMOUNT | m.MS_BIND | options.flags)
        os.close(target)


def make_devices(root: Root, devices: "list[dict[str, Any]]", console: bool) -> None:
    """The nodes of the spec, the links that every program expects, and an empty /dev/console to bind the terminal on."""
    dev = root.make("/dev", directory=True)
    for device in devices:
        _make_device(root, device)
    base = root.open("/dev", os.O_RDONLY | os.O_DIRECTORY)
    for name, target in _LINKS:
        if name == "core" and not os.path.exists("/proc/kcore"):
            continue
        _link(base, name, target)
    _link(base, "ptmx", "pts/ptmx")
    if console:
        _touch(base, "console")
    os.close(base)
    os.close(dev)


def _link(base: int, name: str, target: str) -> None:
    try:
        os.symlink(target, name, dir_fd=base)
    except FileExistsError:
        pass


def _touch(base: int, name: str) -> None:
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=base))
    except FileExistsError:
        pass


_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def _make_device(root: Root, device: "dict[str, Any]") -> None:
    path: str = device["path"]
    parent_path, _, name = path.rpartition("/")
    parent = root.make(parent_path or "/", directory=True)
    number = os.makedev(device.get("major", 0), device.get("minor", 0))
    old_umask = os.umask(0)
    try:
        os.mknod(name, _TYPES[device["type"]] | device.get("fileMode", 0o666), number, dir_fd=parent)
        os.chown(name, device.get("uid", 0), device.get("gid", 0), dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if found.st_rdev != number:
            raise BoxshipError(f"the image has something else at {path}") from None
    except PermissionError:
        # no CAP_MKNOD in this user namespace: the host's own node, bound
        _touch(parent, name)
        source = device.get("source", path)
        mount_one(root, {"destination": path, "source": source, "type": "bind", "options": ["bind"]})
    finally:
        os.umask(old_umask)
        os.close(parent)


def bind_console(root: Root, slave: int) -> None:
    """The terminal on /dev/console. The target was made by us on our own tmpfs; a link there is refused (CVE-2025-52565)."""
    target = openat2(root.fd, "dev/console", os.O_PATH | os.O_NOFOLLOW, _IN_ROOT)
    m.mount(f"/proc/self/fd/{slave}", f"/proc/self/fd/{target}", None, m.MS_BIND)
    os.close(target)


def pivot(root: Root) -> None:
    """Make the root `/`, and let go of the old one, without a directory for it: pivot_root(2), NOTES on `.` and `.`."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # the path was resolved when the root was mounted; by descriptor it is still the same one
    os.fchdir(root.fd)
    m.pivot_root(".", ".")
    os.fchdir(old)
    m.mount(None, ".", None, m.MS_SLAVE | m.MS_REC)
    m.umount2(".", m.MNT_DETACH)
    os.chdir("/")
    os.close(old)


def mask(paths: "list[str]") -> None:
    """After the pivot: files get /dev/null on top, directories an empty read-only tmpfs.

    /dev/null is checked to be the real one: the image could have put a file there (CVE-2025-31133).
    """
    null = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(null)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        raise BoxshipError("/dev/null of the container is not the null device")
    empty = -1
    for path in paths:
        try:
            target = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        if stat.S_ISDIR(os.fstat(target).st_mode):
            if empty < 0:
                # one tmpfs, cloned for each directory
                m.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", m.MS_RDONLY, "nr_inodes=1,size=0k")
                empty = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            else:
                m.mount(f"/proc/self/fd/{empty}", f"/proc/self/fd/{target}", None, m.MS_BIND)
        else:
            m.mount(f"/proc/self/fd/{null}", f"/proc/self/fd/{target}", None, m.MS_BIND)
        os.close(target)
    if empty >= 0:
        os.close(empty)
    os.close(null)


def make_readonly(paths: "list[str]") -> None:
    for path in paths:
        try:
            tree = m.open_tree(m.AT_FDCWD, path, m.OPEN_TREE_CLONE | m.AT_RECURSIVE | m.AT_SYMLINK_NOFOLLOW)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                continue
            raise
        m.mount_setattr(tree, "", m.AT_EMPTY_PATH | m.AT_RECURSIVE, set_=m.MOUNT_ATTR_RDONLY)
        target = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        m.move_mount(tree, "", target, "", m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH)
        os.close(target)
        os.close(tree)


def remount_root_readonly() -> None:
    flags = m.MS_REMOUNT | m.MS_BIND | m.MS_RDONLY
    present = os.statvfs("/").f_flag
    for bit, flag in _ST_FLAGS:
        if present & bit:
            flags |= flag
    m.mount(None, "/", None, flags)
