"""The local driver: names, options, directories."""

import os

import pytest

from boxship.errors import BoxshipError, InvalidArgument, Unsupported
from boxship.volumes import local
from tests.tables import rows


@pytest.mark.parametrize("row", rows("volumes/local_driver"))
def test_table(row, tmp_path):
    want, kind = row["expect"], row["kind"]
    if kind == "o_addr":
        assert local.option(row["o"], "addr") == want["value"]
    elif kind == "o_password":
        assert local.option(row["o"], "password") == want["value"]
    elif kind == "mount":
        lookup = lambda name: "1.2.3.4" if name == "example.com" else name  # noqa: E731
        assert local.mount_source(row["type"], row["device"], row["o"], lookup) == (want["device"], want["o"])
    elif "error" in want:
        with pytest.raises(BoxshipError) as caught:
            local.create(str(tmp_path / "v"), row["name"], row["options"])
        assert want["error"] in str(caught.value)
        assert not (tmp_path / "v").exists()
    else:
        where = local.create(str(tmp_path / "v"), row["name"], row["options"])
        assert os.path.isdir(where)


def test_directories(tmp_path):
    volumes = str(tmp_path / "volumes")
    where = local.create(volumes, "data")
    assert where == f"{volumes}/data/_data" == local.mountpoint(volumes, "data")
    assert [os.stat(path).st_mode & 0o777 for path in (volumes, f"{volumes}/data", where)] == [0o711, 0o711, 0o755]
    open(f"{where}/kept", "w").close()
    assert local.create(volumes, "data") == where
    assert os.listdir(where) == ["kept"]
    local.remove(volumes, "data")
    local.remove(volumes, "data")
    assert os.listdir(volumes) == []


def test_remove_never_leaves_the_directory(tmp_path):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("x")
    where = local.create(str(tmp_path / "v"), "aa")
    os.symlink(canary, f"{where}/link")
    for name in ("..", "../canary", "a/../../canary", ""):
        with pytest.raises(InvalidArgument):
            local.remove(str(tmp_path / "v"), name)
    local.remove(str(tmp_path / "v"), "aa")
    assert (canary / "file").exists()


def test_size_needs_quotas():
    with pytest.raises(Unsupported, match="quota size requested but no quota support"):
        local.check_options({"size": "10g"})


def test_document():
    assert local.document("/v", "n1", 1_700_000_000_000_000_000, {}, {"type": "tmpfs"}) == {
        "CreatedAt": "2023-11-14T22:13:20Z",
        "Driver": "local",
        "Labels": None,
        "Mountpoint": "/v/n1/_data",
        "Name": "n1",
        "Options": {"type": "tmpfs"},
        "Scope": "local",
    }


def test_password_is_masked():
    assert local.masked("username=a,password=Tr0ub4dor&3,addr=1") == "username=a,password=********,addr=1"
    assert local.masked("ro") == "ro"
