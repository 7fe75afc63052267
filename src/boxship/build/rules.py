"""The rules of single values: paths of WORKDIR and COPY, modes, signals, URLs. Pure."""

from __future__ import annotations

import posixpath
import re

from boxship.build import gitref, graph
from boxship.build.dockerfile.stages import is_url
from boxship.errors import DockerfileError, InvalidArgument

_SYMBOLIC = re.compile(r"[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*")


def clean(path: str) -> str:
    """An absolute path without `.`, `..`, doubled or trailing slashes; `..` stops at the root."""
    return posixpath.normpath("/" + path.lstrip("/")) if path else "/"


def destination(current: str, dest: str) -> str:
    """COPY's destination as an absolute path; what says "directory" at its end stays: `/` or `/.`."""
    if dest in ("", "."):
        dest = "./"
    path = clean(posixpath.join("/", current, dest))
    if dest.endswith("/.") or dest == "..":
        return path if path == "/" else f"{path}/."
    return f"{path}/" if dest.endswith("/") and path != "/" else path


def is_git_source(text: str) -> bool:
    """ADD takes it for a git repository; a path that merely looks like one (github.com/owner/name) is a path here."""
    try:
        found = gitref.parse(text)
    except InvalidArgument:
        return True
    return found is not None and not found.looks_local


def source(path: str, tree: int | None, add: bool) -> graph.Source:
    """What one source word of COPY or ADD means. Raises DockerfileError for what only ADD can fetch, and for git."""
    if tree is None and is_git_source(path):
        message = "ADD of a git repository is not supported yet" if add else "source can't be a git ref for COPY"
        raise DockerfileError(f"{message}: {path}")
    if tree is None and is_url(path):
        if not add:
            raise DockerfileError("source can't be a URL for COPY", hint="use ADD")
        # here: the email package in it costs 14 ms
        from boxship.build.urlname import url_name

        return graph.UrlSource(path, url_name(path.rstrip("/")) or "__unnamed__")
    # a wildcard's backslash must survive, so only the dots and slashes are cleaned
    return graph.TreeSource(clean(path), tree)


def chmod(text: str) -> int | None:
    """The bits of --chmod; None when it is not given. Raises DockerfileError."""
    if not text:
        return None
    if re.fullmatch(r"[0-7]+", text) and int(text, 8) <= 0o7777:
        return int(text, 8)
    if _SYMBOLIC.fullmatch(text):
        raise DockerfileError(f"a symbolic --chmod is not supported yet: {text}", hint="write the mode in octal, such as 0755")
    raise DockerfileError(
        f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777", hint="write it like 0755"
    )


def signal(text: str) -> str:
    """STOPSIGNAL's argument, checked. Raises DockerfileError."""
    from signal import SIGRTMAX, SIGRTMIN, Signals

    if text.isdecimal():
        known = 0 < int(text) <= SIGRTMAX
    else:
        name = "SIG" + text.upper().removeprefix("SIG")
        numbered = re.fullmatch(r"SIGRT(MIN\+|MAX-)(\d{1,2})", name)
        known = name in Signals.__members__ or bool(numbered and int(numbered[2]) <= SIGRTMAX - SIGRTMIN)
    if not known:
        raise DockerfileError(f"invalid signal: {text}", hint="use a name such as SIGTERM, or a number")
    return text
