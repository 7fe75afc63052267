# ruff: noqa: E501  prose
"""configuration.md: boxship.toml, environment variables, paths. What the code reads is found in its syntax trees.

The words stand here; that they name neither less nor more than what is read is checked when the page is made.
"""

import ast
import inspect
import pathlib
import textwrap
from collections.abc import Iterator, Set

from boxship import config
from boxship.engine.logdrivers import json_file
from boxship.network import bridge
from refpages.text import block, code, document, table

_POOLS = list(bridge._pools())
_MIB = 1 << 20

# section, key: value, default, meaning
KEYS = {
    ("registry", "mirrors"): (
        "list of URLs",
        "none",
        "asked in this order for pulls of that registry's images, then the registry itself",
    ),
    ("registry", "insecure"): (
        "true or false",
        "false (127.0.0.0/8, ::1 and localhost: true)",
        'TLS without verification, then plain HTTP. The table\'s name may be a network: `[registry."10.0.0.0/8"]`',
    ),
    ("network", "subnet"): (
        "text, /8 to /29",
        f"the first free one of {_POOLS[0]} … {_POOLS[-1]}",
        "of the default bridge. Chosen when the first container needs it, then kept in the store",
    ),
    ("log", "max-size"): (
        'text such as "10m"',
        f"{json_file.MAX_SIZE // _MIB} MiB",
        "a container's log is put aside and begun anew when it has grown past this; 0: never",
    ),
    ("log", "max-file"): ("number", str(json_file.MAX_FILES), "how many files of a log are kept, the current one included"),
}

# name: meaning
VARIABLES = {
    "BOXSHIP_ROOT": "the store, an absolute path; the flag `--root` is stronger",
    "BOXSHIP_RUN": "sockets and locks of that store, instead of a folder of its own below /run/boxship",
    "BOXSHIP_CONFIG": "the settings file; it must exist when it is named here",
    "DOCKER_CONFIG": "the folder of config.json (credentials, psFormat, imagesFormat); the flag `--config` is stronger",
    "DOCKER_AUTH_CONFIG": "credentials as the text of a config.json, used before those of the file",
    "BUILDKIT_PROGRESS": "how build shows progress when `--progress` is not given",
    "SSL_CERT_FILE": "the certificates by which registries are verified",
    "SOURCE_DATE_EPOCH": "bootstrap: the date of the image and its files; otherwise that of the newest Release file of the mirror",
    "TERM": "`dumb`: build prints plain progress",
    "HOME": "where .docker is looked for",
}
# read by a name that is put together, or passed on
INDIRECT = {
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": "also in small letters: how registries and the URLs of ADD are reached",
    "TZ": "passed on to the process that starts containers",
    "PIP_*": "bootstrap `--stand-in`: pip's settings for the image; over those of the host's pip.conf",
}
# not for users: how the launcher names the program; what tells a CGI program; a container's own, not ours
_INTERNAL = frozenset(("BOXSHIP_ARGV0", "REQUEST_METHOD"))
_ENVIRONMENTS = frozenset(("os.environ", "environment"))


def page(source: pathlib.Path) -> str:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(source.rglob("*.py"))]
    _same("boxship.toml", set(KEYS), set(settings_read(trees)))
    _same("the environment", set(VARIABLES), set(variables_read(trees)) - _INTERNAL)
    rows = [(code(f"[{section}]"), code(key), *words) for (section, key), words in KEYS.items()]
    return document(
        "Configuration",
        "Nothing needs to be configured. This is what can be.",
        "## boxship.toml",
        "`/etc/boxship/boxship.toml`, or the file that `BOXSHIP_CONFIG` names. An example with every key:",
        block(_example(), "toml"),
        table(("table", "key", "value", "default", "meaning"), rows),
        'In `[registry."NAME"]` the name is that of the registry as it stands in image names: `docker.io`, `registry.lan:5000`.',
        "## Environment variables",
        table(("variable", "meaning"), [(code(name), text) for name, text in sorted({**VARIABLES, **INDIRECT}.items())]),
        "## Paths",
        table(("path", "what", "changed by"), _paths()),
        _certificates(),
    )


def _example() -> str:
    """The indented block of config.py's docstring that begins with a table of TOML."""
    text = inspect.getdoc(config) or ""
    return textwrap.dedent(text[text.index("    [registry") :])


