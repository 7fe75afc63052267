"""Opening the database, and the one way to change it. On the hot path.

`_sqlite3` is the C half of sqlite3; the Python half imports datetime, collections and more (4 ms of every command) for
adapters that are not used here. WAL with synchronous=NORMAL: no fsync on commit, and a kill -9 loses nothing that was
committed (sqlite.org/wal.html). Commands leave by os._exit without closing: the last close would checkpoint.
"""

import os
import sys
import time

from boxship.errors import Conflict, Unavailable


def _import_sqlite() -> "Any":
    """`_sqlite3` without functools, of which it wants lru_cache and nothing else: that and its collections cost 4 ms a command."""
    if "functools" in sys.modules:
        return __import__("_sqlite3")
    from _functools import _lru_cache_wrapper  # type: ignore[import-not-found]

    stand_in = type(sys)("functools")
    stand_in.lru_cache = lambda size: lambda function: _lru_cache_wrapper(function, size, False, tuple)  # type: ignore[attr-defined]
    sys.modules["functools"] = stand_in
    try:
        return __import__("_sqlite3")
    finally:
        del sys.modules["functools"]


try:
    sqlite: "Any" = _import_sqlite()
except ImportError:  # pragma: no cover - an interpreter with another layout
    import sqlite3 as sqlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import Any

    from boxship.config import Paths

    Db = sqlite3.Connection

# The order matters: a later file may refer to an earlier one.
_SCHEMAS = ("core", "buildcache")
_VERSION = 1

IntegrityError: "type[sqlite3.IntegrityError]" = sqlite.IntegrityError
OperationalError: "type[sqlite3.OperationalError]" = sqlite.OperationalError


def connect(paths: "Paths") -> "Db":
    """The store's database; makes the store where there is none. Never carry the connection across a fork.

    Raises Unavailable when the directory can't be written, or belongs to a newer Boxship.
    """
    try:
        db = _open(paths.db)
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except OperationalError:
        _make_directories(paths)
        try:
            db = _open(paths.db)
            version = db.execute("PRAGMA user_version").fetchone()[0]
        except OperationalError as error:
            raise in_words(error) from None
    if version == 0:
        _make_directories(paths)
        try:
            _create(db, paths.db)
        except OperationalError as error:
            raise in_words(error) from None
    elif version != _VERSION:
        raise Unavailable(f"the store was made by another version of Boxship: {paths.root}", hint="give BOXSHIP_ROOT another path")
    return db


def _open(path: str) -> "Db":
    db: Db = sqlite.connect(path, timeout=30.0, isolation_level=None, cached_statements=64)
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA wal_autocheckpoint=256")
    return db


def _make_directories(paths: "Paths") -> None:
    try:
        # nobody else enters (CVE-2021-41091): what containers need of it is mounted for them
        modes = {paths.root: 0o710, paths.content: 0o700}
        for path in (paths.root, paths.content, paths.layers, paths.containers, paths.volumes, paths.tmp):
            os.makedirs(path, mode=0o710, exist_ok=True)
            os.chmod(path, modes.get(path, 0o711))
    except OSError as error:
        raise Unavailable(
            f"can't make the store: {error.filename}: {(error.strerror or '').lower()}",
            hint="run as root, or set BOXSHIP_ROOT to a directory of your own",
        ) from None


def _create(db: "Db", path: str) -> None:
    # it holds the environment of every container: for nobody else (the WAL takes the mode over)
    os.chmod(path, 0o600)
    db.execute("PRAGMA journal_mode=WAL")
    here = os.path.dirname(__file__)
    db.execute("BEGIN EXCLUSIVE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for name in _SCHEMAS:
                with open(f"{here}/schema/{name}.sql", encoding="utf-8") as file:
                    for statement in _statements(file.read()):
                        db.execute(statement)
            db.execute(f"PRAGMA user_version={_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(text: str) -> "Iterable[str]":
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite.complete_statement(statement):
            yield statement
            statement = ""


class transaction:
    """`with transaction(db):` one write transaction; takes the write lock at once, so that nothing read inside can change."""

    __slots__ = ("db",)

    def __init__(self, db: "Db") -> None:
        self.db = db

    def __enter__(self) -> "Db":
        try:
            self.db.execute("BEGIN IMMEDIATE")
        except OperationalError as error:
            raise in_words(error) from None
        return self.db

    def __exit__(self, kind: object, error: "BaseException | None", trace: object) -> None:
        if error is None:
            try:
                self.db.execute("COMMIT")
            except OperationalError as failed:
                if self.db.in_transaction:  # a full disk makes SQLite roll back by itself
                    self.db.execute("ROLLBACK")
                raise in_words(failed) from None
            return
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")
        if isinstance(error, OperationalError):
            raise in_words(error) from None
        if isinstance(error, IntegrityError):
            raise Conflict(f"the store refuses: {error}") from None


def in_words(error: "sqlite3.OperationalError") -> Unavailable:
    text = str(error)
    if "full" in text:
        return Unavailable("no space left on the store's disk", hint="free some, or give BOXSHIP_ROOT another disk")
    if "readonly" in text or "unable to open" in text:
        return Unavailable("the store can't be written", hint="run as root, or set BOXSHIP_ROOT to a directory of your own")
    if "disk I/O" in text:
        # what SQLite says when it can't make its files grow, too
        return Unavailable(f"the store's database: {text}", hint="is there space left on its disk? see df, and the kernel's log")
    return Unavailable(f"the store's database: {text}")


def now() -> int:
    return time.time_ns()


def one(db: "Db", sql: str, *values: "Any") -> "tuple[Any, ...] | None":
    row: tuple[Any, ...] | None = db.execute(sql, values).fetchone()
    return row
