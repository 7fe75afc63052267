"""The directory of a new layer while it is written, and the merged tree it makes with the layers below.

Nothing is mounted: a path is resolved by hand through what is written here and what lies below, and a directory of a
lower layer that gets a new child is repeated here with its owner, mode, time and attributes, as the kernel's overlay
would do on copy-up. Only this process writes here, so names are checked once.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP

from boxship.build.record import record
from boxship.errors import BuildFailed
from boxship.layers.view import MAX_LINKS, View


@record
class Owner:
    uid: int = 0
    gid: int = 0


ROOT = Owner()


class Upper:
    """`directory` exists and is empty; `lowers` are the overlay directories below, top first."""

    def __init__(self, directory: str, lowers: list[str]) -> None:
        self.directory = directory
        self.lowers = lowers
        self._below = View(lowers) if lowers else None
        self._times: dict[str, tuple[int, int]] = {}
        self._made: set[str] = {"/"}
        if self._below is not None:
            self._dress(directory, self._below.lowers[0], os.lstat(self._below.lowers[0]))
        else:
            os.chmod(directory, 0o755)  # noqa: S103 - the root of an image

    def real(self, path: str) -> str:
        return self.directory if path == "/" else self.directory + path

    def lstat(self, path: str) -> os.stat_result | None:
        """What stands at a path whose parents are no links; None when there is nothing."""
        try:
            return os.lstat(self.real(path))
        except (FileNotFoundError, NotADirectoryError):
            return self._lower(path)

    def _lower(self, path: str) -> os.stat_result | None:
        if self._below is None:
            return None
        try:
            found = self._below.find(path, follow_last=False)
        except OSError:
            return None
        return found.info if found is not None else None

    def _readlink(self, path: str) -> str:
        try:
            return os.readlink(self.real(path))
        except (FileNotFoundError, NotADirectoryError):
            assert self._below is not None
            return self._below.readlink(path)

    def resolve(self, path: str) -> str:
        """The path without links, all of them followed inside the root; what does not exist stays as written."""
        stack: list[str] = []
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                if stack:
                    stack.pop()
                continue
            stack.append(name)
            info = self.lstat("/" + "/".join(stack))
            if info is None or not stat.S_ISLNK(info.st_mode):
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP), path)
            target = self._readlink("/" + "/".join(stack))
            stack = [] if target.startswith("/") else stack[:-1]
            pending.extend(part for part in reversed(target.split("/")) if part and part != ".")
        return "/" + "/".join(stack)

    def make_directories(self, path: str, mode: int, owner: Owner) -> None:
        """`mkdir -p` of a resolved path; only what is missing gets `mode` and `owner`."""
        if path in self._made:
            return
        parent = path.rpartition("/")[0] or "/"
        self.make_directories(parent, mode, owner)
        info = self.lstat(path)
        if info is None:
            self._mkdir(path, mode, owner)
        elif stat.S_ISDIR(info.st_mode):
            self.copy_up(path)
        elif stat.S_ISLNK(info.st_mode):
            # a parent that was a link is followed; its target is made where it points
            self.make_directories(self.resolve(path), mode, owner)
        else:
            raise BuildFailed(f"mkdir {path}: not a directory", hint="a file stands where the step needs a directory")

    def _mkdir(self, path: str, mode: int, owner: Owner) -> None:
        real = self.real(path)
        os.mkdir(real, 0o700)
        if owner != ROOT or os.geteuid() == 0:
            os.chown(real, owner.uid, owner.gid)
        os.chmod(real, mode)
        self._made.add(path)

    def copy_up(self, path: str) -> None:
        """Make sure that the existing merged directory `path` is here too, with the attributes it has."""
        if path in self._made:
            return
        self.copy_up(path.rpartition("/")[0] or "/")
        real = self.real(path)
        if not os.path.isdir(real) or os.path.islink(real):
            assert self._below is not None
            found = self._below.find(path, follow_last=False)
            assert found is not None
            os.mkdir(real, 0o700)
            self._dress(real, found.real, found.info)
        self._made.add(path)

    def _dress(self, real: str, source: str, info: os.stat_result) -> None:
        for name in os.listxattr(source, follow_symlinks=False):
            if not name.startswith("trusted.overlay."):
                os.setxattr(real, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(real, info.st_uid, info.st_gid)
        os.chmod(real, stat.S_IMODE(info.st_mode))
        self._times[real] = (info.st_atime_ns, info.st_mtime_ns)

    def keep_time(self, path: str, times: tuple[int, int]) -> None:
        """Give the directory these times once everything is in it."""
        self._times[self.real(path)] = times

    def note_directory(self, path: str) -> None:
        self._made.add(path)

    def forget(self) -> None:
        """Somebody else wrote here (an archive was unpacked): look again at what there is."""
        self._made = {"/"}

    def finish(self) -> None:
        """Writing a child changes its directory's time: put the times back."""
        for real, times in self._times.items():
            try:
                os.utime(real, ns=times, follow_symlinks=False)
            except FileNotFoundError:
                pass  # an archive replaced the directory

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """A small regular file of the merged tree, such as /etc/passwd."""
        resolved = self.resolve(path)
        try:
            fd = os.open(self.real(resolved), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return self._below.read(resolved, limit) if self._below is not None else None
        with os.fdopen(fd, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None

    def merged(self, path: str) -> list[str]:
        """The lower directories that merge at a resolved path, top first."""
        if self._below is None:
            return []
        try:
            found = self._below.find(path, follow_last=False)
        except OSError:
            return []
        return list(found.dirs) if found is not None else []
