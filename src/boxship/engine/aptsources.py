"""What the host's apt says about where packages come from: sources.list(5), both formats. Reads files, never the network.

A base image is made from the distribution's own archive alone: of a host's many sources only the suite itself, its
updates and its security fixes count. Vendors' repositories are left to `boxship.engine.bootstrap`, which asks each
archive for its Origin.
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# The pockets of Debian and Ubuntu that belong to a released suite; "/updates" is security before Debian 11.
_POCKETS = ("", "-updates", "-security", "/updates")
_KEPT_FIELDS = ("Signed-By", "Trusted", "Check-Valid-Until", "Allow-Insecure")
_ONE_LINE_NAMES = {name.lower(): name for name in _KEPT_FIELDS}


class Source(NamedTuple):
    """One archive with the suites asked for. `options` are deb822 field names with their values, lines joined by \\n."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def keyrings(self) -> tuple[str, ...]:
        """Key files named by Signed-By; a fingerprint or an embedded key is none."""
        value = dict(self.options).get("Signed-By", "")
        return tuple(word for word in value.replace(",", " ").split() if word.startswith("/"))


def _split_options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    if not words or not words[0].startswith("["):
        return [], words
    end = next((index for index, word in enumerate(words) if word.endswith("]")), len(words) - 1)
    inside = " ".join(words[: end + 1]).strip("[] ").split()
    pairs = [word.partition("=")[::2] for word in inside]
    return [(_ONE_LINE_NAMES[key.lower()], value) for key, value in pairs if key.lower() in _ONE_LINE_NAMES], words[end + 1 :]


def parse_list(text: str) -> Iterator[Source]:
    """The one-line format: `deb [ option=value … ] uri suite component…`. Source-only and broken lines are passed over."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options, rest = _split_options(words[1:])
        if len(rest) >= 2:
            yield Source(rest[0], (rest[1],), tuple(rest[2:]), tuple(options))


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t" and name:
            fields[name] += "\n" + line.strip()
        else:
            key, _, value = line.partition(":")
            name = key.strip().lower()
            fields[name] = value.strip()


def parse_deb822(text: str) -> Iterator[Source]:
    """The stanzas of a `.sources` file that are enabled and of type deb, one Source for each URI."""
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        options = tuple((name, fields[name.lower()]) for name in _KEPT_FIELDS if fields.get(name.lower()))
        for uri in fields.get("uris", "").split():
            yield Source(uri, tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split()), options)


def read(etc: str = "/etc/apt") -> list[Source]:
    """Every source of the host, in apt's order: sources.list, then sources.list.d by name. [] where there is no apt."""
    folder = f"{etc}/sources.list.d"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found: list[Source] = []
    for name in [f"{etc}/sources.list", *(f"{folder}/{name}" for name in names)]:
        if not os.path.isfile(name) or not name.endswith((".list", ".sources")):
            continue
        with open(name, encoding="utf-8", errors="replace") as file:
            text = file.read()
        found += parse_deb822(text) if name.endswith(".sources") else parse_list(text)
    return found


def suites(sources: Iterable[Source]) -> list[str]:
    """The suites with a `main` that the host knows, without their pockets, in order of appearance."""
    names = (suite for source in sources if "main" in source.components for suite in source.suites)
    bare = (name for name in names if not name.endswith(_POCKETS[1:]) and not name.endswith("-backports"))
    return list(dict.fromkeys(bare))


def for_suite(sources: Iterable[Source], suite: str, codename: str) -> list[Source]:
    """The sources of `suite` and its pockets.

    When the host itself does not use the suite, its own archives are asked for that suite instead of `codename`.
    """
    wanted = {suite + pocket for pocket in _POCKETS}
    listed = [source for source in sources if "main" in source.components]
    found = _narrow(listed, wanted)
    if any(suite in source.suites for source in found):
        return found
    own = _narrow(listed, {codename + pocket for pocket in _POCKETS})
    return [source._replace(suites=tuple(suite + name[len(codename) :] for name in source.suites)) for source in own]


def _narrow(sources: Iterable[Source], wanted: set[str]) -> list[Source]:
    narrowed = (source._replace(suites=tuple(name for name in source.suites if name in wanted)) for source in sources)
    return [source for source in narrowed if source.suites]


def render(sources: Iterable[Source]) -> str:
    """deb822 stanzas, as for a `.sources` file."""
    return "\n".join(_stanza(source) for source in sources)


def _stanza(source: Source) -> str:
    lines = [
        "Types: deb",
        f"URIs: {source.uri}",
        f"Suites: {' '.join(source.suites)}",
        f"Components: {' '.join(source.components)}",
        # a continuation line starts with a space (deb822(5)), as the lines of an embedded key do
        *(f"{name}: " + value.replace("\n", "\n ") for name, value in source.options),
    ]
    return "\n".join(lines) + "\n"
