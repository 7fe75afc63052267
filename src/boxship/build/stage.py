"""One stage while it is planned: its environment, its image config, its history, and where its file system stands.

Each handler takes a decoded command and changes the state as BuildKit's frontend does; commands that touch the file
system add a vertex through `add`. Pure.
"""

from __future__ import annotations

from boxship.build import graph, names, rules
from boxship.build.dockerfile import commands, values, words
from boxship.build.dockerfile.heredoc import parse_heredoc
from boxship.build.record import record
from boxship.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHELL = ["/bin/sh", "-c"]


class StageState:
    """`name`: as progress shows it, "" in a Dockerfile of one stage. `env`: ENV and ARG together, the later wins.

    `args`: names of ARG in this stage, in order, which RUN's history shows.
    """

    def __init__(self, name: str, env: dict[str, str], config: dict[str, Any], vertex: int | None = None) -> None:
        self.name = name
        self.env = env
        self.config = config
        self.vertex = vertex
        self.base: graph.BaseImage | None = None
        self.author = ""
        self.history: list[graph.HistoryStep] = []
        self.args: list[str] = []
        self.cmd_set = False
        self.total = 0
        self.index = 0

    def child(self, name: str) -> StageState:
        """The state in which a stage FROM this one begins: ARG values stay visible, as they do in Docker."""
        made = StageState(name, dict(self.env), _copied(self.config), self.vertex)
        made.base, made.author = self.base, self.author
        made.history, made.args = list(self.history), list(self.args)
        return made

    def label(self, text: str, onbuild: bool = False) -> str:
        """"[stage 2/4] text", counting up."""
        if not self.total:
            return text
        self.index += 1
        where = f"{self.name} " if self.name else ""
        width = len(str(self.total))
        return f"[{where}{self.index:>{width}}/{self.total}] {'ONBUILD ' if onbuild else ''}{text}"

    def note(self, created_by: str, vertex: int | None = None) -> None:
        self.history.append(graph.HistoryStep(created_by + (" # buildkit" if vertex is not None else ""), vertex))


@record
class Scope:
    """What the handlers need from the planner besides the state."""

    global_args: Mapping[str, str]
    build_args: Mapping[str, str]
    proxies: tuple[str, ...]
    escape: str
    add: Callable[..., int]
    """(state, op, parent, inputs, name, command) -> index of the new vertex."""
    tree: Callable[[commands.Copy], int | None]
    """What COPY --from means: a vertex, graph.EMPTY, or None for the build context."""


def scratch(name: str) -> StageState:
    return StageState(name, _environment([DEFAULT_PATH]), {"Env": [DEFAULT_PATH], "WorkingDir": "/"})


def from_image(name: str, image: graph.BaseImage) -> StageState:
    config = _copied(dict(image.config.get("config") or {}))
    env = list(config.get("Env") or [])
    if not any(entry.partition("=")[0] == "PATH" for entry in env):
        env.append(DEFAULT_PATH)
    config["Env"] = env
    state = StageState(name, _environment(env), config)
    state.base, state.author = image, str(image.config.get("author") or "")
    return state


