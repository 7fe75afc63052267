"""A store, opened: where it lies, its database, its settings. The first argument of every use case. On the hot path."""

import os

from boxship import config
from boxship.errors import Forbidden
from boxship.state import db as database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.config import Paths
    from boxship.state.db import Db


class Store:
    __slots__ = ("_settings", "db", "paths", "tag")

    def __init__(self, paths: "Paths", db: "Db") -> None:
        self.paths = paths
        self.db = db
        self.tag = config.store_tag(paths)
        self._settings: dict[str, Any] | None = None

    @property
    def settings(self) -> "dict[str, Any]":
        if self._settings is None:
            self._settings = config.settings()
        return self._settings


def need_root(what: str) -> None:
    """Containers without root come with a later version: say so before anything is pulled or made. Raises Forbidden."""
    if os.geteuid() != 0:
        raise Forbidden(f"{what} needs root: containers without root are not supported yet", hint="sudo -E, or a root shell")


def open_store(root: "str | None" = None) -> Store:
    """The store at `root`, else BOXSHIP_ROOT, else the system's; made where there is none. Raises Unavailable."""
    paths = config.paths(root)
    return Store(paths, database.connect(paths))
