"""Command lines run in this process, against an engine that answers from a table."""

import contextlib
import io
import sys
import types
from typing import Any

from boxship.cli.flags import Call, Command, read
from boxship.cli.main import run


class Captured:
    """Standard output or error with the bytes below it, as the command line writes them."""

    def __init__(self) -> None:
        self.stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.stream.flush()
        return self.stream.buffer.getvalue().decode()


def cli(argv: list[str], program: str = "docker") -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of one command line."""
    out, err = Captured(), Captured()
    with contextlib.redirect_stdout(out.stream), contextlib.redirect_stderr(err.stream):
        code = run(argv, program)
    return code, out.text(), err.text()


def call_of(command: Command, argv: list[str], name: str = "create") -> Call:
    values, given, args = read(command, argv)
    return Call("docker", name, values, given, args)


def answer_with(monkeypatch: Any, **modules: dict[str, Any]) -> None:
    """Put engine modules with these functions where the commands import them from."""
    import boxship.engine

    store = types.ModuleType("boxship.engine.store")
    store.open_store = lambda root=None: "the store"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "boxship.engine.store", store)
    monkeypatch.setattr(boxship.engine, "store", store, raising=False)
    for name, functions in modules.items():
        module = types.ModuleType(f"boxship.engine.{name}")
        module.__dict__.update(functions)
        monkeypatch.setitem(sys.modules, f"boxship.engine.{name}", module)
        monkeypatch.setattr(boxship.engine, name, module, raising=False)