def _copied(value: Any) -> Any:
    """A document of its own."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _environment(entries: list[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        env[key] = value
    return env


def _set(env: dict[str, str], key: str, value: str) -> None:
    env.pop(key, None)
    env[key] = value


def dispatch(state: StageState, command: commands.Command, scope: Scope, onbuild: bool = False) -> None:
    """Apply one command. Raises DockerfileError with its line."""
    handler = _HANDLERS[type(command)]
    try:
        handler(state, command, scope, onbuild)
    except DockerfileError as error:
        if error.line:
            raise
        raise DockerfileError(error.message, line=command.line, text=command.source, hint=error.hint) from None


def _word(state: StageState, text: str, scope: Scope) -> str:
    return words.expand(text, state.env, escape=scope.escape)


def _env(state: StageState, command: commands.Env, scope: Scope, onbuild: bool) -> None:
    pairs = [(_word(state, pair.name, scope), _word(state, pair.value, scope)) for pair in command.pairs]
    entries: list[str] = state.config.setdefault("Env", [])
    for key, value in pairs:
        _set(state.env, key, value)
        for position, entry in enumerate(entries):
            if entry.partition("=")[0] == key:
                entries[position] = f"{key}={value}"
                break
        else:
            entries.append(f"{key}={value}")
    state.note("ENV " + " ".join(f"{key}={value}" for key, value in pairs))


def _arg(state: StageState, command: commands.Arg, scope: Scope, onbuild: bool) -> None:
    shown = []
    for pair in command.pairs:
        value = pair.value
        if pair.name in scope.build_args:
            value = scope.build_args[pair.name]
        elif value is None:
            value = scope.global_args.get(pair.name)
        else:
            value = _word(state, value, scope)
        if value is not None:
            _set(state.env, pair.name, value)
        state.args.append(pair.name)
        shown.append(pair.name if value is None else f"{pair.name}={value}")
    state.note("ARG " + " ".join(shown))


def _label(state: StageState, command: commands.Label, scope: Scope, onbuild: bool) -> None:
    pairs = [(_word(state, pair.name, scope), _word(state, pair.value, scope)) for pair in command.pairs]
    labels = state.config.get("Labels") or {}
    state.config["Labels"] = {**labels, **dict(pairs)}
    state.note("LABEL " + " ".join(f"{key}={value}" for key, value in pairs))


def _with_shell(state: StageState, command: commands.CommandLine) -> list[str]:
    if not command.shell:
        return list(command.command)
    return [*(state.config.get("Shell") or _SHELL), " ".join(command.command)]


def _run(state: StageState, command: commands.Run, scope: Scope, onbuild: bool) -> None:
    argv, script, summary = _process(state, command)
    op = graph.RunProcess(
        tuple(argv),
        tuple(f"{key}={value}" for key, value in state.env.items()),
        str(state.config.get("WorkingDir") or "/"),
        str(state.config.get("User") or ""),
        script,
        scope.proxies,
        scope.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
    )
    name = names.run(command, state.env, scope.escape, summary)
    state.vertex = scope.add(state, op, state.vertex, (), state.label(name, onbuild), command)
    arguments: dict[str, str] = {key: state.env.get(key, "") for key in state.args}
    prefix = [f"|{len(arguments)}", *(f"{key}={value}" for key, value in arguments.items())] if arguments else []
    state.note("RUN " + " ".join([*prefix, *argv]), state.vertex)


def _process(state: StageState, command: commands.Run) -> tuple[list[str], graph.Script | None, str]:
    """(argv, script mounted beside it, what the progress line says about the here-document)."""
    documents = command.heredocs
    if not documents or not command.shell:
        return _with_shell(state, command), None, ""
    text = " ".join(command.command)
    shell = list(state.config.get("Shell") or _SHELL)
    first = documents[0]
    if parse_heredoc(text) is None:
        bodies = "".join(f"\n{document.content}{document.name}" for document in documents)
        return [*shell, text + bodies], None, ""
    lines = first.content.strip().splitlines() or [""]
    summary = lines[0] + ("..." if len(lines) > 1 else "")
    if first.text.startswith("#!"):
        return [*shell, f"/dev/pipes/{first.name}"], graph.Script(first.name, first.text), summary
    return [*shell, first.text], None, summary


def _workdir(state: StageState, command: commands.Workdir, scope: Scope, onbuild: bool) -> None:
    path = values.workdir(str(state.config.get("WorkingDir") or ""), _word(state, command.path, scope))
    state.config["WorkingDir"] = path
    if path == "/":
        state.note("WORKDIR /")
        return
    op = graph.MakeDirectory(path, str(state.config.get("User") or ""))
    name = state.label(names.shown(command, state.env, scope.escape), onbuild)
    state.vertex = scope.add(state, op, state.vertex, (), name, command)
    # BuildKit's frontend gives this entry no "# buildkit"
    state.history.append(graph.HistoryStep(f"WORKDIR {path}", state.vertex))


def _transfer(state: StageState, command: commands.Transfer, scope: Scope, onbuild: bool) -> None:
    add = isinstance(command, commands.Add)
    keyword = "ADD" if add else "COPY"
    chown = _word(state, command.chown, scope)
    chmod = _word(state, command.chmod, scope)
    paths = [_word(state, source, scope) for source in command.sources]
    dest = _word(state, command.dest, scope)
    tree = scope.tree(command) if isinstance(command, commands.Copy) else None
    sources: list[graph.Source] = [rules.source(path, tree, add) for path in paths]
    for file in command.inline:
        data = words.expand(file.data, state.env, quotes=False) if file.expand else file.data
        sources.append(graph.InlineSource(file.path, data))
    where = rules.destination(str(state.config.get("WorkingDir") or "/"), dest)
    op = graph.CopyFiles(tuple(sources), where, chown, rules.chmod(chmod), add)
    inputs = (tree,) if tree is not None and tree >= 0 else ()
    name = state.label(names.shown(command, state.env, scope.escape), onbuild)
    state.vertex = scope.add(state, op, state.vertex, inputs, name, command)
    flags = [f"--chown={chown}"] if chown else []
    flags += [f"--chmod={chmod}"] if chmod else []
    shown = [*flags, *paths, *(f"<<{file.path}" for file in command.inline), dest]
    state.note(f"{keyword} {' '.join(shown)}", state.vertex)


def _cmd(state: StageState, command: commands.Cmd, scope: Scope, onbuild: bool) -> None:
    state.config["Cmd"] = _with_shell(state, command)
    state.cmd_set = True
    state.note(f"CMD {names.quoted(state.config['Cmd'])}")


def _entrypoint(state: StageState, command: commands.Entrypoint, scope: Scope, onbuild: bool) -> None:
    state.config["Entrypoint"] = _with_shell(state, command)
    if not state.cmd_set:
        state.config.pop("Cmd", None)
    state.note(f"ENTRYPOINT {names.quoted(state.config['Entrypoint'])}")


def _user(state: StageState, command: commands.User, scope: Scope, onbuild: bool) -> None:
    state.config["User"] = _word(state, command.user, scope)
    state.note(f"USER {state.config['User']}")


def _expose(state: StageState, command: commands.Expose, scope: Scope, onbuild: bool) -> None:
    texts = [word for port in command.ports for word in words.expand_words(port, state.env, escape=scope.escape)]
    ports = values.exposed_ports(texts)
    state.config["ExposedPorts"] = {**(state.config.get("ExposedPorts") or {}), **{port: {} for port in ports}}
    # as Go prints the set of ports
    state.note("EXPOSE map[" + " ".join(f"{port}:{{}}" for port in sorted(set(ports))) + "]")


def _volume(state: StageState, command: commands.Volume, scope: Scope, onbuild: bool) -> None:
    volumes = [_word(state, volume, scope) for volume in command.volumes]
    if "" in volumes:
        raise DockerfileError("VOLUME specified can not be an empty string", line=command.line, text=command.source)
    state.config["Volumes"] = {**(state.config.get("Volumes") or {}), **{volume: {} for volume in volumes}}
    state.note(f"VOLUME [{' '.join(volumes)}]")


def _shell(state: StageState, command: commands.Shell, scope: Scope, onbuild: bool) -> None:
    state.config["Shell"] = list(command.shell)
    state.note(f"SHELL [{' '.join(command.shell)}]")


def _stop_signal(state: StageState, command: commands.StopSignal, scope: Scope, onbuild: bool) -> None:
    state.config["StopSignal"] = rules.signal(_word(state, command.signal, scope))
    state.note(f"STOPSIGNAL {state.config['StopSignal']}")


def _healthcheck(state: StageState, command: commands.Healthcheck, scope: Scope, onbuild: bool) -> None:
    state.config["Healthcheck"] = command.config()
    state.note(f"HEALTHCHECK {names.healthcheck(command)}")


def _onbuild(state: StageState, command: commands.Onbuild, scope: Scope, onbuild: bool) -> None:
    # no history entry: BuildKit makes none
    state.config["OnBuild"] = [*(state.config.get("OnBuild") or []), command.expression]


def _maintainer(state: StageState, command: commands.Maintainer, scope: Scope, onbuild: bool) -> None:
    state.author = command.maintainer
    state.note(f"MAINTAINER {command.maintainer}")


_HANDLERS: dict[type[commands.Command], Callable[..., None]] = {
    commands.Env: _env,
    commands.Arg: _arg,
    commands.Label: _label,
    commands.Run: _run,
    commands.Workdir: _workdir,
    commands.Copy: _transfer,
    commands.Add: _transfer,
    commands.Cmd: _cmd,
    commands.Entrypoint: _entrypoint,
    commands.User: _user,
    commands.Expose: _expose,
    commands.Volume: _volume,
    commands.Shell: _shell,
    commands.StopSignal: _stop_signal,
    commands.Healthcheck: _healthcheck,
    commands.Onbuild: _onbuild,
    commands.Maintainer: _maintainer,
}
