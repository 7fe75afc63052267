# ruff: noqa: E501  prose
"""errors-and-exit-codes.md: the classes of boxship.errors, and what the command line makes of each: asked of it."""

import importlib
import inspect

from boxship import errors
from boxship.cli import failure
from boxship.cli.flags import ClientError, CountError, UsageError
from refpages.text import block, code, document, table

# one of each class, two where the exit code depends on it
_EXAMPLES: list[BaseException] = [
    UsageError("unknown flag: --colour"),
    CountError("'boxship run' requires at least 1 argument", more=True),
    ClientError("conflicting options: cannot specify both --restart and --rm"),
    errors.InvalidArgument("invalid signal: HUPP", hint="see signal(7) for the names"),
    errors.InvalidReference("invalid reference format: repository name (library/Web) must be lowercase"),
    errors.DockerfileError("dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)", line=2),
    errors.Unauthorized("pull access denied for registry.lan:5000/app, repository does not exist or may require 'docker login'"),
    errors.Forbidden("denied: requested access to the resource is denied"),
    errors.NotFound("No such container: web"),
    errors.Conflict("Bind for 0.0.0.0:8080 failed: port is already allocated"),
    errors.NotModified("container already stopped: web"),
    errors.Unsupported("--network lan is not supported yet", hint="use bridge, none or host"),
    errors.Unavailable(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    ),
    errors.RegistryError("manifest unknown"),
    errors.BuildFailed('process "/bin/sh -c exit 3" did not complete successfully: exit code: 3', exit_code=3),
    errors.ExecFailed('exec: "nosuch": executable file not found in $PATH', exit_code=127),
    errors.ExecFailed('exec: "/etc/passwd": permission denied', exit_code=126),
    errors.KernelError("mount", 1, "/proc"),
    OSError(2, "No such file or directory", "app.tar"),
    KeyboardInterrupt(),
    BrokenPipeError(),
]


def page() -> str:
    missing = (
        {one for _, one in inspect.getmembers(errors, inspect.isclass)} - {type(one) for one in _EXAMPLES} - {errors.BoxshipError}
    )
    if missing:
        raise SystemExit(f"no example in scripts/refpages/failures.py: {sorted(one.__name__ for one in missing)}")
    return document(
        "Errors and exit codes",
        "A message has one line that says what is wrong, in small letters and without a full stop, the value after a colon. Where there is "
        "something to do about it, the next line begins with `hint:`. Sentences that programs look for are Docker's own, also the words "
        "*Error response from daemon*, though there is no daemon. Messages go to standard error; `-D` before the command adds where an error comes from.",
        "## Exit codes",
        _own_codes(),
        "## What each kind of error makes",
        "How `boxship rm` would print an example of each, its exit code, and that of `boxship run`. `run` and `create` put the program's name "
        "before the message, and a pointer to `--help` after it.",
        table(("class", "on standard error", "exit code", "of run"), [_row(one) for one in _EXAMPLES]),
        "## The classes",
        block(_tree()),
    )


def _own_codes() -> str:
    rows = [
        ("0", "done"),
        (
            "the program's own",
            "`run`, `start -a`, `exec`: what the program in the container ended with; 128 + N when signal N ended it (137: killed)",
        ),
        ("125", "flags that can't be read; `run`: anything that keeps the container from being made"),
        ("126", "the program is there and can't be executed"),
        ("127", "the program is not there"),
        ("1", "refused: no such object, a name that is taken, a build that failed, wrong number of arguments"),
        ("130", "interrupted by Ctrl-C before anything could answer"),
        ("141", "the reader of the output is gone (`boxship logs web | head -1`)"),
    ]
    return table(("code", "when"), rows)


def _row(error: BaseException) -> tuple[str, str, str, str]:
    run, other = (importlib.import_module(f"boxship.cli.commands.{name}").COMMAND for name in ("run", "rm"))
    _, code_run = failure.describe(error, "boxship", "run", run, False)
    text, code_other = failure.describe(error, "boxship", "rm", other, False)
    message, _, rest = text.partition("\n")
    hint = rest.partition("\n")[0] if rest.startswith("hint: ") else ""
    said = code(message) + (f"\n{code(hint)}" if hint else "")
    return code(type(error).__name__), said or "(nothing)", str(code_other), str(code_run)


def _tree() -> str:
    text = inspect.getdoc(errors) or ""
    lines = text[text.index("    BoxshipError") :].splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines[: lines.index("")])
