"""Every error that Boxship raises on purpose. Imports nothing.

    BoxshipError                 message, hint, context
    |-- InvalidArgument          the user's words are wrong                 400  exit 125
    |   |-- InvalidReference     an image name that is no image name
    |   `-- DockerfileError      with the line it stands on                      exit 1
    |-- Unauthorized             401
    |-- Forbidden                403
    |-- NotFound                 404
    |-- Conflict                 409  a name, port or address that is taken; an object in use
    |-- NotModified              304  it is already so (started, stopped)
    |-- Unsupported              501  understood, and not offered here
    |-- Unavailable              503  try again later
    |-- RegistryError            a registry's answer, put into words
    |-- BuildFailed              a step of a build ended badly: step, exit code, log
    |-- ExecFailed               the program could not be started           exit 126 or 127
    `-- KernelError              a system call said no: syscall, path, errno   500

Messages are lower case without a full stop, the value after a colon; the hint is a line of its own that says what
to do. Docker's own sentences are kept where clients match on them ("No such container: x"). HTTP statuses are
mapped in dockerapi, exit codes in cli, each in one table.
"""


class BoxshipError(Exception):
    """Base of all. `hint` is one line that says what to do; `context` holds the values the message speaks of."""

    def __init__(self, message: str, *, hint: str | None = None, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return self.message


class InvalidArgument(BoxshipError):
    pass


class InvalidReference(InvalidArgument):
    pass


class DockerfileError(InvalidArgument):
    """A Dockerfile that can't be read. `line` is 1-based; `text` is the line itself, where known."""

    def __init__(self, message: str, *, line: int = 0, text: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.text = text


class Unauthorized(BoxshipError):
    pass


class Forbidden(BoxshipError):
    pass


class NotFound(BoxshipError):
    pass


class Conflict(BoxshipError):
    pass


class NotModified(BoxshipError):
    pass


class Unsupported(BoxshipError):
    pass


class Unavailable(BoxshipError):
    pass


class RegistryError(BoxshipError):
    pass


class BuildFailed(BoxshipError):
    """A step ended badly. `exit_code` is what the shell of `build` gets to see in the message, not as its own code."""

    def __init__(self, message: str, *, exit_code: int = 1, line: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
        self.line = line


class ExecFailed(BoxshipError):
    """The container's program could not be started: 127 not found, 126 not executable."""

    def __init__(self, message: str, *, exit_code: int = 126, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class KernelError(BoxshipError):
    """A system call failed. Raised by boxship.linux; the layer that knows the intent puts it into words."""

    def __init__(self, syscall: str, errno: int, path: str | None = None, *, hint: str | None = None) -> None:
        from os import strerror

        where = f" {path}" if path is not None else ""
        super().__init__(f"{syscall}{where}: {strerror(errno).lower()}", hint=hint)
        self.syscall = syscall
        self.errno = errno
        self.path = path
