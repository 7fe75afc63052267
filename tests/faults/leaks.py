"""What a store has on the machine when nothing of it runs: it must be nothing."""

import glob
import json
import os
import sqlite3
import time

from tests import stores


def found(store: stores.Store) -> list[str]:
    """Everything that is left, in words."""
    return [*_directories(store), *_cgroups(store), *_processes(store), *_mounts(store), *_links(store), *_leases(store)]


def settle(store: stores.Store, seconds: float = 5) -> list[str]:
    """The same, once what is still ending has ended."""
    deadline = time.monotonic() + seconds
    while (left := found(store)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _directories(store: stores.Store) -> list[str]:
    paths = store.paths
    folders = (paths.containers, paths.active, paths.volumes, paths.tmp)
    return [f"directory {folder}/{name}" for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]


def _cgroups(store: stores.Store) -> list[str]:
    tops = [path for depth in ("*", "*/*") for path in glob.glob(f"/sys/fs/cgroup/{depth}") if store.tag in os.path.basename(path)]
    return [f"cgroup {path}" for top in tops for path in glob.glob(f"{top}/*/") if "pool" not in os.path.basename(path[:-1])]


def _processes(store: stores.Store) -> list[str]:
    """Forks of the fork server: their environment is its own, and names this store's configuration file."""
    mark = f"BOXSHIP_CONFIG={store.env['BOXSHIP_CONFIG']}\0".encode()
    left = []
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/comm", "rb") as comm, open(f"{folder}/environ", "rb") as environ:
                name = comm.read().strip()
                if name.startswith(b"boxship-") and name != b"boxship-fork" and mark in environ.read():
                    left.append(f"process {folder} {name.decode()}")
        except OSError:
            continue
    return left


def _mounts(store: stores.Store) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [f"mount {line.split()[4]}" for line in file if line.split()[4].startswith(store.root)]


def _links(store: stores.Store) -> list[str]:
    from boxship.network import bridge

    ports = glob.glob(f"/sys/class/net/{bridge.names(store.tag)[0]}/brif/*")
    return [f"veth {os.path.basename(port)}" for port in ports]


def _leases(store: stores.Store) -> list[str]:
    db = sqlite3.connect(store.paths.db)
    try:
        return [f"lease {row}" for table in ("endpoints", "ports") for row in db.execute(f"SELECT * FROM {table}")]
    finally:
        db.close()


def counted(store: stores.Store) -> list[str]:
    """What `info` counts as orphaned."""
    counts = json.loads(store.run("info", "--format", "{{json .Orphans}}").stdout)
    return [f"info counts {number} {kind}" for kind, number in counts.items() if number]


def sleeping(seconds: str) -> bool:
    """Does any process of the machine sleep this long?"""
    wanted = f"sleep\0{seconds}\0".encode()
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if file.read() == wanted:
                    return True
        except OSError:
            continue
    return False