def _paths() -> list[tuple[str, str, str]]:
    store = config.Paths("ROOT", "RUN")
    rows = [
        ("/var/lib/boxship", "the store, called ROOT below", "`--root`, `BOXSHIP_ROOT`"),
        ("/run/boxship/HASH", "run-time state, called RUN below; gone after a reboot", "`BOXSHIP_RUN`"),
        ("/etc/boxship/boxship.toml", "settings", "`BOXSHIP_CONFIG`"),
        ("~/.docker/config.json", "credentials, shared with docker", "`--config`, `DOCKER_CONFIG`"),
    ]
    for name, attribute in inspect.getmembers(config.Paths, lambda one: isinstance(one, property)):
        about = " ".join(
            (
                attribute.__doc__
                or {
                    "db": "The database",
                    "containers": "One folder for each container",
                    "volumes": "One folder for each volume",
                    "fork_socket": "The process that starts containers listens here",
                }[name]
            ).split()
        )
        rows.append((str(getattr(store, name)), about.rstrip("."), ""))
    return [(code(path), what, by) for path, what, by in rows]


def _certificates() -> str:
    return (
        "Certificates of a registry of your own go to `/etc/docker/certs.d/HOST:PORT/` (`*.crt` to verify it; `*.cert` with `*.key` to "
        "identify yourself), where docker looks for them too."
    )


def _same(what: str, told: "Set[object]", read: "Set[object]") -> None:
    if told != read:
        parts = [f"{what}: what the code reads and what scripts/refpages/configuration.py tells are different"]
        parts += [f"not told: {one}" for one in sorted(map(str, read - told))]
        parts += [f"not read: {one}" for one in sorted(map(str, told - read))]
        raise SystemExit("\n".join(parts))


def variables_read(trees: list[ast.Module]) -> Iterator[str]:
    """Names of environment variables that stand as texts where the environment is read."""
    for tree in trees:
        for node in ast.walk(tree):
            key = _key_of(node)
            if key and ast.unparse(key[0]) in _ENVIRONMENTS and key[1].isupper():
                yield key[1]


def settings_read(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    """(table, key) of boxship.toml: keys that are read from what came out of the settings."""
    for tree in trees:
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        # a function that returns one of the tables, such as _section()
        makers = {one.name: table_ for one in functions for table_ in _tables(one, {}).values() if _returns(one)}
        for one in functions:
            known = _tables(one, makers)
            for node in ast.walk(one):
                key = _key_of(node)
                section = key and _table_in(key[0], known)
                if key and section and key[1] != section and key[1].replace("-", "").isalpha():
                    yield section, key[1]


def _tables(function: ast.FunctionDef, makers: dict[str, str]) -> dict[str, str]:
    """Name in this function: the table of the settings that it holds (or a part of it)."""
    known = dict(makers)
    for node in ast.walk(function):
        targets, value = _assigned(node)
        found = value is not None and _table_in(value, known)
        if found:
            known.update((name, found) for name in targets)
    return known


def _assigned(node: ast.AST) -> tuple[list[str], ast.expr | None]:
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)], node.value
    if isinstance(node, ast.For):
        return [name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)], node.iter
    return [], None


def _table_in(value: ast.expr, known: dict[str, str]) -> str:
    """The table that an expression is, or is taken out of; "" for what is put together from several things."""
    if isinstance(value, ast.IfExp):
        return _table_in(value.body, known)
    key = _key_of(value)
    if key and ast.unparse(key[0]) in ("settings", "store.settings", "self._settings"):
        return key[1]
    if isinstance(value, ast.Name):
        return known.get(value.id, "")
    if isinstance(value, ast.Call):
        return _table_in(value.func, known)
    return _table_in(value.value, known) if isinstance(value, ast.Attribute | ast.Subscript) else ""


def _returns(function: ast.FunctionDef) -> bool:
    known = _tables(function, {})
    return any(
        isinstance(node, ast.Return) and isinstance(node.value, ast.Name) and node.value.id in known for node in ast.walk(function)
    )


def _key_of(node: ast.AST) -> tuple[ast.expr, str] | None:
    """x["k"], x.get("k"), x.pop("k"), "k" in x: (x, k)."""
    base: ast.expr | None = None
    key: ast.expr | None = None
    if isinstance(node, ast.Subscript):
        base, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop") and node.args:
        base, key = node.func.value, node.args[0]
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
        base, key = node.comparators[0], node.left
    if base is None or not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return None
    return base, key.value
