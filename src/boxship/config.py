"""Where things lie, and what boxship.toml says.

    root   /var/lib/boxship       BOXSHIP_ROOT   the store: images, layers, containers, volumes, the database
    run    /run/boxship/HASH      BOXSHIP_RUN    sockets, locks and run-time state; gone after a reboot

boxship.toml (/etc/boxship/boxship.toml, or BOXSHIP_CONFIG), every key optional:

    [registry."docker.io"]
    mirrors = ["http://127.0.0.1:5000"]     # asked in this order, then the registry itself
    [registry."registry.lan:5000"]
    insecure = true                         # plain HTTP; 127.0.0.0/8 needs no entry
    [network]
    subnet = "172.30.0.0/16"                # of the default bridge; otherwise the first of Docker's pools that is free
    [log]
    max-size = "10m"
    max-file = 5
"""

import os

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Paths:
    """Every directory and file of one store. Pure: makes nothing."""

    __slots__ = ("root", "run")

    def __init__(self, root: str, run: str) -> None:
        self.root = root
        self.run = run

    @property
    def db(self) -> str:
        return f"{self.root}/boxship.db"

    @property
    def content(self) -> str:
        """Blobs by digest: manifests, configs and layers as they came."""
        return f"{self.root}/content"

    @property
    def layers(self) -> str:
        """Unpacked layers: layers/SHORT/ is an overlay lower directory. SHORT is short because mount options are."""
        return f"{self.root}/layers"

    @property
    def containers(self) -> str:
        return f"{self.root}/containers"

    @property
    def volumes(self) -> str:
        return f"{self.root}/volumes"

    @property
    def tmp(self) -> str:
        """Half-done work; anything here that no live process has locked may be removed."""
        return f"{self.root}/tmp"

    @property
    def active(self) -> str:
        """active/ID/ exists from before a container's first side effect until all of them are undone."""
        return f"{self.run}/active"

    @property
    def fork_socket(self) -> str:
        return f"{self.run}/fork.sock"


def _short_hash(text: str) -> str:
    # FNV-1a: a name, not a secret; hashlib would cost the run path 2 ms
    value = 0xCBF29CE484222325
    for byte in os.fsencode(text):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"[:8]


def paths(root: str | None = None) -> Paths:
    """The store named by `root`, else BOXSHIP_ROOT, else the system's. Raises InvalidArgument for a relative path."""
    chosen = root or os.environ.get("BOXSHIP_ROOT") or "/var/lib/boxship"
    if not chosen.startswith("/"):
        raise InvalidArgument(f"the store's path must be absolute: {chosen}", hint="give BOXSHIP_ROOT an absolute path")
    chosen = os.path.normpath(chosen)
    run = os.environ.get("BOXSHIP_RUN") if not root else None
    return Paths(chosen, run or f"/run/boxship/{_short_hash(chosen)}")


def store_tag(where: Paths) -> str:
    """What names this store's bridge, nft table and cgroups: '' for the default store, else 8 hex digits."""
    return "" if where.root == "/var/lib/boxship" else _short_hash(where.root)


def settings() -> "dict[str, Any]":
    """boxship.toml as nested dicts; {} when there is none. Raises InvalidArgument with the file's name and line."""
    name = os.environ.get("BOXSHIP_CONFIG") or "/etc/boxship/boxship.toml"
    try:
        file = open(name, "rb")
    except FileNotFoundError:
        if os.environ.get("BOXSHIP_CONFIG"):
            raise InvalidArgument(f"no such configuration file: {name}", hint="BOXSHIP_CONFIG names it") from None
        return {}
    import tomllib

    with file:
        try:
            return tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise InvalidArgument(f"{name}: {error}") from None
