"""active/ID: who runs, and what must be undone. On the hot path; knows no system call beyond fcntl.

    active/ID/lock        byte 0 is locked by the shim, byte 1 by whoever starts it, byte 2 by whoever cleans up
    active/ID/state.json  pid and start time of init, the cgroup, when it started
    active/ID/sock        where the shim listens

The locks are record locks (fcntl_locking(2)): they die with their process and a fork does not inherit them, so a lock
can't survive its shim in a container's descriptor. Beware of their oldest trap: closing ANY descriptor of the file drops all locks
that this process has on it; so the file is opened once per process and kept.
"""

import errno
import fcntl
import os
import struct

from boxship import fastjson
from boxship.errors import Conflict, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.config import Paths

SHIM = 0
STARTER = 1
CLEANER = 2

# struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
_FLOCK = "hhxxxxqqixxxx"


class Lock:
    """The open lock file of one container. `take` never blocks."""

    __slots__ = ("directory", "fd")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, byte: int) -> bool:
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, byte, 1, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def drop(self, byte: int) -> None:
        fcntl.fcntl(self.fd, fcntl.F_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, 0, byte, 1, 0))

    def holder(self, first: int = SHIM, count: int = 2) -> int:
        """The pid of another process that holds one of the bytes; 0: nobody."""
        return _holder(self.fd, first, count)

    def is_current(self) -> bool:
        """Is it still what its name means? Others may have removed active/ID and made it anew."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(f"{self.directory}/lock"))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        os.close(self.fd)


def _holder(fd: int, first: int, count: int) -> int:
    reply = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, first, count, 0))
    kind, _, _, _, pid = struct.unpack(_FLOCK, reply)
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def directory(paths: "Paths", container_id: str) -> str:
    return f"{paths.active}/{container_id}"


def begin(paths: "Paths", container_id: str) -> Lock:
    """Make active/ID, locked by this process as its starter. It appears under its name with the lock already held.

    Raises Conflict when it exists: the container runs, or its remains have to be cleaned up first.
    """
    temporary = f"{paths.active}/.{container_id[:16]}.{os.urandom(4).hex()}-{os.getpid()}"
    try:
        os.mkdir(temporary, 0o700)
    except FileNotFoundError:
        make_run_directory(paths)
        os.mkdir(temporary, 0o700)
    lock = Lock(temporary)
    lock.take(STARTER)
    final = directory(paths, container_id)
    try:
        os.rename(temporary, final)
    except OSError:
        lock.close()
        os.unlink(f"{temporary}/lock")
        os.rmdir(temporary)
        raise Conflict(f"the container is being started or stopped: {container_id[:12]}") from None
    lock.directory = final
    return lock


def make_run_directory(paths: "Paths") -> None:
    """The run directory, for nobody else: its sockets give full control."""
    try:
        os.makedirs(paths.run, mode=0o700, exist_ok=True)
        os.chmod(paths.run, 0o700)
        os.makedirs(paths.active, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"can't make the run directory: {error.filename}: {(error.strerror or '').lower()}",
            hint="run as root, or set BOXSHIP_RUN to a directory of your own",
        ) from None


def ids(paths: "Paths") -> "list[str]":
    """Every container that has an active directory, running or left over."""
    try:
        return [name for name in os.listdir(paths.active) if not name.startswith(".")]
    except FileNotFoundError:
        return []


def holder(paths: "Paths", container_id: str, first: int = SHIM, count: int = 2) -> int:
    """The pid that holds the container's lock, 0 when nobody does (or there is none). Not for the holder itself."""
    try:
        fd = os.open(f"{paths.active}/{container_id}/lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _holder(fd, first, count)
    finally:
        os.close(fd)


def write_state(where: str, state: "dict[str, Any]") -> None:
    write_document(f"{where}/state.json", state)


def read_state(paths: "Paths", container_id: str) -> "dict[str, Any] | None":
    return read_document(f"{paths.active}/{container_id}/state.json")


def write_document(path: str, document: "dict[str, Any]") -> None:
    """Renamed into place, so that a reader sees all of it or nothing."""
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = fastjson.dumps(document).encode()
        while data:  # a disk that is about to be full takes a part
            data = data[os.write(fd, data) :]
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    os.rename(temporary, path)


def read_document(path: str) -> "dict[str, Any] | None":
    """The document, None when there is none (or it is cut short: its writer was killed before this format renamed)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = b""
        while chunk := os.read(fd, 1 << 20):
            data += chunk
        document: dict[str, Any] = fastjson.loads(data)
        return document
    except ValueError:
        return None
    finally:
        os.close(fd)


def remove(where: str) -> None:
    """active/ID and the files in it. The last thing its owner does.

    It loses its name first, all at once: emptied under its name it would be taken for no container's, and whoever began anew
    in it would lose the lock that it holds.
    """
    folder, _, name = where.rpartition("/")
    nameless = where
    if not name.startswith("."):
        nameless = f"{folder}/.{name[:16]}.{os.urandom(4).hex()}-{os.getpid()}"
        try:
            os.rename(where, nameless)
        except FileNotFoundError:
            return
    try:
        for entry in os.listdir(nameless):
            os.unlink(f"{nameless}/{entry}")
        os.rmdir(nameless)
    except FileNotFoundError:
        return  # another command sweeps the same remains


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot (proc_pid_stat(5), field 22): with the pid it names one process.

    0 when there is no such process.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(fd, 4096)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return int(text[text.rindex(b")") + 2 :].split()[19])
