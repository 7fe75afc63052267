"""The `--name=value` flags of an instruction. The type of a flag is the type of its default: text, bool, or a tuple."""

from __future__ import annotations

from boxship.build.dockerfile.text import suggested
from boxship.build.record import record
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = str | bool | tuple[str, ...]


@record
class Flags:
    values: dict[str, Value]
    used: tuple[str, ...]
    """Sorted names of the flags that were given."""

    def text(self, name: str) -> str:
        return str(self.values[name])

    def on(self, name: str) -> bool:
        return self.values[name] is True

    def given(self, name: str) -> bool | None:
        """None when the flag was not given."""
        return self.on(name) if name in self.used else None

    def many(self, name: str) -> tuple[str, ...]:
        value = self.values[name]
        return value if isinstance(value, tuple) else ()


def parse_flags(words: Iterable[str], declared: Mapping[str, Value]) -> Flags:
    """Reads the flag words up to a lone `--`. Raises DockerfileError for unknown, repeated and ill-typed flags."""
    values = dict(declared)
    used: set[str] = set()
    for word in words:
        if word == "--":
            break
        if not word.startswith("--"):
            raise DockerfileError(f"arg should start with -- : {word}")
        flag, separator, value = word.partition("=")
        name = flag[2:]
        if name not in declared:
            raise DockerfileError(suggested(f"unknown flag: {flag}", name, declared))
        default = declared[name]
        if name in used and not isinstance(default, tuple):
            raise DockerfileError(f"duplicate flag specified: {flag}")
        used.add(name)
        values[name] = _value(flag, default, values[name], value if separator else None)
    return Flags(values, tuple(sorted(used)))


def _value(flag: str, default: Value, before: Value, given: str | None) -> Value:
    if isinstance(default, bool):
        if given == "":
            raise DockerfileError(f"missing a value on flag: {flag}")
        word = (given or "true").lower()
        if word not in ("true", "false"):
            raise DockerfileError(f"expecting boolean value for flag {flag}, not: {given}")
        return word == "true"
    if given is None:
        raise DockerfileError(f"missing a value on flag: {flag}", hint=f"write {flag}=VALUE")
    return (*before, given) if isinstance(before, tuple) else given
