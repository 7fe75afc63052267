"""Frozen value classes that cost nothing to define.

`dataclass(frozen=True, slots=True)` compiles six methods per class and imports inspect: a program that needs fifty such
classes spends 50 ms before its first line. A record has one method for all: names and defaults are read off the class.
Type checkers see a frozen dataclass (PEP 681).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object):
        return lambda function: function


_set = object.__setattr__


def _init(self: Any, *args: Any, **given: Any) -> None:
    names, defaults = self._fields, self._defaults
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__}() takes {len(names)} arguments, {len(args)} given")
    for name, value in zip(names, args, strict=False):
        _set(self, name, value)
    for name in names[len(args) :]:
        if name in given:
            _set(self, name, given.pop(name))
        elif name in defaults:
            _set(self, name, defaults[name])
        else:
            raise TypeError(f"{type(self).__name__}() lacks {name}")
    if given:
        raise TypeError(f"{type(self).__name__}() got unexpected or repeated: {', '.join(given)}")


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self._fields)


def _eq(self: Any, other: object) -> bool:
    return type(other) is type(self) and _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash((type(self), *_values(self)))


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"


def replace(value: T, **changes: Any) -> T:
    """A copy with some fields changed."""
    cls: Any = type(value)
    old = value.__dict__
    made: T = cls(*[changes.pop(name) if name in changes else old[name] for name in cls._fields], **changes)
    return made


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Class decorator. Fields are the annotated names, those of a parent record first; defaults must not be mutable."""
    made: Any = cls
    parent: tuple[str, ...] = getattr(cls, "_fields", ())
    # texts, not types: every module here postpones the evaluation of annotations
    own = [name for name in vars(cls).get("__annotations__", ()) if name not in parent]
    made._fields = (*parent, *own)
    made._defaults = {
        **getattr(cls, "_defaults", {}),
        **{name: cls.__dict__[name] for name in own if name in cls.__dict__},
    }
    for method in (_init, _eq, _hash, _repr):
        setattr(made, f"__{method.__name__[1:]}__", method)
    made.__setattr__ = made.__delattr__ = _refuse
    return cls
