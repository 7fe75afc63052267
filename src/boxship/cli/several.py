"""Commands on several objects: each is tried, each refusal is a line, and any refusal makes the exit code 1. Hot path."""

from boxship.cli.streams import err, out
from boxship.errors import BoxshipError, NotFound, NotModified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def each(names: "list[str]", action: "Callable[[str], object]", *, forced: bool = False) -> int:
    """Run `action` on every name; the name is printed when it succeeds, also when there was nothing to do.

    `forced`: what is not there is said, but is no failure (rm -f).
    """
    code = 0
    for name in names:
        try:
            action(name)
        except NotModified:
            pass
        except BoxshipError as error:
            complain(error)
            code = code if forced and isinstance(error, NotFound) else 1
            continue
        out(f"{name}\n")
    return code


def complain(error: BoxshipError) -> None:
    hint = f"hint: {error.hint}\n" if error.hint else ""
    err(f"Error response from daemon: {error}\n{hint}")
