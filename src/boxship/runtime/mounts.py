"""The mount options of the OCI spec as the kernel's flags: a table, as in mount(8) and runtime-spec config.md#mounts."""

from boxship.linux import mount as m

# option -> (clear?, flag)
_FLAGS = {
    "defaults": (False, 0),
    "ro": (False, m.MS_RDONLY),
    "rw": (True, m.MS_RDONLY),
    "suid": (True, m.MS_NOSUID),
    "nosuid": (False, m.MS_NOSUID),
    "dev": (True, m.MS_NODEV),
    "nodev": (False, m.MS_NODEV),
    "exec": (True, m.MS_NOEXEC),
    "noexec": (False, m.MS_NOEXEC),
    "sync": (False, m.MS_SYNCHRONOUS),
    "async": (True, m.MS_SYNCHRONOUS),
    "dirsync": (False, m.MS_DIRSYNC),
    "mand": (False, m.MS_MANDLOCK),
    "nomand": (True, m.MS_MANDLOCK),
    "atime": (True, m.MS_NOATIME),
    "noatime": (False, m.MS_NOATIME),
    "diratime": (True, m.MS_NODIRATIME),
    "nodiratime": (False, m.MS_NODIRATIME),
    "relatime": (False, m.MS_RELATIME),
    "norelatime": (True, m.MS_RELATIME),
    "strictatime": (False, m.MS_STRICTATIME),
    "nostrictatime": (True, m.MS_STRICTATIME),
    "nosymfollow": (False, m.MS_NOSYMFOLLOW),
    "bind": (False, m.MS_BIND),
    "rbind": (False, m.MS_BIND | m.MS_REC),
}

_PROPAGATION = {
    "private": m.MS_PRIVATE,
    "rprivate": m.MS_PRIVATE | m.MS_REC,
    "slave": m.MS_SLAVE,
    "rslave": m.MS_SLAVE | m.MS_REC,
    "shared": m.MS_SHARED,
    "rshared": m.MS_SHARED | m.MS_REC,
    "unbindable": m.MS_UNBINDABLE,
    "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}

# Recursive attributes, by mount_setattr(AT_RECURSIVE).
_RECURSIVE = {
    "rro": (m.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, m.MOUNT_ATTR_RDONLY),
    "rnosuid": (m.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, m.MOUNT_ATTR_NOSUID),
    "rnodev": (m.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, m.MOUNT_ATTR_NODEV),
    "rnoexec": (m.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, m.MOUNT_ATTR_NOEXEC),
}


class Options:
    """`flags` for mount(2), `propagation` flags in order, `set_`/`clear` recursive attributes, `data` the file system's own."""

    __slots__ = ("clear", "data", "flags", "propagation", "set_")

    def __init__(self, options: "list[str]") -> None:
        self.flags = 0
        self.propagation: list[int] = []
        self.set_ = 0
        self.clear = 0
        rest: list[str] = []
        for option in options:
            if option in _FLAGS:
                inverted, flag = _FLAGS[option]
                self.flags = self.flags & ~flag if inverted else self.flags | flag
            elif option in _PROPAGATION:
                self.propagation.append(_PROPAGATION[option])
            elif option in _RECURSIVE:
                set_, clear = _RECURSIVE[option]
                self.set_ = self.set_ & ~clear | set_
                self.clear = self.clear & ~set_ | clear
            elif option:
                rest.append(option)
        self.data = ",".join(rest)
