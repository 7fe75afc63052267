"""What an image has at a volume's place goes into the volume when that is new (Docker's copy-up).

Reading goes through a View, which resolves every link inside the image's root; writing stays below a descriptor of the volume's
directory and never follows a link, because another container may already be writing there. Standard library only.
"""

import errno
import os
import stat

from boxship.errors import BoxshipError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.layers.view import Found, View

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 24


def copy_up(tree: "View", path: str, into: str) -> bool:
    """Copy the directory `path` of the image to the empty directory `into`: owners, modes, times, extended attributes, links.

    False, and nothing done, when the volume holds something already, or when the image has no directory there. A path with `..` is
    no place in an image (CVE-2022-23648). BoxshipError when the copy can't be made (no space); the volume is then partly filled.
    """
    if ".." in path.split("/") or os.listdir(into):
        return False
    try:
        found = tree.find(path)
    except OSError:
        return False
    if found is None or not stat.S_ISDIR(found.info.st_mode):
        return False
    root = os.open(into, _DIRECTORY)
    try:
        _Copy(tree, root).fill(found, root, "")
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise BoxshipError(f"can't copy the image's {path} into the volume: {reason}", hint="see df for the space left") from error
    finally:
        os.close(root)
    return True


class _Copy:
    """One copy: `root` is the volume, `links` where the first name of an inode with several names went, from the root."""

    __slots__ = ("links", "root", "tree")

    def __init__(self, tree: "View", root: int) -> None:
        self.tree = tree
        self.root = root
        self.links: dict[tuple[int, int], str] = {}

    def fill(self, directory: "Found", target: int, below: str) -> None:
        """The children first: a directory's time and mode are set when nothing more is written to it."""
        for child in self.tree.children(directory):
            name = child.path.rpartition("/")[2]
            mode = child.info.st_mode
            if stat.S_ISDIR(mode):
                os.mkdir(name, 0o700, dir_fd=target)
                inner = os.open(name, _DIRECTORY, dir_fd=target)
                try:
                    self.fill(child, inner, f"{below}{name}/")
                finally:
                    os.close(inner)
            elif stat.S_ISREG(mode):
                self._regular(child, target, name, f"{below}{name}")
            elif not stat.S_ISSOCK(mode):  # a socket has no meaning without its process
                _special(child, target, name)
        _attributes(directory, target)

    def _regular(self, source: "Found", target: int, name: str, path: str) -> None:
        if source.info.st_nlink > 1:
            first = self.links.setdefault((source.info.st_dev, source.info.st_ino), path)
            if first != path:
                self._link(first, target, name)
                return
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            _content(source.real, fd)
            _attributes(source, fd)
        finally:
            os.close(fd)

    def _link(self, first: str, target: int, name: str) -> None:
        """A hard link to what was copied to `first`, step by step from the root: `..` of a moved directory leads anywhere."""
        parts = first.split("/")
        where = os.dup(self.root)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _DIRECTORY, dir_fd=where)
                os.close(where)
                where = inner
            os.link(parts[-1], name, src_dir_fd=where, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(where)


def _special(source: "Found", target: int, name: str) -> None:
    """A symbolic link, device or pipe."""
    info = source.info
    if stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(source.real), name, dir_fd=target)
    else:
        os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
    os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
        try:
            os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(info.st_mode))
        finally:
            os.close(fd)


def _content(path: str, target: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            try:
                count = os.copy_file_range(fd, target, _CHUNK)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                count = os.sendfile(target, fd, None, _CHUNK)
            if not count:
                return
    finally:
        os.close(fd)


def _attributes(source: "Found", target: int) -> None:
    info = source.info
    os.fchown(target, info.st_uid, info.st_gid)
    for name in os.listxattr(source.real, follow_symlinks=False):
        if not name.startswith("trusted.overlay."):
            try:
                os.setxattr(target, name, os.getxattr(source.real, name, follow_symlinks=False))
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
    os.fchmod(target, stat.S_IMODE(info.st_mode))  # after chown, which takes the set-user-id bit away
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
