"""Who a container's process is: the image's passwd and group are hostile."""

import pathlib
import tarfile

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root

PASSWD = "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/:/bin/sh\nwell:x:1000:1000::/home:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n"
UID = ("awk", "/^Uid/{print $2}", "/proc/self/status")  # `id` would read the file itself
GROUP = "root:x:0:\n1000:x:0:\nwell:x:1000:\nextra:x:77:well\n"


@pytest.fixture(scope="module")
def image(den: stores.Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    files = {"etc/passwd": attack.file(PASSWD), "etc/group": attack.file(GROUP)}
    return attack.put(den, tmp_path_factory.mktemp("users"), "users", files)


def test_numeric_user_is_never_a_name(den: stores.Store, image: str) -> None:
    """CVE-2016-3697"""
    assert den.run("run", "--rm", "--user", "1000", image, "id", "-u").stdout.strip() == "1000"
    den.run("run", "-d", "--name", "numeric", image, "sleep", "100")
    assert den.run("exec", "-u", "1000", "numeric", "id", "-u").stdout.strip() == "1000"
    assert den.run("exec", "-u", "1000:1000", "numeric", "id", "-g").stdout.strip() == "1000"


@pytest.mark.parametrize("user", ["4294967296", "-1", "4294967295", "2147483648", "0:4294967296", "99999999999999999999999"])
def test_user_ids_do_not_wrap(den: stores.Store, image: str, user: str) -> None:
    """CVE-2024-40635"""
    done = den.run("run", "--rm", f"--user={user}", image, "id", check=False)
    assert done.returncode in (125, 126), done.stdout
    assert "uid=" not in done.stdout
    attack.clean(done.stderr)


def test_supplementary_groups(den: stores.Store, image: str) -> None:
    """CVE-2022-36109"""

    def groups(*flags: str) -> list[str]:
        return den.run("run", "--rm", *flags, image, "id", "-G").stdout.split()

    assert groups("--user", "1000") == ["1000", "77"]
    assert groups("--user", "well") == ["1000", "77"]
    assert groups("--user", "5:6") == ["6"]
    assert groups("--user", "well:root") == ["0"]


def test_capabilities_of_users(den: stores.Store, image: str) -> None:
    """CVE-2016-8867, CVE-2022-24769, CVE-2022-29162"""
    show = ("sh", "-c", "grep Cap /proc/self/status")
    den.run("run", "-d", "--name", "caps", image, "sleep", "100")

    def sets(text: str) -> dict[str, int]:
        return {line.split(":")[0]: int(line.split(":")[1], 16) for line in text.splitlines()}

    for text in (den.run("run", "--rm", "-u", "1000", image, *show).stdout, den.run("exec", "-u", "1000", "caps", *show).stdout,
                 den.run("run", "--rm", "-u", "1000", "--cap-add", "ALL", image, *show).stdout,
                 den.run("exec", "-u", "1000", "--privileged", "caps", *show).stdout):  # fmt: skip
        found = sets(text)
        assert [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0], text
    for text in (den.run("run", "--rm", image, *show).stdout, den.run("exec", "caps", *show).stdout):
        found = sets(text)
        assert found["CapInh"] == found["CapAmb"] == 0
        assert found["CapBnd"] == found["CapEff"] == 0xA80425FB


@pytest.mark.parametrize(
    "passwd",
    [
        attack.link("/../../../../etc/passwd"),
        attack.link("/proc/self/environ"),
        (tarfile.FIFOTYPE, b"", 0o644),
        (tarfile.CHRTYPE, b"1:5", 0o644),
        attack.directory(),
        attack.file(b"x" * (3 << 20)),
        attack.file(b"\0\xff:\n:::\nroot\n\nroot:x\n" * 100),
    ],
    ids=["link out", "link to proc", "fifo", "zero", "directory", "3 MiB", "garbage"],
)
def test_hostile_passwd(den: stores.Store, tmp_path: pathlib.Path, passwd: attack.Entry) -> None:
    """CVE-2024-9676, CVE-2026-47262"""
    image = attack.put(den, tmp_path, "passwd", {"etc/passwd": passwd, "etc/group": passwd})
    done = den.run("run", "--rm", "-u", "12:13", image, *UID, check=False, timeout=20)
    assert done.stdout == "12\n", done.stderr
    done = den.run("run", "--rm", "-u", "daemon", image, *UID, check=False, timeout=20)
    assert done.returncode in (125, 126)
    attack.clean(done.stderr)
    den.run("run", "-d", "--name", "hostile", image, "sleep", "100")
    try:
        assert den.run("exec", "-u", "12", "hostile", *UID, timeout=20).stdout == "12\n"
        done = den.run("exec", "-u", "sync", "hostile", *UID, check=False, timeout=20)
        assert done.returncode == 126, done
        attack.clean(done.stderr)
    finally:
        den.run("rm", "-f", "hostile")
