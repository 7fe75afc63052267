"""WORKDIR: the directory is made when it is missing."""

from __future__ import annotations

from boxship.build import graph, owners
from boxship.build.upper import Upper


def make_directory(op: graph.MakeDirectory, upper: Upper) -> None:
    owner = owners.lookup(op.user, upper.read)
    upper.make_directories(upper.resolve(op.path), 0o755, owner)
    upper.finish()
