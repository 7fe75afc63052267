"""Platforms: os/architecture[/variant], and which entry of an index suits a machine best."""

from boxship.errors import InvalidArgument
from boxship.oci import document as fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OS = "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos"
_OS_NAMES = frozenset(_OS.split())
_ARCHITECTURE = (
    "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 "
    "ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm"
)
_ARCHITECTURES = frozenset(_ARCHITECTURE.split())
_ALIASES = {"i386": "386", "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "macos": "darwin"}
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


_NO_WORDS: "frozenset[str]" = frozenset()


class Platform:
    """The `platform` of an index entry. An empty field says nothing. Immutable by custom; equal when all fields are."""

    __slots__ = ("architecture", "features", "os", "os_features", "os_version", "variant")

    def __init__(
        self,
        os: str = "",
        architecture: str = "",
        variant: str = "",
        os_version: str = "",
        os_features: "frozenset[str]" = _NO_WORDS,
        features: "frozenset[str]" = _NO_WORDS,
    ) -> None:
        self.os = os
        self.architecture = architecture
        self.variant = variant
        self.os_version = os_version
        self.os_features = os_features
        self.features = features

    def _values(self) -> "tuple[object, ...]":
        return self.os, self.architecture, self.variant, self.os_version, self.os_features, self.features

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Platform) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Platform{self._values()}"

    def _with(self, os: str, architecture: str, variant: str) -> "Platform":
        return Platform(os, architecture, variant, self.os_version, self.os_features, self.features)

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read "linux/arm/v7", "linux", "arm64" or "os/arch:version"; missing parts stay empty. Raises InvalidArgument."""
        rest, _, version = text.partition(":")
        parts = rest.split("/")
        if len(parts) > 3 or (len(parts) > 1 and not all(parts)):
            raise InvalidArgument(f"invalid platform: {text}", hint="a platform is os/architecture[/variant], like linux/arm64")
        if not all(_WORD.issuperset(part) for part in parts):
            raise InvalidArgument(f"invalid platform: {text}", hint="a platform is os/architecture[/variant], like linux/arm64")
        if len(parts) == 1 and rest:
            return cls._of_word(rest, version)
        parts += [""] * (3 - len(parts))
        return cls(parts[0], parts[1], parts[2], version)

    @classmethod
    def _of_word(cls, word: str, version: str) -> "Platform":
        known = _ALIASES.get(word.lower(), word.lower())
        if known in _OS_NAMES:
            return cls(os=word, os_version=version)
        if known in _ARCHITECTURES or known in ("armhf", "armel"):
            return cls(architecture=word, os_version=version)
        raise InvalidArgument(
            f"unknown operating system or architecture: {word}", hint="a platform is os/architecture[/variant], like linux/arm64"
        )

    @classmethod
    def from_dict(cls, document: "dict[str, Any]") -> "Platform":
        """The `platform` object of a descriptor. Raises InvalidArgument when os or architecture are no texts."""

        def text(key: str) -> str:
            return fields.text(document, key, "platform")

        def words(key: str) -> frozenset[str]:
            return frozenset(fields.texts(document, key, "platform"))

        plain = (text("os"), text("architecture"), text("variant"), text("os.version"))
        return cls(*plain, words("os.features"), words("features"))

    def to_dict(self) -> "dict[str, Any]":
        pairs: dict[str, Any] = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "os.features": sorted(self.os_features),
            "variant": self.variant,
            "features": sorted(self.features),
        }
        return {key: value for key, value in pairs.items() if value or key in ("architecture", "os")}

    def __str__(self) -> str:
        text = "/".join(part for part in (self.os, self.architecture, self.variant) if part)
        return f"{text}:{self.os_version}" if self.os_version else text

    def docker_text(self) -> str:
        """The form of Docker's messages: os(version)/architecture/variant."""
        system = f"{self.os}({self.os_version})" if self.os_version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)

    def normalised(self) -> "Platform":
        """With the names of Go's world: x86_64 is amd64, aarch64 is arm64/v8, armhf is arm/v7."""
        system = self.os.lower()
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture = _ALIASES.get(architecture, architecture)
        if architecture in ("armhf", "armel"):
            variant = "v7" if architecture == "armhf" else "v6"
            architecture = "arm"
        if variant[:1].isdigit():
            variant = f"v{variant}"
        if architecture == "amd64" and variant == "v1":
            variant = ""
        elif not variant:
            variant = {"arm64": "v8", "arm": "v7"}.get(architecture, "")
        return self._with(_ALIASES.get(system, system), architecture, variant)

    def with_defaults(self, machine: "Platform | None" = None) -> "Platform":
        """What `--platform` means: an absent os or architecture is the machine's, then normalised."""
        machine = machine or host()
        full = self
        if not full.os:
            full = full._with(machine.os, full.architecture, full.variant)
        if not full.architecture:
            full = full._with(full.os, machine.architecture, machine.variant)
        return full.normalised()

    def satisfies(self, wanted: "Platform") -> bool:
        """Every field that `wanted` sets is equal here, its features are among ours. No normalising."""
        for mine, wish in zip(self._texts(), wanted._texts(), strict=True):
            if wish and mine != wish:
                return False
        return wanted.os_features <= self.os_features and wanted.features <= self.features

    def _texts(self) -> tuple[str, str, str, str]:
        return self.os, self.architecture, self.variant, self.os_version

    def runnable(self) -> "list[Platform]":
        """What a machine of this platform runs, best first: its own kind, older variants, its 32-bit kin."""
        own = self.normalised()
        if own.architecture == "amd64":
            levels = [f"v{level}" for level in range(_level(own.variant, 1), 1, -1)]
            return [own._with(own.os, "amd64", level) for level in [*levels, ""]] + [own._with(own.os, "386", "")]
        if own.architecture == "arm64":
            base = [] if own.variant == "v8" else [own._with(own.os, "arm64", "v8")]
            return [own, *base] + [own._with(own.os, "arm", f"v{level}") for level in (8, 7, 6, 5)]
        if own.architecture == "arm":
            return [own._with(own.os, "arm", f"v{level}") for level in range(_level(own.variant, 7), 4, -1)] or [own]
        return [own]


def _level(variant: str, default: int) -> int:
    """The number in "v7"; bounded, for the text may come from a user or an index."""
    number = variant[1:2]
    return int(number) if variant[:1] == "v" and number.isascii() and number.isdigit() else default


def host() -> Platform:
    """The platform of this machine: its kernel's word."""
    from os import uname

    names = uname()
    return Platform(names.sysname.lower(), names.machine).normalised()


def rank(have: Platform | None, wanted: Platform) -> int | None:
    """How well an index entry suits: 0 is best, None not at all. An entry without a platform suits, last of all."""
    options = wanted.runnable()
    if have is None:
        return len(options)
    found = have.normalised()
    for place, option in enumerate(options):
        if (found.os, found.architecture, found.variant) == (option.os, option.architecture, option.variant):
            return place
    return None


def choose(entries: "list[Platform | None]", wanted: Platform) -> int | None:
    """The place of the best entry, the first of equals; None when none suits."""
    best: tuple[int, int] | None = None
    for place, entry in enumerate(entries):
        value = rank(entry, wanted)
        if value is not None and (best is None or value < best[0]):
            best = (value, place)
    return best[1] if best else None


def no_match(wanted: Platform) -> str:
    """Docker's words when an index holds nothing for `wanted`."""
    return f"no matching manifest for {wanted.docker_text()} in the manifest list entries"
