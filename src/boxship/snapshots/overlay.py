"""Active snapshots: a directory with upper/ and work/ over committed layers, to be mounted as one overlay.

    layers/SHORT/           committed, never changed again, the lower directories
    DIRECTORY/upper,work    active: what a container or a build step writes (DIRECTORY lies on the same file system)

prepare -> (mount, write, unmount) -> commit or remove. A commit is one rename: a kill before it leaves an active snapshot
to remove, a kill after it a directory in layers/ that no row names, which the sweep removes.

The kernel takes one page of mount options, so lower directories are named relative to layers/, and whoever mounts
stands there (chdir). On the run path.
"""

import os
import stat
from errno import ENOTSUP

from boxship.errors import InvalidArgument
from boxship.layers.remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.config import Paths

MAX_LOWERS = 127
_PAGE = 4096
# off, whatever the kernel's build says: each of them would make an upper directory that no other mount may read as a layer
_FIXED = "index=off,redirect_dir=off,metacopy=off"
EMPTY = "empty"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def short_name() -> str:
    """A new name below layers/: 12 characters, so that 127 of them fit into the mount options."""
    return "".join(_ALPHABET[byte & 31] for byte in os.urandom(12))


def empty_lower(paths: "Paths") -> str:
    """The name of a layer with nothing in it: what FROM scratch stands on."""
    try:
        os.mkdir(f"{paths.layers}/{EMPTY}", 0o755)
    except FileExistsError:
        pass
    return EMPTY


def options(paths: "Paths", directory: str, lowers: "list[str] | tuple[str, ...]") -> str:
    """The data argument of mount(2) for an active snapshot; the current directory must be paths.layers.

    `lowers`: names below layers/, top first. Raises InvalidArgument when there are too many for the kernel's page.
    """
    if len(lowers) > MAX_LOWERS:
        raise InvalidArgument(f"max depth exceeded: an image has at most {MAX_LOWERS} layers, this one {len(lowers)}")
    names = list(lowers) or [empty_lower(paths)]
    where = os.path.relpath(directory, paths.layers)
    text = f"lowerdir={':'.join(names)},upperdir={_escaped(where)}/upper,workdir={_escaped(where)}/work,{_FIXED}"
    if len(os.fsencode(text)) >= _PAGE:
        raise InvalidArgument(f"the overlay's mount options do not fit into a page: {len(text)} bytes", hint="use fewer layers")
    return text


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,")


def mounts(paths: "Paths", directory: str, lowers: "list[str] | tuple[str, ...]") -> "list[dict[str, Any]]":
    """What the runtime has to mount on the root directory, as in an OCI spec; names count from paths.layers."""
    return [{"type": "overlay", "source": "overlay", "options": [options(paths, directory, lowers)]}]


def mount(paths: "Paths", directory: str, lowers: "list[str] | tuple[str, ...]", target: str) -> None:
    """Mount the snapshot at `target` in this process's mount namespace; leaves the current directory in layers/.

    Raises KernelError. For a process that has one thread and a mount namespace of its own.
    """
    from boxship.linux import mount as kernel

    data = options(paths, directory, lowers)
    os.chdir(paths.layers)
    kernel.mount("overlay", target, "overlay", 0, data)


def prepare(paths: "Paths", directory: str, lowers: "list[str] | tuple[str, ...]") -> str:
    """Make upper/ and work/ in `directory` (made when absent); returns the path of upper.

    The root of a merged tree shows the attributes of upper, so these are taken from the topmost layer.
    """
    upper = f"{directory}/upper"
    os.makedirs(directory, 0o711, exist_ok=True)
    os.mkdir(upper, 0o700)
    os.mkdir(f"{directory}/work", 0o700)
    if lowers:
        _like(f"{paths.layers}/{lowers[0]}", upper)
    else:
        os.chmod(upper, 0o755)  # noqa: S103 - the root directory of a container
    return upper


def _like(source: str, target: str) -> None:
    info = os.stat(source)
    if os.geteuid() == 0:
        os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, stat.S_IMODE(info.st_mode))
    try:
        for name in os.listxattr(source):
            if not name.startswith("trusted.overlay."):
                os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        if error.errno != ENOTSUP:
            raise
    os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns))


def commit(paths: "Paths", directory: str, name: str | None = None) -> str:
    """Make upper a layer of its own (it must not be mounted any more); returns its name below layers/."""
    short = name or short_name()
    os.rename(f"{directory}/upper", f"{paths.layers}/{short}")
    remove(directory)
    return short


def remove(directory: str) -> None:
    """Remove an active snapshot, at any stage of its making. It must not be mounted."""
    remove_tree(directory)


def remove_layer(paths: "Paths", name: str) -> None:
    """Remove a layer's directory; no error when it is not there. Out of the way first, so that a kill leaves no half layer."""
    trash = f"{paths.tmp}/rm-{short_name()}"
    try:
        os.rename(f"{paths.layers}/{name}", trash)
    except FileNotFoundError:
        return
    remove_tree(trash)
