"""The rules of single values: paths of WORKDIR and COPY, modes, signals, URLs. Pure."""

from __future__ import annotations

import posixpath

from boxship.build import graph
from boxship.build.gitforms import is_url, may_be_git
from boxship.errors import DockerfileError, InvalidArgument

_SYMBOLIC = r"[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*"


_OCTAL = frozenset("01234567")
# the first fifteen; the signal module and re cost 8 ms
_USUAL_SIGNALS = frozenset(
    ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM")
)


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
    if not may_be_git(text):
        return False
    from boxship.build import gitref

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
    if _OCTAL.issuperset(text) and int(text, 8) <= 0o7777:
        return int(text, 8)
    import re

    if re.fullmatch(_SYMBOLIC, text):
        raise DockerfileError(f"a symbolic --chmod is not supported yet: {text}", hint="write the mode in octal, such as 0755")
    raise DockerfileError(
        f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777", hint="write it like 0755"
    )


def signal(text: str) -> str:
    """STOPSIGNAL's argument, checked. Raises DockerfileError."""
    if text.upper().removeprefix("SIG") in _USUAL_SIGNALS:
        return text
    import re
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
