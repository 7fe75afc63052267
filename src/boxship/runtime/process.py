"""The last steps before the program: the same for a container's init and for exec. Runs in the container, imports nothing there.

Everything that needs a module, a file of the host or a decision is done by `prepare`, before the fork. `become` only makes system
calls: an import after the pivot could load a module of the image's (CVE-2019-14271).
"""

import errno
import os
import resource

from boxship import fastjson
from boxship.errors import BoxshipError, ExecFailed, InvalidArgument, KernelError
from boxship.linux import caps, prctl, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_SIGKILL = 9
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Prepared:
    """A process of the OCI spec with every name turned into the kernel's number."""

    __slots__ = (
        "ambient", "argv", "bounding", "cwd", "effective", "env", "gid", "groups", "inheritable", "no_new_privileges",
        "oom_score_adj", "path", "permitted", "rlimits", "seccomp", "uid", "umask",
    )  # fmt: skip

    def __init__(self, process: "dict[str, Any]", program: "bytes | None") -> None:
        self.argv = [os.fsencode(word) for word in process["args"]]
        self.env = {}
        for pair in process.get("env") or []:
            name, _, value = pair.partition("=")
            self.env[os.fsencode(name)] = os.fsencode(value)
        self.path = os.fsdecode(self.env.get(b"PATH", _DEFAULT_PATH.encode()))
        self.cwd = process.get("cwd") or "/"
        user = process.get("user") or {}
        self.uid = int(user.get("uid", 0))
        self.gid = int(user.get("gid", 0))
        self.groups = [int(group) for group in user.get("additionalGids") or []]
        self.umask = int(user.get("umask", 0o022))
        sets = process.get("capabilities") or {}
        self.bounding = caps.mask(sets.get("bounding") or [])
        self.effective = caps.mask(sets.get("effective") or [])
        self.permitted = caps.mask(sets.get("permitted") or [])
        self.inheritable = caps.mask(sets.get("inheritable") or [])
        self.ambient = caps.mask(sets.get("ambient") or [])
        self.rlimits = [_rlimit(one) for one in process.get("rlimits") or []]
        self.no_new_privileges = bool(process.get("noNewPrivileges"))
        self.oom_score_adj = process.get("oomScoreAdj")
        self.seccomp = program


def _rlimit(one: "dict[str, Any]") -> "tuple[str, int, tuple[int, int]]":
    name = one["type"]
    number = getattr(resource, name, None)
    if number is None:
        raise InvalidArgument(f"unknown resource limit: {name}")
    soft, hard = (_limit(one[key]) for key in ("soft", "hard"))
    return name, number, (soft, hard)


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= 0xFFFFFFFFFFFFFFFF else value


def limit(prepared: Prepared) -> None:
    """Resource limits: while no privilege is gone."""
    for name, number, values in prepared.rlimits:
        try:
            resource.setrlimit(number, values)
        except (ValueError, OSError) as error:
            raise BoxshipError(
                f"error setting rlimit {name}: {_words(error)}",
                hint=f"the engine's own hard limit is {resource.getrlimit(number)[1]}; it lacks CAP_SYS_RESOURCE to raise it",
            ) from None


def score(prepared: Prepared) -> None:
    """The OOM score: while the host's /proc is still there and no privilege is gone."""
    if prepared.oom_score_adj is not None:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, str(prepared.oom_score_adj).encode())
        os.close(fd)


def _words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)


def own_stdio(prepared: Prepared) -> None:
    """Give the standard streams to the user, so that /dev/stdout can be opened again; /dev/null stays root's."""
    if prepared.uid == 0:
        return
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        status = os.fstat(fd)
        if status.st_rdev == null or status.st_uid == prepared.uid:
            continue
        try:
            os.fchown(fd, prepared.uid, -1)
        except OSError:
            continue  # a read-only or foreign file system: the stream itself still works


