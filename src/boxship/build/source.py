"""Where a build comes from: a folder, a tar on standard input, a URL; its Dockerfile and its .dockerignore.

Nothing is read through a link that leads out of the folder: a Dockerfile or ignore file of an untrusted repository may
be a link to a file of the host, and its lines would come back in an error message.
"""

from __future__ import annotations

import os
import stat

from boxship.build.context import Context, Stamps
from boxship.build.gitforms import is_git, is_url
from boxship.build.record import record
from boxship.errors import BoxshipError, BuildFailed, InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

DEFAULT = "Dockerfile"
_LIMIT = 16 << 20
"""A Dockerfile or an ignore file that is larger is none."""


@record
class Source:
    """`directory` is the context. `text` is the Dockerfile; `patterns` are the rules of the ignore file in force."""

    directory: str
    name: str
    text: bytes
    patterns: list[str]
    local: bool
    """The context is a folder of the user's: stamps of its files are worth remembering."""


def open_source(context: str, dockerfile: str, workplace: str, stdin: BinaryIO | None, check: Callable[[], None]) -> Source:
    """`context` and `dockerfile` as on the command line ("" means the default). Raises BuildFailed, InvalidArgument."""
    if context == "-" and dockerfile == "-":
        raise InvalidArgument("invalid argument: can't use stdin for both build context and dockerfile")
    if is_url(dockerfile) or is_git(dockerfile):
        raise Unsupported(f"a Dockerfile from a URL is not supported yet: {dockerfile}", hint="download it and name the file")
    if context == "-":
        return _stream(_standard_input(stdin), dockerfile, workplace)
    if not os.path.isdir(context):
        if is_url(context):
            from boxship.build.fetch import download

            path = f"{workplace}/download"
            download(context, path, check)
            with open(path, "rb") as file:
                return _stream(file, dockerfile, workplace)
        if is_git(context):
            raise Unsupported(f"a git repository as context is not supported yet: {context}", hint="clone it and name the folder")
        what = "not a directory" if os.path.exists(context) else "not found"
        raise InvalidArgument(f'unable to prepare context: path "{context}" {what}', hint="give the folder of the files, often .")
    return _folder(context, dockerfile, stdin)


def _standard_input(stdin: BinaryIO | None) -> BinaryIO:
    if stdin is None or stdin.isatty():
        raise InvalidArgument("standard input is a terminal, no context", hint="pipe a tar or a Dockerfile into the command")
    return stdin


def _folder(context: str, dockerfile: str, stdin: BinaryIO | None) -> Source:
    directory = os.path.realpath(context)
    if dockerfile == "-":
        return Source(directory, DEFAULT, _standard_input(stdin).read(_LIMIT + 1), _patterns(directory, directory, ""), True)
    path = dockerfile or os.path.join(directory, DEFAULT)
    folder, name = os.path.split(os.path.abspath(path))
    text = _read(folder, name)
    if text is None:
        raise BuildFailed(
            f"failed to read dockerfile: open {dockerfile or name}: no such file or directory",
            hint="name it with -f" if not dockerfile else "the path after -f counts from the current folder",
        )
    return Source(directory, name, text, _patterns(directory, folder, name), True)


def _stream(stream: BinaryIO, dockerfile: str, workplace: str) -> Source:
    """A tar, in any compression we know; any other text is the Dockerfile of a context without files."""
    directory = f"{workplace}/context"
    os.mkdir(directory, 0o700)
    spool = f"{workplace}/stream"
    with open(spool, "xb") as file:
        while chunk := stream.read(1 << 20):
            file.write(chunk)
    from boxship.layers.apply import apply
    from boxship.layers.compression import inflate

    if not _is_tar(spool):
        with open(spool, "rb") as file:
            text = file.read(_LIMIT + 1)
        if not text.strip() or b"\0" in text:
            raise BuildFailed("the context is neither a tar nor a Dockerfile", hint="pipe a tar, or the text of a Dockerfile")
        return Source(directory, DEFAULT, text, [], False)
    with open(spool, "rb") as file:
        apply(inflate(file), directory, (), whiteouts=False)
    os.unlink(spool)
    inner = os.path.normpath("/" + (dockerfile or DEFAULT)).lstrip("/")
    data = _read(directory, inner)
    if data is None:
        raise BuildFailed(
            f"failed to read dockerfile: open {dockerfile or DEFAULT}: no such file or directory",
            hint="the path counts from the top of the tar",
        )
    folder, name = os.path.split(inner)
    return Source(directory, name, data, _patterns(directory, os.path.join(directory, folder), name), False)


def _is_tar(path: str) -> bool:
    from boxship.layers import tar
    from boxship.layers.compression import inflate

    with open(path, "rb") as file:
        try:
            return tar.Reader(inflate(file)).next() is not None
        except (BoxshipError, EOFError, ValueError):
            return False


def _patterns(directory: str, folder: str, name: str) -> list[str]:
    own, common = f"{name}.dockerignore", ".dockerignore"
    text = (_read(folder, own) if name else None) or _read(directory, common)
    if not text:
        return []
    from boxship.build import ignore

    return ignore.read(text.decode("utf-8", "replace"))


def _read(folder: str, name: str) -> bytes | None:
    """A file below `folder`, links followed inside it; None when there is none. Raises BuildFailed for what is no file."""
    try:
        context = Context(folder, [], Stamps({}, lambda: 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        node = context.find("/" + name)
        if node is None:
            return None
        if not stat.S_ISREG(node.info.st_mode):
            raise BuildFailed(f"failed to read dockerfile: read {name}: is a directory", hint="name a file with -f")
        with os.fdopen(context.open(node), "rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise BuildFailed(f"failed to read {name}: {(error.strerror or str(error)).lower()}") from None
    finally:
        context.close()
    if len(data) > _LIMIT:
        raise BuildFailed(f"{name} is larger than {_LIMIT >> 20} MiB", hint="is this the right file?")
    return data
