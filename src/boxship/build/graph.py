"""What a plan consists of: operations, the vertices that carry them, and the image they end in. Pure values.

A vertex makes one file system out of at most one parent and any number of inputs. Everything that decides its result
stands in its operation: the solver needs no Dockerfile.
"""

from __future__ import annotations

from boxship.build.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EMPTY = -1
"""As the vertex of a TreeSource: a stage without a single layer."""


@record
class BaseImage:
    """An image that is in the store. `reference` is canonical text, `config` the image config document."""

    reference: str
    id: str
    config: Mapping[str, Any]
    chain_ids: tuple[str, ...]
    """Base first."""


@record
class FromImage:
    image: BaseImage


@record
class Script:
    """A here-document that starts with `#!`: a program of its own, seen at /dev/pipes/NAME during the step."""

    name: str
    data: str


@record
class RunProcess:
    argv: tuple[str, ...]
    env: tuple[str, ...]
    """NAME=VALUE, in the order of ENV and ARG."""
    cwd: str
    user: str
    script: Script | None = None
    proxies: tuple[str, ...] = ()
    """NAME=VALUE given with --build-arg under predefined names: seen by the process, never in the cache key."""
    hostname: str = ""
    """From the build argument BUILDKIT_SANDBOX_HOSTNAME."""


@record
class MakeDirectory:
    """WORKDIR: missing directories of `path` are made with mode 0755, owned by `user`."""

    path: str
    user: str


@record
class TreeSource:
    """A path, possibly with wildcards, in the build context (`vertex` None) or in another vertex's file system."""

    path: str
    vertex: int | None = None


@record
class UrlSource:
    url: str
    filename: str


@record
class InlineSource:
    """A here-document of COPY or ADD."""

    name: str
    data: str


Source = TreeSource | UrlSource | InlineSource


@record
class CopyFiles:
    """COPY and ADD. `dest` is absolute; a trailing slash or `/.` says that it is a directory."""

    sources: tuple[Source, ...]
    dest: str
    chown: str = ""
    chmod: int | None = None
    unpack: bool = False
    """ADD: local archives are unpacked."""


Op = FromImage | RunProcess | MakeDirectory | CopyFiles


@record
class Vertex:
    """One step. `parent` and `inputs` are indexes of earlier vertices; a parent of None is an empty file system."""

    index: int
    op: Op
    parent: int | None
    inputs: tuple[int, ...]
    name: str
    """As progress shows it: "[build 2/4] RUN make"."""
    line: int
    end_line: int
    stage: str
    no_cache: bool = False

    @property
    def needs(self) -> tuple[int, ...]:
        return self.inputs if self.parent is None else (self.parent, *self.inputs)


@record
class HistoryStep:
    """One entry of the new image's history. `vertex` is None when the step made no layer."""

    created_by: str
    vertex: int | None = None


@record
class Plan:
    """`vertices` are in an order in which they can be done; only what the target needs is there."""

    vertices: tuple[Vertex, ...]
    target: int | None
    """The vertex whose file system becomes the image; None: it has no layers."""
    base: BaseImage | None
    config: Mapping[str, Any]
    """The `config` part of the image config document."""
    author: str
    history: tuple[HistoryStep, ...]
    architecture: str
    os: str
    variant: str = ""
    warnings: tuple[str, ...] = ()


@record
class Missing:
    """The plan can't be made before these images are here: (name as written, line)."""

    images: tuple[tuple[str, int], ...]
