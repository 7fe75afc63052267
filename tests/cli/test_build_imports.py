"""What a build imports that finds everything in its cache: most of its time would be imports."""

import os
import pathlib
import subprocess
import sys

import pytest

from boxship.build.ops.run import Request
from boxship.config import Paths
from boxship.engine import build as engine
from boxship.engine.store import Store
from boxship.images import store as images
from boxship.state import db as database

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"
PROBE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from boxship.cli.main import run
code = run(sys.argv[1:], "boxship")
print("\\n".join(sorted(sys.modules)))
sys.exit(code)
"""
# each costs 1-20 ms; build has a cheap way for what they are used for
BANNED = set(
    "argparse base64 calendar collections concurrent.futures contextlib copy ctypes dataclasses datetime email enum fractions functools "
    "_hashlib hashlib inspect ipaddress json logging pathlib random re secrets shutil signal socket ssl subprocess tempfile textwrap "
    "threading types typing urllib urllib.parse zlib".split()
)
# what only a step that is done needs
LATER = set(
    "boxship.build.fetch boxship.build.gitref boxship.build.ops.copy boxship.build.ops.run boxship.build.upper boxship.content.store "
    "boxship.engine.client boxship.engine.images boxship.engine.task boxship.layers.apply boxship.layers.diff boxship.oci.manifest".split()
)
STEPS = "FROM base\n" + "".join(f"RUN echo {number} > /f{number}\n" for number in range(10))
MANY = """FROM base AS one
ARG WORD=first
ENV PLACE=/srv WORD=$WORD
LABEL a=b c="d e"
WORKDIR ${PLACE}/app
COPY --chown=1:2 --chmod=644 . ./
RUN ["/bin/true", "exec form"]
RUN <<EOF
echo here
EOF
EXPOSE 80 443/tcp
VOLUME ["/data"]
USER 1000
HEALTHCHECK --interval=1m30s CMD /bin/true
STOPSIGNAL SIGTERM
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["/bin/app"]
CMD ["--serve"]
"""


class _Runner:
    """Stands for the engine's: the steps need not really run to be in the cache."""

    def __init__(self, store: Store) -> None:
        pass

    def __call__(self, request: Request, *_: object) -> int:
        pathlib.Path(request.upper, f"made-{len(request.lowers)}").touch()
        return 0

    def __enter__(self) -> "_Runner":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def root(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A directory with a store that has the image `base`, and with a context."""
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    store = Store(paths, database.connect(paths))
    layer = pathlib.Path(paths.tmp) / "layer"
    (layer / "bin").mkdir(parents=True)
    made = images.add_built_layer(store, str(layer), None)
    rootfs = {"type": "layers", "diff_ids": [made.diff_id]}
    config = {"Env": ["PATH=/bin"], "Cmd": ["sh"]}
    images.put_built(
        store, {"architecture": _architecture(), "os": "linux", "config": config, "rootfs": rootfs}, ["docker.io/library/base:latest"]
    )
    context = tmp_path / "context"
    (context / "sub").mkdir(parents=True)
    (context / "sub/file").write_text("x")
    (context / "x.pyc").write_text("x")
    (context / ".dockerignore").write_text("*.pyc\n**/*.o\n.git\nbuild/**\n")
    monkeypatch.setattr(engine, "Runner", _Runner)
    return tmp_path


def _architecture() -> str:
    from boxship.oci.platform import host

    return host().architecture


@pytest.mark.skipif(os.geteuid() != 0, reason="COPY --chown needs root")
@pytest.mark.parametrize("dockerfile", [STEPS, MANY], ids=["steps", "many"])
def test_a_cached_build_is_frugal(dockerfile: str, root: pathlib.Path) -> None:
    (root / "context/Dockerfile").write_text(dockerfile)
    paths = Paths(str(root / "store"), str(root / "run"))
    store = Store(paths, database.connect(paths))
    image_id = engine.build(store, engine.BuildOptions(str(root / "context"), tags=["made"]), lambda event: None)
    # a file's stamp counts once it is older than the clock's doubt: as if this had been a while ago
    store.db.execute("UPDATE context_files SET hashed = hashed + 10000000000")
    store.db.close()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE, str(SRC), "--root", str(root / "store"), "build", "-t", "made", str(root / "context")],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "BOXSHIP_RUN": str(root / "run")},
    )
    assert done.returncode == 0, done.stderr
    assert f"writing image {image_id} done" in done.stderr
    steps = sum(line.startswith(("RUN", "COPY", "WORKDIR")) for line in dockerfile.splitlines())
    assert done.stderr.count(" CACHED\n") == steps
    loaded = set(done.stdout.splitlines())
    assert "boxship.engine.build" in loaded
    assert not loaded & (BANNED | LATER)
