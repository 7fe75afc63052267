"""build: an image from a Dockerfile."""

from boxship.cli.flags import BOOL, BYTES, INT, LATER, LIST, STRING, STRINGS, Call, ClientError, Command

COMMAND = Command(
    "[OPTIONS] PATH | URL | -",
    (
        ("add-host", "", LIST, (), "Add a custom host-to-IP mapping (format: host:ip)", LATER),
        ("allow", "", LIST, (), "Allow extra privileged entitlement", LATER),
        ("annotation", "", LIST, (), "Add annotation to the image", LATER),
        ("attest", "", LIST, (), "Attestation parameters", LATER),
        ("build-arg", "", LIST, (), "Set build-time variables"),
        ("build-context", "", LIST, (), "Additional build contexts (e.g., name=path)", LATER),
        ("builder", "", STRING, "", "Override the configured builder instance", LATER),
        ("cache-from", "", LIST, (), "External cache sources", LATER),
        ("cache-to", "", LIST, (), "Cache export destinations", LATER),
        ("call", "", STRING, "", "Set method for evaluating build (check, outline, targets)", LATER),
        ("cgroup-parent", "", STRING, "", "Set the parent cgroup for the RUN instructions", LATER),
        ("check", "", BOOL, False, "Shorthand for --call=check", LATER),
        ("compress", "", BOOL, False, "Compress the build context", LATER),
        ("cpu-period", "", INT, 0, "Limit the CPU period", LATER),
        ("cpu-quota", "", INT, 0, "Limit the CPU quota", LATER),
        ("cpu-shares", "c", INT, 0, "CPU shares (relative weight)", LATER),
        ("cpuset-cpus", "", STRING, "", "CPUs in which to allow execution", LATER),
        ("cpuset-mems", "", STRING, "", "Memory nodes in which to allow execution", LATER),
        ("disable-content-trust", "", BOOL, True, "Skip image verification", LATER),
        ("file", "f", STRING, "", 'Name of the Dockerfile (default: "PATH/Dockerfile")'),
        ("force-rm", "", BOOL, False, "Always remove intermediate containers", LATER),
        ("iidfile", "", STRING, "", "Write the image ID to a file"),
        ("isolation", "", STRING, "", "Container isolation technology", LATER),
        ("label", "", LIST, (), "Set metadata for an image"),
        ("load", "", BOOL, False, "Shorthand for --output=type=docker", LATER),
        ("memory", "m", BYTES, 0, "Memory limit", LATER),
        ("memory-swap", "", BYTES, 0, "Swap limit", LATER),
        ("metadata-file", "", STRING, "", "Write build result metadata to a file", LATER),
        ("network", "", STRING, "default", "Set the networking mode for the RUN instructions during build", LATER),
        ("no-cache", "", BOOL, False, "Do not use cache when building the image"),
        ("no-cache-filter", "", LIST, (), "Do not cache specified stages", LATER),
        ("output", "o", LIST, (), "Output destination (format: type=local,dest=path)", LATER),
        ("platform", "", LIST, (), "Set target platform for build", LATER),
        ("progress", "", STRING, "", "Set type of progress output (auto, plain, tty)"),
        ("provenance", "", STRING, "", "Shorthand for --attest=type=provenance", LATER),
        ("pull", "", BOOL, False, "Always attempt to pull all referenced images"),
        ("push", "", BOOL, False, "Shorthand for --output=type=registry", LATER),
        ("quiet", "q", BOOL, False, "Suppress the build output and print image ID on success"),
        ("rm", "", BOOL, True, "Remove intermediate containers after a successful build", LATER),
        ("sbom", "", STRING, "", "Shorthand for --attest=type=sbom", LATER),
        ("secret", "", LIST, (), "Secret to expose to the build", LATER),
        ("security-opt", "", STRINGS, (), "Security options", LATER),
        ("shm-size", "", BYTES, 0, "Shared memory size for build containers", LATER),
        ("squash", "", BOOL, False, "Squash newly built layers into a single new layer", LATER),
        ("ssh", "", LIST, (), "SSH agent socket or keys to expose to the build", LATER),
        ("tag", "t", LIST, (), "Name and optionally a tag (format: name:tag)"),
        ("target", "", STRING, "", "Set the target build stage to build"),
        ("ulimit", "", LIST, (), "Ulimit options", LATER),
    ),
    least=1,
    most=1,
)

_MODES = ("auto", "plain", "tty")


def main(call: Call) -> int:
    from boxship.cli import buildprogress
    from boxship.cli.streams import out
    from boxship.engine.build import build
    from boxship.errors import BoxshipError

    options = _options(call)
    display = buildprogress.Quiet() if call["quiet"] else buildprogress.choose(_mode(call))
    try:
        with display:
            image_id = build(call.store(), options, display.event)
    except BoxshipError as error:
        raise buildprogress.in_words(error) from None
    if call["iidfile"]:
        _write_id(call["iidfile"], image_id)
    if call["quiet"]:
        out(f"{image_id}\n")
    return 0


def _mode(call: Call) -> str:
    import os

    mode: str = call["progress"] or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if mode in ("quiet", "rawjson", "none"):
        raise ClientError(f"--progress={mode} is not supported yet", hint=f"use {', '.join(_MODES)}, or -q")
    if mode not in _MODES:
        raise ClientError(f"invalid progress mode: {mode}", hint=f"use {', '.join(_MODES)}")
    return mode


def _options(call: Call) -> "BuildOptions":
    import os
    import sys

    from boxship.engine.build import BuildOptions

    args: dict[str, str] = {}
    for text in call["build-arg"]:
        name, equals, value = text.partition("=")
        if not name:
            raise ClientError(f"invalid build argument: {text}", hint="write --build-arg NAME=VALUE")
        if equals:
            args[name] = value
        elif name in os.environ:
            args[name] = os.environ[name]
    labels = dict(text.partition("=")[::2] for text in call["label"])
    return BuildOptions(
        call.args[0],
        call["file"],
        call["tag"],
        args,
        labels,
        call["target"],
        call["no-cache"],
        call["pull"],
        sys.stdin.buffer,
    )


def _write_id(path: str, image_id: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(image_id)
    except OSError as error:
        raise ClientError(f"can't write the image ID: {path}: {(error.strerror or '').lower()}") from None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.engine.build import BuildOptions
