"""Mount points that an image lacks: empty files and directories in a layer of their own, on top of the image's.

Without it /etc/hosts and /proc would be made in the upper directory: a build would ship them, and /etc copied up.
With it nothing has to be cleaned up afterwards in a directory that hostile code could write to (CVE-2024-9407).
"""

import os
import stat

from boxship.layers.view import View

_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_DIRECTORIES = ("/proc", "/sys", "/dev")


def make(view: View, directory: str) -> bool:
    """Make `directory` with what the tree lacks; False (and no directory) when it lacks nothing."""
    needed = []
    for path, is_file in [*((path, True) for path in _FILES), *((path, False) for path in _DIRECTORIES)]:
        try:
            real, merged = view.resolve(path)
        except OSError:
            continue  # /etc is a file or a loop of links: the mount itself will say so
        if real is None:
            needed.append((merged, is_file))
    if not needed:
        return False
    os.makedirs(directory, mode=0o755, exist_ok=True)
    _like(view, "/", directory)
    for path, is_file in needed:
        _place(view, directory, path, is_file)
    return True


def _place(view: View, directory: str, path: str, is_file: bool) -> None:
    *parents, name = path.strip("/").split("/")
    here, walked = directory, ""
    for part in parents:
        here, walked = f"{here}/{part}", f"{walked}/{part}"
        if not os.path.isdir(here):
            os.mkdir(here, 0o755)
            _like(view, walked, here)
    if is_file:
        os.close(os.open(f"{here}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    else:
        os.makedirs(f"{here}/{name}", mode=0o755, exist_ok=True)


def _like(view: View, path: str, made: str) -> None:
    """The merged tree shows the attributes of the topmost directory: keep the image's."""
    found = view.find(path) if view.lowers else None
    if found is not None:
        os.chown(made, found.info.st_uid, found.info.st_gid)
        os.chmod(made, stat.S_IMODE(found.info.st_mode))
        os.utime(made, ns=(found.info.st_atime_ns, found.info.st_mtime_ns))
