# ruff: noqa: E501  prose
"""dockerfile.md: each instruction and flag, put through the parser, the decoder and the function that refuses."""

from boxship.build import refuse
from boxship.build.dockerfile import decode
from boxship.build.dockerfile.flags import Value
from boxship.build.dockerfile.parser import NAMES, parse
from boxship.engine import images
from boxship.errors import DockerfileError
from refpages.text import block, code, codes, document, table

# instruction: (an example, what it does)
INSTRUCTIONS = {
    "FROM": ("FROM debian:bookworm AS build", "begins a stage from an image, an earlier stage, or nothing (`scratch`)"),
    "ARG": (
        "ARG VERSION=1.0",
        "a variable of the build; `--build-arg VERSION=2.0` sets it. Before the first FROM: for the FROM lines",
    ),
    "ENV": ("ENV LANG=C.UTF-8", "a variable of the build and of the containers"),
    "RUN": (
        "RUN make install",
        'runs a program; what it changes becomes a layer. Shell form, exec form (`RUN ["make"]`), here-documents',
    ),
    "COPY": (
        "COPY src/ /app/",
        "files of the context, of another stage or of an image (`--from`) into the image; globs, here-documents",
    ),
    "ADD": ("ADD app.tar.gz /app/", "as COPY; local tar archives are unpacked, URLs are fetched"),
    "WORKDIR": ("WORKDIR /app", "where the next instructions and the containers are; made when missing"),
    "USER": ("USER app:staff", "as whom the next RUN steps and the containers run"),
    "SHELL": ('SHELL ["/bin/bash", "-c"]', "what runs the shell forms"),
    "CMD": ('CMD ["python3", "main.py"]', "what a container runs when its command line does not say otherwise"),
    "ENTRYPOINT": ('ENTRYPOINT ["/app/run"]', "what stands before the words of CMD or of the command line"),
    "EXPOSE": ("EXPOSE 80/tcp", "a port that `-P` publishes"),
    "VOLUME": ("VOLUME /data", "a folder that gets an anonymous volume in each container"),
    "LABEL": ('LABEL org.example.team="web"', "metadata"),
    "STOPSIGNAL": ("STOPSIGNAL SIGINT", "what `stop` sends first"),
    "HEALTHCHECK": (
        "HEALTHCHECK --interval=30s CMD wget -q localhost",
        "kept in the image's configuration; containers are not checked yet",
    ),
    "ONBUILD": ("ONBUILD COPY . /app", "kept in the image, carried out when another Dockerfile builds upon it"),
    "MAINTAINER": ("MAINTAINER you@example.org", "the author; a LABEL is better"),
}
# instruction: flag: a value to try it with
VALUES: dict[str, dict[str, str]] = {
    "FROM": {"platform": "linux/s390x"},
    "RUN": {"mount": "type=cache,target=/c", "network": "none", "security": "insecure", "device": "vendor.com/dev=a"},
    "COPY": {"from": "build", "chown": "app:app", "chmod": "755", "link": "", "exclude": "*.md", "parents": ""},
    "ADD": {
        "chown": "app:app",
        "chmod": "755",
        "link": "",
        "keep-git-dir": "true",
        "checksum": f"sha256:{'0' * 64}",
        "unpack": "true",
        "exclude": "*.md",
    },
    "HEALTHCHECK": {"interval": "30s", "timeout": "5s", "start-period": "5s", "start-interval": "1s", "retries": "3"},
}
MEANINGS = {
    "platform": "the machine's own only",
    "from": "a stage, its number, or an image",
    "chown": "owner of what is copied: names or numbers",
    "chmod": "mode of what is copied",
    "interval": "time between checks",
    "timeout": "longest time of one check",
    "start-period": "time to start before failures count",
    "start-interval": "time between checks while starting",
    "retries": "failures in a row until it is unhealthy",
}
_DECLARED: dict[str, "dict[str, Value]"] = {
    "RUN": dict(decode._RUN_FLAGS),
    "COPY": dict(decode._COPY_FLAGS),
    "ADD": dict(decode._ADD_FLAGS),
    "HEALTHCHECK": dict(decode._HEALTH_FLAGS),
    "FROM": {"platform": ""},
}


def page() -> str:
    if set(INSTRUCTIONS) != set(NAMES):
        raise SystemExit(f"scripts/refpages/dockerfile.py tells other instructions: {sorted(set(INSTRUCTIONS) ^ set(NAMES))}")
    for name, declared in _DECLARED.items():
        if set(VALUES[name]) != set(declared):
            raise SystemExit(
                f"scripts/refpages/dockerfile.py tells other flags of {name}: {sorted(set(VALUES[name]) ^ set(declared))}"
            )
    return document(
        "Dockerfile",
        "The whole language is read: directives (`# syntax=`, `# escape=`), comments, continued lines, here-documents, shell and JSON forms, "
        "variables with their operators (`${NAME:-word}`, `${NAME#pattern}`), flags. What is not executed yet is refused "
        "with its line before anything is done; it is never skipped.",
        "## Instructions",
        table(("instruction", "example", "what it does"), [(code(n), code(e), what) for n, (e, what) in INSTRUCTIONS.items()]),
        "## Flags",
        table(("instruction", "flag", "example", ""), [row for name in _DECLARED for row in _flags(name)]),
        "## What a refusal looks like",
        block(_refused("RUN --mount=type=cache,target=/c make")),
        "A git repository as source of ADD is refused so too: "
        + code(_refused("ADD https://example.org/app.git /app").partition("\nhint")[0])
        + ".",
        "## In other places",
        "`boxship import --change` takes "
        + codes(sorted(images._CHANGES))
        + ". The build context is a folder, a tar on standard input (`-`), "
        "or the URL of a tar; `.dockerignore` and `NAME.dockerignore` beside the Dockerfile NAME say what is left out of it.",
        "Steps are cached by content: the [concepts](../concepts/images.md) show it.",
    )


def _flags(name: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for flag in _DECLARED[name]:
        value = VALUES[name][flag]
        text = f"--{flag}={value}" if value else f"--{flag}"
        refused = name != "FROM" and bool(_refused(_line(name, text)))
        rows.append((code(name), code(f"--{flag}"), code(text), "not supported yet" if refused else MEANINGS[flag]))
    return rows


def _line(name: str, flag: str) -> str:
    rest = {"RUN": "true", "HEALTHCHECK": "CMD true"}.get(name, "a b")
    return f"{name} {flag} {rest}"


def _refused(line: str) -> str:
    """What is said about this line of a Dockerfile; "" when it would be carried out."""
    try:
        refuse.check(decode.decode(parse(f"FROM scratch\n{line}\n").instructions[1]))
    except DockerfileError as error:
        if "not supported yet" not in str(error):
            raise
        return f"{error}\nhint: {error.hint}"
    return ""
