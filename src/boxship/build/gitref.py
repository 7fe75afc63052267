"""Git references as build contexts and as sources of ADD: https://HOST/REPO.git#REF:SUBDIR and its relatives."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from boxship.build.dockerfile.text import clean, parse_bool, quote
from boxship.build.record import record, replace
from boxship.errors import InvalidArgument

_PROTOCOL = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"([a-zA-Z0-9\-_]+)@([a-zA-Z0-9\-.]+):(.*?)(?:\?(.*?))?(?:#(.*))?")
_SCHEMES = frozenset(("http", "https", "ssh", "git"))
_FLAGS = frozenset(("submodules", "keep-git-dir", "fetch-by-commit"))
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@record
class GitRef:
    """`ref` is a branch, tag or commit, "" for the default branch. None of a flag means that it was not given."""

    remote: str
    short_name: str
    ref: str = ""
    checksum: str = ""
    subdir: str = ""
    looks_local: bool = False
    """Written like a path (github.com/owner/name): taken for a build context only."""
    unencrypted: bool = False
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str = ""
    fetch_by_commit: bool = False


def parse(text: str) -> GitRef | None:
    """The reference, or None when the text is none. Raises InvalidArgument for one with a bad query."""
    parts = _split(text)
    if parts is None:
        return None
    remote, query, fragment, looks_local, scheme = parts
    ref, _, subdir = fragment.partition(":")
    found = GitRef(
        remote,
        remote.rpartition("/")[2].removesuffix(".git"),
        ref,
        subdir=clean("/" + subdir)[1:],
        looks_local=looks_local,
        unencrypted=scheme in ("http", "git"),
    )
    return _with_query(found, query)


def is_git(text: str) -> bool:
    """Whether the text is a git reference without a mistake in its query."""
    try:
        return parse(text) is not None
    except InvalidArgument:
        return False


def fragment_form(text: str, *, with_subdir: bool = False) -> tuple[str, bool]:
    """The reference written as REMOTE#REF[:SUBDIR], and whether it is one; any other text comes back unchanged."""
    try:
        found = parse(text)
    except InvalidArgument:
        found = None
    if found is None:
        return text, False
    subdir = clean("/" + found.subdir)[1:] if with_subdir else ""
    if not found.ref and not subdir:
        return found.remote, True
    return f"{found.remote}#{found.ref}" + (f":{subdir}" if subdir else ""), True


def _split(text: str) -> tuple[str, str, str, bool, str] | None:
    """Remote, query, fragment, whether it looks local, scheme."""
    if text.startswith(("./", "../")):
        return None
    looks_local = text.startswith("github.com/")
    match = _PROTOCOL.match(text)
    if match is None and not looks_local:
        scp = _SCP.fullmatch(text)
        return (f"{scp[1]}@{scp[2]}:{scp[3]}", scp[4] or "", scp[5] or "", False, "ssh") if scp else None
    scheme = match[1].lower() if match and not looks_local else "https"
    if scheme not in _SCHEMES or _CONTROL.search(text):
        return None
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    if scheme in ("http", "https") and not looks_local and not unquote(url.path).endswith(".git"):
        return None
    bare = text.partition("#")[0].partition("?")[0]
    return bare, url.query, unquote(url.fragment), looks_local, "https" if looks_local else scheme


def _with_query(found: GitRef, query: str) -> GitRef:
    tag = branch = ""
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise InvalidArgument(f"query {quote(name)} has multiple values")
        value = values[0]
        if not value and name not in _FLAGS:
            raise InvalidArgument(f"query {quote(name)} has no value")
        if name == "tag":
            tag = _prefixed(value, "refs/tags/")
        elif name == "branch":
            branch = _prefixed(value, "refs/heads/")
        else:
            found = _applied(found, name, value)
    if tag and branch:
        raise InvalidArgument("branch conflicts with tag", hint="give one of them")
    return _with(found, "ref", tag or branch) if tag or branch else found


def _prefixed(value: str, prefix: str) -> str:
    return value if value.startswith(prefix) else prefix + value


def _applied(found: GitRef, name: str, value: str) -> GitRef:
    if name in ("ref", "subdir"):
        return _with(found, name, value)
    if name in ("checksum", "commit"):
        return replace(found, checksum=value)
    if name == "mtime":
        if value not in ("checkout", "commit"):
            raise InvalidArgument(f'invalid mtime value: {quote(value)} (must be "checkout" or "commit")')
        return replace(found, mtime=value)
    if name not in _FLAGS:
        raise InvalidArgument(f"unexpected query {quote(name)}")
    flag = parse_bool(value) if value else True
    if flag is None:
        raise InvalidArgument(f"invalid {name} value: {quote(value)}", hint="use true or false")
    if name == "keep-git-dir":
        return replace(found, keep_git_dir=flag)
    return replace(found, submodules=flag) if name == "submodules" else replace(found, fetch_by_commit=flag)


def _with(found: GitRef, name: str, value: str) -> GitRef:
    """Sets ref or subdir, once."""
    before = found.ref if name == "ref" else found.subdir
    if before and before != value:
        raise InvalidArgument(f"{name} conflicts: {quote(before)} vs {quote(value)}")
    return replace(found, ref=value) if name == "ref" else replace(found, subdir=value)