def restrict(prepared: Prepared) -> None:
    """Seccomp, capabilities, ids, in the order that each still permits the next (capabilities(7), seccomp(2))."""
    if prepared.no_new_privileges:
        prctl.prctl(prctl.PR_SET_NO_NEW_PRIVS, 1)
    elif prepared.seccomp is not None:
        # needs CAP_SYS_ADMIN, so before it is dropped
        seccomp.install(prepared.seccomp)
    caps.drop_bounding(prepared.bounding)
    prctl.setgroups(prepared.groups)
    os.setresgid(prepared.gid, prepared.gid, prepared.gid)
    prctl.prctl(prctl.PR_SET_KEEPCAPS, 1)
    os.setresuid(prepared.uid, prepared.uid, prepared.uid)
    prctl.prctl(prctl.PR_SET_KEEPCAPS, 0)
    effective, permitted = prepared.effective, prepared.permitted
    if prepared.uid and not prepared.ambient:
        # what execve(2) would leave to a user who is not root: nothing; never hand it over even for an instant
        effective = permitted = 0
    caps.capset(effective, permitted, prepared.inheritable)
    caps.set_ambient(prepared.ambient)
    if prepared.no_new_privileges and prepared.seccomp is not None:
        seccomp.install(prepared.seccomp)


def enter_directory(prepared: Prepared) -> None:
    try:
        os.chdir(prepared.cwd)
    except OSError as error:
        raise ExecFailed(
            f'unable to start container process: chdir to cwd ("{prepared.cwd}") set in config.json failed: {_words(error)}',
            exit_code=126 if error.errno == errno.EACCES else 127,
        ) from None
    # a directory outside the root shows as (unreachable)/... or fails: CVE-2024-21626
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise ExecFailed("unable to start container process: the working directory is outside of the container")


def execute(prepared: Prepared) -> "NoReturn":
    """execvpe with the container's PATH; raises ExecFailed in Docker's words."""
    name = os.fsdecode(prepared.argv[0])
    candidates = [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in prepared.path.split(":")]
    denied: OSError | None = None
    for candidate in candidates:
        try:
            os.execve(candidate, prepared.argv, prepared.env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                denied = denied or error
    if denied is not None:
        number = denied.errno or 0
        reason = "is a directory" if _is_directory(name) else os.strerror(number).lower()
        raise ExecFailed(f'unable to start container process: exec: "{name}": {reason}', exit_code=126)
    if "/" in name and os.path.exists(name):
        # ENOENT of a file that is there: its #! line or its ELF header names an interpreter that is not
        raise ExecFailed(
            f"unable to start container process: exec {name}: no such file or directory",
            exit_code=127,
            hint="the file is there, the interpreter that it asks for is not: look at its #! line, or its dynamic loader",
        )
    if "/" in name:
        raise ExecFailed(
            f'unable to start container process: exec: "{name}": stat {name}: no such file or directory', exit_code=127
        )
    raise ExecFailed(f'unable to start container process: exec: "{name}": executable file not found in $PATH', exit_code=127)


def _is_directory(path: str) -> bool:
    try:
        return os.stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def become(prepared: Prepared, deathsig: bool = True) -> "NoReturn":
    """All of the above that happens in the container, in order. `deathsig`: the process ends with the one that forked it."""
    own_stdio(prepared)
    os.umask(prepared.umask)
    restrict(prepared)
    if deathsig:
        # cleared by the change of ids (prctl(2)): the container ends with its shim
        prctl.prctl(prctl.PR_SET_PDEATHSIG, _SIGKILL)
    enter_directory(prepared)
    execute(prepared)


def report(fd: int, error: BaseException) -> None:
    """The error as a document on the channel to the parent; see launch.Child."""
    document: dict[str, object] = {"message": str(error), "code": 125}
    if isinstance(error, BoxshipError):
        document["hint"] = error.hint
    if isinstance(error, ExecFailed):
        document["code"] = error.exit_code
        document["exec"] = True
    elif isinstance(error, KernelError):
        document["errno"] = error.errno
    elif isinstance(error, OSError) and error.errno:
        where = f" {error.filename}" if error.filename else ""
        document["message"] = f"{os.strerror(error.errno).lower()}{where}"
        document["errno"] = error.errno
    elif not isinstance(error, BoxshipError):
        document["message"] = f"{type(error).__name__}: {error}"
    try:
        os.write(fd, fastjson.dumps(document).encode())
    except OSError:
        return  # nobody is left to be told
