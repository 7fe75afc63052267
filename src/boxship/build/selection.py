"""Which files the sources of a COPY mean: wildcards resolved, links followed, what is missing refused."""

from __future__ import annotations

from boxship.build import wildcards
from boxship.build.record import record
from boxship.errors import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.build import graph
    from boxship.build.tree import Node, Tree


@record
class Selected:
    """One thing to copy: `name` is what it is called in a destination directory; `node` has no link at its end."""

    tree: Tree
    name: str
    node: Node


def select(source: graph.TreeSource, tree: Tree) -> list[Selected]:
    """A wildcard may match nothing; a plain path must be there. Raises BuildFailed in BuildKit's words."""
    try:
        matched = wildcards.matches(tree, source.path)
        paths = [source.path] if matched is None else matched
        return [Selected(tree, path.rpartition("/")[2], _find(tree, path)) for path in paths]
    except OSError as error:
        raise BuildFailed(f"failed to compute cache key: {source.path}: {(error.strerror or str(error)).lower()}") from None


def _find(tree: Tree, path: str) -> Node:
    node = tree.find(path)
    if node is None:
        where = "the stage or image" if tree.keeps_owner else "the build context; does .dockerignore hide it?"
        raise BuildFailed(
            f'failed to compute cache key: failed to calculate checksum: "{path}": not found',
            hint=f"the path counts from the top of {where}",
        )
    return node


