"""The instructions of a Dockerfile, decoded: one frozen type each. `decode.decode` makes them.

Values are not expanded: `$NAME` still stands in them (see `words`), because what a name means depends on the place.
Every command keeps its `instruction`, so that messages can name the line and steps can show the source.
"""

from __future__ import annotations

from boxship.build.dockerfile.ast import Heredoc, Instruction
from boxship.build.record import record


@record
class Pair:
    """NAME=VALUE of ENV and LABEL. `legacy` is the old form with a blank instead of `=`."""

    name: str
    value: str
    legacy: bool = False


@record
class ArgPair:
    """`value` is None for `ARG NAME` without a default."""

    name: str
    value: str | None = None


@record
class InlineFile:
    """A file whose content stands in the Dockerfile (here-document of COPY and ADD), tabs of `<<-` already removed."""

    path: str
    data: str
    expand: bool = True


@record
class Device:
    """RUN --device: a CDI device name and whether the build fails without it."""

    name: str
    required: bool = False


@record
class Command:
    instruction: Instruction

    @property
    def name(self) -> str:
        return self.instruction.name

    @property
    def line(self) -> int:
        return self.instruction.line

    @property
    def source(self) -> str:
        return self.instruction.source.strip()


@record
class From(Command):
    image: str
    stage_name: str = ""
    """Lower case; "" when there is no AS."""
    platform: str = ""


@record
class Arg(Command):
    pairs: tuple[ArgPair, ...]


@record
class Env(Command):
    pairs: tuple[Pair, ...]


@record
class Label(Command):
    pairs: tuple[Pair, ...]


@record
class CommandLine(Command):
    """RUN, CMD and ENTRYPOINT. Shell form: `shell` is true and `command` one text or nothing; exec form: the words."""

    command: tuple[str, ...]
    shell: bool = True


@record
class Run(CommandLine):
    """`mounts` are the raw values of --mount. `heredocs` keep their tabs: use Heredoc.text.

    A shell form whose text is just `<<EOF` runs the here-document as script of the shell.
    """

    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()
    flags_used: tuple[str, ...] = ()
    """Sorted names of the flags that were given."""


@record
class Cmd(CommandLine):
    heredocs: tuple[Heredoc, ...] = ()


@record
class Entrypoint(CommandLine):
    heredocs: tuple[Heredoc, ...] = ()


@record
class Transfer(Command):
    """What COPY and ADD share. `sources` are in order; inline files come beside them."""

    sources: tuple[str, ...]
    dest: str
    inline: tuple[InlineFile, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@record
class Copy(Transfer):
    from_: str = ""
    """Name or number of a stage, an image, or a named context; "" is the build context."""
    parents: bool = False


@record
class Add(Transfer):
    checksum: str = ""
    keep_git_dir: bool | None = None
    """None when the flag is not given: Docker leaves .git out."""
    unpack: bool | None = None
    """None when the flag is not given: local tars are unpacked, remote ones are not."""


@record
class Workdir(Command):
    path: str


@record
class User(Command):
    user: str


@record
class Expose(Command):
    ports: tuple[str, ...]
    """Sorted words; values.exposed_ports() gives the ports after expansion."""


@record
class Volume(Command):
    volumes: tuple[str, ...]


@record
class Shell(Command):
    shell: tuple[str, ...]


@record
class StopSignal(Command):
    signal: str


@record
class Healthcheck(Command):
    """Times are nanoseconds; 0 means that Docker's default holds."""

    test: tuple[str, ...]
    """("NONE",), ("CMD", word...) or ("CMD-SHELL", text)."""
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def config(self) -> dict[str, object]:
        """The `Healthcheck` document of an image config; fields that are 0 are left out, as Docker does."""
        fields = {
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "StartInterval": self.start_interval,
            "Retries": self.retries,
        }
        return {"Test": list(self.test), **{key: value for key, value in fields.items() if value}}


@record
class Onbuild(Command):
    expression: str
    """The text kept in the image's config, here-documents included."""
    trigger: Instruction
    """The same, parsed. Docker checks its words only in the build that pulls the trigger: decode.decode_trigger()."""


@record
class Maintainer(Command):
    maintainer: str
