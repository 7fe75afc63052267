"""What the Dockerfile language has and this builder does not do yet: refused with its line before anything happens. Pure."""

from __future__ import annotations

from boxship.build.dockerfile import commands
from boxship.build.rules import is_git_source
from boxship.errors import DockerfileError
from boxship.oci.platform import Platform, host


def check(command: commands.Command) -> None:
    """Raises DockerfileError that says "not supported yet" and names the flag."""
    for flag in _unsupported(command):
        raise DockerfileError(
            f"{command.name} {flag} is not supported yet",
            line=command.line,
            text=command.source,
            hint="write the step without it; nothing has been built",
        )


def _unsupported(command: commands.Command) -> list[str]:
    if isinstance(command, commands.Run):
        return _run(command)
    if not isinstance(command, commands.Transfer):
        return []
    found = [flag for flag, given in (("--link", command.link), ("--exclude", command.exclude)) if given]
    if isinstance(command, commands.Copy) and command.parents:
        found.append("--parents")
    if isinstance(command, commands.Add):
        found += ["--checksum"] if command.checksum else []
        found += ["--keep-git-dir"] if command.keep_git_dir is not None else []
        found += ["--unpack"] if command.unpack is not None else []
        found += [f"of a git repository ({source})" for source in command.sources if is_git_source(source)]
    return found


def _run(command: commands.Run) -> list[str]:
    found = ["--mount"] if command.mounts else []
    found += [f"--network={command.network}"] if command.network != "default" else []
    found += [f"--security={command.security}"] if command.security != "sandbox" else []
    return found + (["--device"] if command.devices else [])


def check_platform(text: str, command: commands.From) -> None:
    """FROM --platform, expanded: only the machine's own. Raises DockerfileError."""
    wanted, own = Platform.parse(text).with_defaults(), host()
    if (wanted.os, wanted.architecture) != (own.os, own.architecture) or wanted.variant not in ("", own.variant):
        raise DockerfileError(
            f"FROM --platform={text} is not supported yet: this machine is {host()}",
            line=command.line,
            text=command.source,
            hint="build on a machine of that platform",
        )
