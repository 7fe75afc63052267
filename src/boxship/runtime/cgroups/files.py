"""Small operations on cgroup directories that both drivers share."""

import errno
import os
import time

from boxship.errors import Conflict, InvalidArgument, KernelError, Unavailable

_SIGKILL = 9


def read(path: str) -> str:
    """A file's text; "" when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        blocks = []
        while block := os.read(fd, 65536):
            blocks.append(block)
        return b"".join(blocks).decode()
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EOPNOTSUPP):  # the group was removed meanwhile, or the file has nothing to say
            return ""
        raise KernelError("read", error.errno or 0, path) from error
    finally:
        os.close(fd)


def write(path: str, value: str) -> None:
    """Raises InvalidArgument that names the file and the value."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        name = path.rpartition("/")[2]
        if error.errno == errno.ENOENT:
            raise InvalidArgument(f"this kernel has no limit of that kind: {name}", hint="leave the option out") from error
        reason = os.strerror(error.errno or 0).lower()
        raise InvalidArgument(f"the kernel refuses {value} for {name}: {reason}", hint="give another value") from error


def make(directory: str, *, fresh: bool) -> None:
    """mkdir; when `fresh`, an empty leftover is replaced and one that is in use is a Conflict."""
    try:
        os.mkdir(directory, 0o755)
        return
    except FileExistsError:
        if not fresh:
            return
    except OSError as error:
        raise KernelError("mkdir", error.errno or 0, directory) from error
    try:
        remove(directory, 0.2)
        os.mkdir(directory, 0o755)
    except (KernelError, OSError) as error:
        raise Conflict(f"the cgroup is in use: {directory}", hint="see its cgroup.procs") from error


def remove(directory: str, patience: float = 2.0) -> None:
    """rmdir, what is below first; retried for `patience` seconds because a dying process holds its group for a moment."""
    end, pause = 0.0, 0.0005
    while True:
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise KernelError("rmdir", error.errno or 0, directory) from error
            now = time.monotonic()
            end = end or now + patience
            if now > end:
                raise KernelError("rmdir", error.errno or 0, directory, hint="see its cgroup.procs") from error
        for child in children(directory):
            remove(child, patience)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def children(directory: str) -> "list[str]":
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def processes(directory: str) -> "list[int]":
    """In `directory` and below."""
    found = [int(pid) for pid in read(f"{directory}/cgroup.procs").split()]
    for child in children(directory):
        found += processes(child)
    return found


def kill(pids: "list[int]") -> None:
    for pid in pids:
        try:
            os.kill(pid, _SIGKILL)
        except ProcessLookupError:
            pass


def wait_until_empty(directory: str) -> None:
    """Kill and look until nobody is left: a fork may have been under way. Unavailable after 5 s."""
    end, pause = time.monotonic() + 5, 0.0005
    while pids := processes(directory):
        kill(pids)
        if time.monotonic() > end:
            some = " ".join(str(pid) for pid in pids[:10])
            raise Unavailable(f"processes do not end: {some}", hint="they wait for the kernel; see ps -o pid,stat,wchan")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def counter(text: str, key: str) -> int:
    """`key N` in a flat keyed file; 0 when it is absent."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0
