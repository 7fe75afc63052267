"""The cgroups of build steps. Each is named after its supervisor, so that those of killed ones are known and removed."""

import os
import time

from boxship.errors import BoxshipError
from boxship.runtime import active, cgroups

PREFIX = "build-"
_PAUSE = 0.02
_ATTEMPTS = 25


def own_name() -> str:
    """The group of this process's step."""
    pid = os.getpid()
    return f"{PREFIX}{pid}-{active.start_time(pid)}"


def sweep(tag: str) -> int:
    """Remove the groups of dead supervisors, with whoever is inside; how many others there are. `tag`: the store's."""
    living = 0
    try:
        names = cgroups.names(tag)
    except BoxshipError:
        return 0  # no hierarchy is mounted
    for name in names:
        short = name.rpartition("/")[2]
        if not short.startswith(PREFIX):
            continue
        if _alive(short):
            living += 1
            continue
        group = cgroups.find(name)
        try:
            group.kill_all()
            group.destroy()
        except BoxshipError:
            continue  # for the next one
    return living


def sweep_soon(tag: str) -> None:
    """The same for a supervisor that is just ending: its socket is closed before the process is gone."""
    for _ in range(_ATTEMPTS):
        if not sweep(tag):
            return
        time.sleep(_PAUSE)


def _alive(name: str) -> bool:
    pid, _, start = name.removeprefix(PREFIX).partition("-")
    return pid.isdecimal() and start.isdecimal() and active.start_time(int(pid)) == int(start)
