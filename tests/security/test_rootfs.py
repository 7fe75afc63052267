"""Links, volumes and devices of the image where the engine mounts: nothing outside the root is touched, /proc is the real one."""

import os
import pathlib
import tarfile

import pytest

from tests import stores
from tests.security import attack

pytestmark = pytest.mark.root

PROCFS = ("stat", "-f", "-c", "%T", "/proc")


@pytest.fixture
def put(den: stores.Store, tmp_path: pathlib.Path) -> attack.Put:
    return lambda entries, config=None: attack.put(den, tmp_path, "hostile", entries, config)


@pytest.fixture
def canary(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "file").write_text("untouched\n")
    return folder


def untouched(canary: pathlib.Path) -> None:
    assert os.listdir(canary) == ["file"]
    assert (canary / "file").read_text() == "untouched\n"


@pytest.mark.parametrize("where", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/other/{}", "tmp", "/../../../tmp", "/dev"])
def test_proc_and_sys_as_links(den: stores.Store, put: attack.Put, where: str, target: str) -> None:
    """CVE-2019-19921, CVE-2023-27561: refused, as runc does"""
    entries = {where: attack.link(target.format(where)), f"other/{where}": attack.directory()}
    image = put(entries)
    done = den.run("run", "--rm", image, "true", check=False)
    assert done.returncode == 125, done.stdout
    assert "must be mounted on ordinary directory" in done.stderr
    attack.clean(done.stderr)


@pytest.mark.parametrize("place", ["/proc", "/proc/sys", "/proc/self", "/proc/sys/kernel", "/proc/self/attr", "/proc/../proc"])
def test_volumes_on_proc(den: stores.Store, put: attack.Put, place: str) -> None:
    """CVE-2019-16884: a volume would give the masks and the engine's own writes somewhere else to go"""
    done = den.run("run", "--rm", "-v", f"evil:{place}", "busybox", "true", check=False)
    assert done.returncode == 125, done.stdout
    attack.clean(done.stderr)
    image = put({"proc/sys/x": attack.file("")}, {"Volumes": {place: {}}})
    done = den.run("run", "--rm", image, *PROCFS, check=False)
    assert done.returncode == 125, done.stdout
    done = den.run("run", "--rm", "--tmpfs", place, "busybox", "true", check=False)
    assert done.returncode == 125, done.stdout


def test_volume_on_proc_by_a_link(den: stores.Store, put: attack.Put) -> None:
    image = put({"innocent": attack.link("/proc"), "deep": attack.link("/proc/sys/kernel")})
    for place in ("/innocent", "/deep", "/innocent/sys"):
        done = den.run("run", "--rm", "-v", f"evil:{place}", image, "true", check=False)
        assert done.returncode == 125, done.stdout
        assert "proc" in done.stderr


def test_what_may_go_over_proc(den: stores.Store, tmp_path: pathlib.Path) -> None:
    """As lxcfs wants it, and the host's /proc"""
    (tmp_path / "meminfo").write_text("MemTotal: 7 kB\n")
    done = den.run("run", "--rm", "-v", f"{tmp_path}/meminfo:/proc/meminfo", "busybox", "cat", "/proc/meminfo")
    assert done.stdout == "MemTotal: 7 kB\n"
    assert den.run("run", "--rm", "-v", "/proc:/proc", "busybox", *PROCFS).stdout.strip() == "proc"


def test_dev_as_a_link(den: stores.Store, put: attack.Put, canary: pathlib.Path) -> None:
    """CVE-2026-41579, CVE-2026-47766"""
    for target in (str(canary), f"/../../../../..{canary}", "/proc", "/tmp"):
        image = put({"dev": attack.link(target)})
        done = den.run("run", "--rm", image, "true", check=False)
        attack.clean(done.stderr)
        untouched(canary)


def test_devices_of_the_image(den: stores.Store, put: attack.Put, canary: pathlib.Path) -> None:
    """CVE-2025-31133, CVE-2025-52565: what the image has below /dev is never seen"""
    entries = {"dev/null": attack.link(f"{canary}/file"), "dev/console": attack.link("/proc/sysrq-trigger"),
               "dev/pts": attack.link(str(canary)), "dev/shm": attack.link(str(canary)), "dev/ptmx": attack.file(""),
               "dev/fd": attack.link("/"), "dev/full": (tarfile.BLKTYPE, b"8:0", 0o666)}  # fmt: skip
    image = put(entries)
    shown = den.run("run", "--rm", image, "stat", "-c", "%F %t %T", "/dev/null", "/dev/full").stdout.splitlines()
    assert shown == ["character special file 1 3", "character special file 1 7"]
    assert "0" in den.run("run", "--rm", "-t", image, "sh", "-c", "stat -c %t:%T /dev/console; tty").stdout
    untouched(canary)


def test_a_volume_on_dev_with_a_false_null(den: stores.Store) -> None:
    den.run(
        "run",
        "--rm",
        "-v",
        "devices:/d",
        "busybox",
        "sh",
        "-c",
        "ln -s /proc/sysrq-trigger /d/null; ln -s / /d/console; mkdir /d/pts",
    )
    for flags in ([], ["-t"]):
        done = den.run("run", "--rm", *flags, "-v", "devices:/dev", "busybox", "cat", "/proc/kcore", check=False)
        assert done.returncode == 125
        attack.clean(done.stderr + done.stdout)


@pytest.mark.parametrize("name", ["resolv.conf", "hosts", "hostname"])
@pytest.mark.parametrize(
    "target", ["../run/systemd/stub.conf", "/nowhere/at/all", "{canary}/made", "../../../../../..{canary}/made"]
)
def test_dangling_links_in_etc(den: stores.Store, put: attack.Put, canary: pathlib.Path, name: str, target: str) -> None:
    """They work, as with Docker: the file is made inside the root"""
    image = put({f"etc/{name}": attack.link(target.format(canary=canary))})
    assert den.run("run", "--rm", image, "cat", f"/etc/{name}").stdout
    untouched(canary)


def test_dangling_links_under_volumes(den: stores.Store, put: attack.Put, tmp_path: pathlib.Path, canary: pathlib.Path) -> None:
    """Docker makes the target, inside the root"""
    (tmp_path / "data").write_text("data\n")
    links = {"a": attack.link("/gone/deep/file"), "b": attack.link("a"), "c": attack.link(f"../../..{canary}/new"),
             "d": attack.link("d"), "e/f": attack.link("../gone2/../gone3")}  # fmt: skip
    image = put(links)
    for place in ("/a", "/b", "/c", "/c/deeper", "/e/f", "/e/f/g"):
        done = den.run("run", "--rm", "-v", f"{tmp_path}/data:{place}", image, "cat", place)
        assert done.stdout == "data\n"
    done = den.run("run", "--rm", "-v", f"{tmp_path}/data:/d", image, "true", check=False)
    assert done.returncode == 125
    attack.clean(done.stderr)
    untouched(canary)


def test_volumes_of_the_image_stay_inside(den: stores.Store, put: attack.Put) -> None:
    """CVE-2022-23648: a VOLUME with .. gets the image's own files, never the host's"""
    image = put({"etc/mark": attack.file("image")}, {"Volumes": {"/../../../../etc": {}}})
    shown = den.run("run", "--rm", image, "ls", "/etc").stdout.split()
    assert "mark" in shown
    assert "shadow-" not in shown
    image = put({"vol": attack.link("/../../../../etc"), "etc/mark": attack.file("image")}, {"Volumes": {"/vol": {}}})
    assert "mark" in den.run("run", "--rm", image, "ls", "/etc").stdout.split()


@pytest.mark.parametrize("place", ["/", "/..", "//", "/.", "/../.."])
def test_nothing_goes_over_the_root(den: stores.Store, put: attack.Put, place: str) -> None:
    image = put({}, {"Volumes": {place: {}}})
    done = den.run("run", "--rm", image, "true", check=False)
    assert done.returncode == 125
    attack.clean(done.stderr)
    done = den.run("run", "--rm", "--tmpfs", place, "busybox", "true", check=False)
    assert done.returncode == 125, place


def test_paths_of_links_are_written_inside(den: stores.Store, put: attack.Put, canary: pathlib.Path) -> None:
    """WORKDIR, -v targets and device nodes by a link to the host's directory"""
    image = put({"out": attack.link(str(canary)), "up": attack.link("../../../../../../..")})
    den.run("run", "--rm", "-w", "/out/new", image, "true")
    den.run("run", "--rm", "-v", "some:/out/volume", "--tmpfs", f"/up{canary}/tmp", image, "true")
    done = den.run("run", "--rm", "--device", "/dev/null:/out/null", image, "true", check=False)
    attack.clean(done.stderr)
    untouched(canary)
