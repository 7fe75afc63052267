"""ENV and ARG: which names a line sees, which of them enter the cache key, and what --build-arg adds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


PROXY_ARGS = frozenset(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)
"""Build arguments that every stage has without ARG, and that stay out of the cache key."""


def env_map(env: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE entries as a map: the last one wins, a bare NAME is empty."""
    pairs = (entry.partition("=") for entry in env)
    return {name: value for name, _, value in pairs}


def set_env(env: Iterable[str], name: str, value: str) -> list[str]:
    """The list with one pair set: the first entry of that name is replaced in place, else the pair comes last."""
    entries = list(env)
    for index, entry in enumerate(entries):
        if entry.partition("=")[0] == name:
            entries[index] = f"{name}={value}"
            return entries
    return [*entries, f"{name}={value}"]


def with_args(env: Iterable[str], args: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """What `$NAME` sees: the environment, and below it the arguments that have a value; the first of a name wins."""
    known = env_map(env)
    for name, value in args:
        if value is not None:
            known.setdefault(name, value)
    return known


def proxy_env(build_args: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables of RUN, by lower-case name; the lower-case argument wins over the upper-case one."""
    found: dict[str, str] = {}
    for name in sorted(PROXY_ARGS):
        if name in build_args:
            found[name.lower()] = build_args[name]
    return found


class BuildArgs:
    """The arguments of one build: those of the command line, of the lines before the first FROM, of the stage."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._meta: dict[str, str | None] = {}
        self._stage: dict[str, str | None] = {}
        self._referenced: set[str] = set()

    def add_meta(self, name: str, default: str | None) -> None:
        """ARG before the first FROM."""
        self._meta[name] = default
        self._referenced.add(name)

    def add_stage(self, name: str, default: str | None) -> None:
        """ARG inside a stage."""
        self._stage[name] = default
        self._referenced.add(name)

    def next_stage(self) -> None:
        self._stage.clear()

    def meta_args(self) -> dict[str, str]:
        """What FROM lines see."""
        return self._values(self._meta, {})

    def stage_args(self) -> dict[str, str]:
        """What the lines of the stage see: its own ARGs, and the proxy arguments that were given."""
        proxies = {name: value for name, value in self._given.items() if name in PROXY_ARGS}
        return {**proxies, **self._values(self._stage, self._meta)}

    def _values(self, declared: Mapping[str, str | None], outer: Mapping[str, str | None]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, default in declared.items():
            value = self._given.get(name, default if default is not None else outer.get(name))
            if value is not None:
                found[name] = value
        return found

    def unused(self) -> list[str]:
        """Given on the command line, never declared: worth a warning."""
        return sorted(name for name in self._given if name not in self._referenced and name not in PROXY_ARGS)

    def in_cache_key(self, name: str) -> bool:
        """A proxy argument counts only where an ARG declares it."""
        return name in self._referenced or name not in PROXY_ARGS

    def cache_command(self, run_args: Iterable[str], command: Iterable[str]) -> list[str]:
        """The command as the history of the image keeps it: `|2 A=1 B=2 /bin/sh -c ...`."""
        counted = sorted(entry for entry in run_args if self.in_cache_key(entry.partition("=")[0]))
        return [f"|{len(counted)}", *counted, *command] if counted else list(command)
