"""-v, --tmpfs, --volumes-from and mount objects by the tables."""

import os

import pytest

from boxship.errors import InvalidArgument
from boxship.volumes import mounts
from tests.tables import rows


def refuses(want, call):
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert want in str(caught.value)


@pytest.mark.parametrize("row", rows("volumes/short_spec"))
def test_short_spec(row):
    want = row["expect"]
    if "error" in want:
        refuses(want["error"], lambda: mounts.parse_short(row["spec"]))
        return
    got = mounts.parse_short(row["spec"])
    for key, value in want.items():
        if key == "has_source":
            assert ("source" in got) == value
        elif key != "ok":
            assert got[key] == value


@pytest.mark.parametrize("row", rows("volumes/engine_bind_spec"))
def test_engine_bind_spec(row):
    want = row["expect"]
    driver = "" if row["id"].startswith(("ok", "bad")) else row["driver"]
    if "error" in want:
        refuses(want["error"], lambda: mounts.parse_bind(row["bind"], driver))
        return
    point, mount = mounts.parse_bind(row["bind"], driver)
    for key, value in want.get("mount", {}).items():
        assert point[key] == value, key
    if "spec" in want:
        assert mount == want["spec"]


@pytest.mark.parametrize("row", rows("volumes/engine_mount_object"))
def test_engine_mount_object(row, tmp_path):
    def fill(value):
        return value.replace("{existing_dir}", str(tmp_path)) if isinstance(value, str) else value

    mount = {key: fill(value) for key, value in row["mount"].items()}
    want = row["expect"]
    if "error" in want:
        refuses(want["error"], lambda: mounts.parse_mount(mount, os.path.exists))
        return
    point = mounts.parse_mount(mount, os.path.exists)
    for key, value in want.get("mount", {}).items():
        assert point[key] == fill(value), key


@pytest.mark.parametrize("row", rows("volumes/volumes_from"))
def test_volumes_from(row):
    want = row["expect"]
    if "error" in want:
        refuses(want["error"], lambda: mounts.volumes_from(row["spec"]))
    else:
        assert mounts.volumes_from(row["spec"]) == (want["container"], want["mode"])


@pytest.mark.parametrize("row", rows("volumes/tmpfs_options"))
def test_tmpfs_options_object(row):
    want = row["expect"]
    if "error" in want:
        refuses(want["error"], lambda: mounts.tmpfs_data(row["options"], row["read_only"]))
        return
    words = mounts.tmpfs_data(row["options"], row["read_only"]).split(",")
    assert not set(want["contains"]) - set(words)
    assert not set(want["lacks"]) & set(words)


@pytest.mark.parametrize("row", rows("volumes/subpath_inside"))
def test_inside(row):
    """`clean` decides: what is cleaned and begins with the base lies in it."""
    path = mounts.clean(row["path"]) if row["path"].startswith("/") else row["path"]
    assert (path == row["base"] or path.startswith(row["base"] + "/")) == row["expect"]["inside"]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ("", ["noexec", "nosuid", "nodev"]),
        ("exec,size=64m", ["nosuid", "nodev", "exec", "size=64m"]),
        ("size=1m,size=2m,mode=1777", ["noexec", "nosuid", "nodev", "size=2m", "mode=1777"]),
        ("rw,ro", ["noexec", "nosuid", "nodev", "ro"]),
    ],
)
def test_tmpfs_defaults_and_overrides(options, want):
    assert mounts.tmpfs_options(options) == want


@pytest.mark.parametrize("options", ["badopt", "size", "lowerdir=/etc", "mode=1777,suid=1"])
def test_tmpfs_refuses(options):
    with pytest.raises(InvalidArgument, match="invalid tmpfs option"):
        mounts.tmpfs_options(options)


def test_tmpfs_value():
    assert mounts.parse_tmpfs("/run:rw,size=1m") == ("/run", "rw,size=1m")
    assert mounts.parse_tmpfs("/run") == ("/run", "")


@pytest.mark.parametrize(("path", "want"), [("/a//b/./c/", "/a/b/c"), ("/../../etc", "/etc"), ("/", "/"), ("/a/../..", "/")])
def test_clean(path, want):
    assert mounts.clean(path) == want


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/tmp:/", "destination can't be '/'"),
        ("/tmp:/x/..", "destination can't be '/'"),
        ("/tmp:/b:zz", "invalid mode: zz"),
        ("/tmp:/b:ro,rw", "invalid mode: ro,rw"),
        ("/tmp:/b:nocopy", "field VolumeOptions must not be specified"),
        ("x", "invalid volume specification: 'x': invalid mount config for type \"volume\": invalid mount path: 'x' mount path must be absolute"),
        ("/a:b", "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"),
    ],
)
def test_bind_refusals(spec, message):
    refuses(message, lambda: mounts.parse_bind(spec))


def test_light_imports():
    import subprocess
    import sys
    from pathlib import Path

    code = "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); from boxship.volumes import mounts; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(Path(mounts.__file__).parents[2])], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['boxship', 'boxship.errors', 'boxship.volumes', 'boxship.volumes.mounts']"
