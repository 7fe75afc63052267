"""What went wrong, put on the screen as Docker's client puts it, and the exit code that tells scripts. Cold path.

    the flags can't be read            the message, the usage line          125
    the number of arguments is wrong   "docker: ...", the usage line          1
    refused before the engine is asked the message                            1
    the engine refuses                 "Error response from daemon: ..."      1
    run, create: all of these          "docker: ...", Run '... --help'      125  (create: 1 when the engine refuses)
    the program can't be started                                        126, 127
    interrupted                        nothing                              130
    the reader of our output is gone   nothing                              141

"from daemon" although there is none: scripts look for these words.
"""

from boxship import errors
from boxship.cli.flags import ClientError, Command, CountError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# said as they are: they come from our own reading of the user's words, not from the state of the engine
_PLAIN = (errors.DockerfileError, errors.BuildFailed)


def describe(error: BaseException, program: str, name: str, command: "Command | None", debug: bool) -> "tuple[str, int]":
    """Text for standard error and exit code. `name` is "container ls", or "" before a command was found."""
    if isinstance(error, KeyboardInterrupt):
        return "", 130
    if isinstance(error, BrokenPipeError):
        return "", 141
    path = f"{program} {name}".rstrip()
    if isinstance(error, UsageError):
        text, code = _usage(error, program, path, command)
    else:
        text, code = _refusal(error, program, path, command)
    if debug and not isinstance(error, errors.InvalidArgument):
        text = _traceback(error) + text
    return text, code


def _hint(error: BaseException) -> str:
    hint: Any = getattr(error, "hint", None)
    return f"\nhint: {hint}" if hint else ""


def _usage(error: UsageError, program: str, path: str, command: "Command | None") -> "tuple[str, int]":
    usage = f"{path} {command.usage}".rstrip() if command else f"{path} [OPTIONS] COMMAND [ARG...]"
    see = "See" if isinstance(error, CountError) and error.more else "Run"
    start, code = (f"{program}: ", 1) if isinstance(error, CountError) else ("", 125)
    more = f"{see} '{path} --help' for more information"
    return f"{start}{error}{_hint(error)}\n\nUsage:  {usage}\n\n{more}\n", code


def _refusal(error: BaseException, program: str, path: str, command: "Command | None") -> "tuple[str, int]":
    local = isinstance(error, (ClientError, errors.Unsupported))
    code = command.failure if command else 1
    if isinstance(error, errors.ExecFailed):
        code = error.exit_code
    message = _message(error, program, local)
    if command and command.framed:
        code = 125 if local else code
        if local or code != 1:
            message = message.removeprefix(f"{program}: ")
            return f"{program}: {message}{_hint(error)}\n\nRun '{path} --help' for more information\n", code
    return f"{message}{_hint(error)}\n", code


def _message(error: BaseException, program: str, local: bool) -> str:
    if isinstance(error, _PLAIN):
        return f"ERROR: {error}"
    if isinstance(error, errors.BoxshipError):
        return str(error) if local else f"Error response from daemon: {error}"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{program}: {(error.strerror or str(error)).lower()}{where}"
    if isinstance(error, MemoryError):
        return f"{program}: out of memory"
    return f"{program}: internal error: {type(error).__name__}: {error}\nhint: {program} -D shows where"


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))
