"""What each flag of run does, seen from inside a container; and what bad words get: one line, a hint, Docker's exit code, nothing left."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests import probe, stores
from tests.conftest import put_busybox

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shop() -> Iterator[stores.Store]:
    """One store for all of the file: its containers have names of their own."""
    with stores.make() as made:
        put_busybox(made)
        yield made


def inside(shop: stores.Store, flags: str | list[str], script: str = "", code: int = 0, **options: object) -> str:
    """What the shell script prints in a container with these flags."""
    words = flags.split() if isinstance(flags, str) else flags
    done = shop.run("run", "--rm", *words, "busybox", *(["sh", "-c", script] if script else []), check=False, **options)
    assert done.returncode == code, f"{done.stdout}{done.stderr}"
    return done.stdout


# -- the process -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flags", "script", "expected"),
    [
        ("-h box", "hostname; cat /etc/hostname; grep -c box /etc/hosts; echo $HOSTNAME", "box\nbox\n1\nbox"),
        ("-w /a/b/c", "pwd; stat -c %a /a/b/c", "/a/b/c\n755"),
        ("-u 1000", "id -u; id -g; id -G; echo $HOME", "1000\n0\n0\n/"),
        ("-u 1000:50", "id -u; id -g", "1000\n50"),
        ("-u daemon", "id -u; id -g; echo $HOME", "1\n1\n/usr/sbin"),
        ("-u daemon:staff", "id -u; id -g", "1\n50"),
        ("-u nobody", "grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | sort -u", "0000000000000000"),
        ("-e A=1 -e B=x=y -e C=", "echo $A $B [$C]; env | grep -c ^C=", "1 x=y []\n1"),
        ("-e PATH=/nowhere:/bin", "echo $PATH", "/nowhere:/bin"),
        ("--init", "ps -o pid,comm | grep -c sh; echo $$", None),
        ("--read-only", "touch /x 2>&1; touch /dev/shm/x && echo ok", "touch: /x: Read-only file system\nok"),
        ("--read-only --tmpfs /t", "touch /t/x && echo ok", "ok"),
        ("--tmpfs /t:size=1m,mode=700", "df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", "1024\n700"),
        ("--tmpfs /t", "grep ' /t ' /proc/mounts | cut -d' ' -f3,4 | grep -o 'nosuid,nodev,noexec'", "nosuid,nodev,noexec"),
        ("--shm-size 8m", "df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
        ("", "df -k /dev/shm | tail -1 | awk '{print $2}'", "65536"),
        ("--ulimit nofile=123:456", "ulimit -Sn; ulimit -Hn", "123\n456"),
        ("--ulimit core=0 --ulimit nofile=99", "ulimit -c; ulimit -Sn; ulimit -Hn", "0\n99\n99"),
        ("--add-host db:10.1.2.3 --add-host web=10.1.2.4", "grep -E 'db|web' /etc/hosts | tr '\\t' ' '", "10.1.2.3 db\n10.1.2.4 web"),
        ("--add-host h:host-gateway", "grep -c 'h$' /etc/hosts", "1"),
        ("--dns 9.9.9.9 --dns 8.8.4.4", "grep nameserver /etc/resolv.conf", "nameserver 9.9.9.9\nnameserver 8.8.4.4"),
        ("--cap-drop all", "grep -E 'Cap(Bnd|Eff)' /proc/self/status | cut -f2 | sort -u", "0000000000000000"),
        ("--cap-drop CHOWN", "touch /x; chown 1 /x 2>&1; true", "chown: /x: Operation not permitted"),
        ("--cap-add SYS_TIME --cap-drop ALL", "grep CapEff /proc/self/status | cut -f2", "0000000002000000"),
        ("--cap-add NET_ADMIN", "ip link add d0 type dummy 2>/dev/null || ip link set lo down && echo ok", "ok"),
        ("", "ip link set lo down 2>&1 | grep -o 'Operation not permitted'", "Operation not permitted"),
        ("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status | cut -f2", "1"),
        ("--security-opt no-new-privileges -u 1000", "grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status | cut -f2", "0000000000000000\n1\n2"),
        ("", "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | cut -f2", "0\n2"),
        ("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status | cut -f2", "0"),
        ("--privileged", "grep -E 'Seccomp:' /proc/self/status | cut -f2; ls /dev | wc -l", None),
        ("--network none", "ls /sys/class/net; cat /proc/net/route | wc -l; ip addr show lo | grep -c 127.0.0.1", "lo\n1\n1"),
        ("--pids-limit 77", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true", "77"),
        ("-m 64m", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true", "67108864"),
        ("--cpu-shares 512", "cat /sys/fs/cgroup/cpu/cpu.shares || cat /sys/fs/cgroup/cpu.weight", None),
        ("--cpuset-cpus 0", "nproc; grep Cpus_allowed_list /proc/self/status | cut -f2", "1\n0"),
        ("-it", None, None),
    ],
)  # fmt: skip
def test_flag(shop: stores.Store, flags: str, script: str | None, expected: str | None) -> None:
    if script is None:
        refused = shop.run("run", "--rm", "-it", "busybox", "true", check=False, stdin=subprocess.DEVNULL)
        assert (refused.returncode, "the input device is not a TTY" in refused.stderr) == (125, True) or refused.returncode == 1
        return
    printed = inside(shop, flags, script).strip()
    if flags == "--init":
        assert printed.splitlines()[-1] != "1", "the program is not PID 1 below an init"
    elif flags == "--privileged":
        mode, devices = printed.split()
        assert mode == "0"
        assert int(devices) > 30
    elif flags == "--cpu-shares 512":
        assert printed in ("512", "20")
    else:
        assert printed == expected


def test_entrypoint(shop: stores.Store) -> None:
    assert shop.run("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b").stdout == "a b\n"
    # it clears the image's command
    assert shop.run("run", "--rm", "--entrypoint", "echo", "busybox").stdout == "\n"


def test_env_file(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "env").write_text("# comment\nA=from file\nB=2\nFROM_HOST\n\n")
    done = shop.run(
        "run", "--rm", "--env-file", str(tmp_path / "env"), "-e", "B=3", "busybox", "sh", "-c", "echo $A,$B,$FROM_HOST",
        env={**shop.env, "FROM_HOST": "h"},
    )  # fmt: skip
    assert done.stdout == "from file,3,h\n"


def test_a_lot_of_environment(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    """Documents larger than a socket's usual packet go through."""
    for count in (4, 40):
        (tmp_path / "env").write_text("".join(f"V{number}={'x' * 10_000}\n" for number in range(count)))
        assert inside(shop, ["--env-file", str(tmp_path / "env")], "env | grep -c ^V").strip() == str(count)


def test_labels(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels").write_text("c=3\n")
    name = shop.run("create", "-l", "a=1", "-l", "b", "--label-file", str(tmp_path / "labels"), "busybox").stdout.strip()
    found = json.loads(shop.run("inspect", "--format", "{{json .Config.Labels}}", name).stdout)
    shop.run("rm", name)
    assert found == {"a": "1", "b": "", "c": "3"}


def test_limits_seen_by_the_kernel(shop: stores.Store) -> None:
    quota = inside(
        shop, "--cpus 0.5", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us || cat /sys/fs/cgroup/cpu.max"
    )
    assert quota.split() in (["50000", "100000"], ["50000", "100000"])


def test_two_containers_share_no_environment(shop: stores.Store) -> None:
    """CVE-2020-14370: what one is given, another of the same image does not see."""
    inside(shop, "-e SECRET=1", "true")
    assert "SECRET" not in inside(shop, "", "env")


# -- volumes and devices ----------------------------------------------------------------------------------------------------------
def test_bind(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("host\n")
    assert inside(shop, ["-v", f"{tmp_path}:/data"], "cat /data/file; echo new > /data/made") == "host\n"
    assert (tmp_path / "made").read_text() == "new\n"
    assert "Read-only" in inside(shop, ["-v", f"{tmp_path}:/data:ro"], "touch /data/x 2>&1 || true")
    # one file, over one that is there and over one that is not
    assert inside(shop, ["-v", f"{tmp_path}/file:/etc/passwd"], "cat /etc/passwd") == "host\n"
    assert inside(shop, ["-v", f"{tmp_path}/file:/deep/down/here"], "cat /deep/down/here") == "host\n"
    # read-only holds for a remount by the container's root as well
    assert inside(shop, ["-v", f"{tmp_path}:/data:ro"], "mount -o remount,rw,bind /data 2>/dev/null || echo refused") == "refused\n"


def test_bind_makes_a_missing_source(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    done = shop.run("run", "--rm", "-v", f"{tmp_path}/missing/dir:/data", "busybox", "ls", "/data")
    assert (tmp_path / "missing" / "dir").is_dir()
    assert "missing/dir" in done.stderr


def test_named_volume_stays_and_takes_the_image_content(shop: stores.Store) -> None:
    assert "passwd" in inside(shop, "-v kept:/etc", "ls /etc; echo mine > /etc/mine")
    assert inside(shop, "-v kept:/other", "cat /other/mine") == "mine\n"
    assert inside(shop, "-v kept:/other:ro", "touch /other/x 2>/dev/null || echo refused") == "refused\n"
    assert inside(shop, "-v fresh:/etc:nocopy", "ls /etc | grep -c passwd || true") == "0\n"
    assert {"kept", "fresh"} <= set(os.listdir(shop.paths.volumes))


def test_anonymous_volume_goes_with_rm(shop: stores.Store) -> None:
    before = set(os.listdir(shop.paths.volumes))
    inside(shop, "-v /data", "echo x > /data/x")
    until(lambda: set(os.listdir(shop.paths.volumes)) == before)
    name = shop.run("run", "-d", "-v", "/data", "busybox", "true").stdout.strip()
    shop.run("wait", name)
    shop.run("rm", name)
    assert len(set(os.listdir(shop.paths.volumes)) - before) == 1, "rm without -v keeps it"
    name = shop.run("run", "-d", "-v", "/data", "busybox", "sleep", "60").stdout.strip()
    shop.run("rm", "-f", "-v", name)
    assert len(set(os.listdir(shop.paths.volumes)) - before) == 1, "rm -f -v takes it along"


def test_device(shop: stores.Store) -> None:
    assert inside(shop, "--device /dev/null:/dev/other", "stat -c '%F %t %T' /dev/other; echo x > /dev/other").strip() == (
        "character special file 1 3"
    )
    if os.path.exists("/dev/loop-control"):
        tried = "cat /dev/loop-control 2>&1 | head -c 60; (exec 3<>/dev/loop-control) 2>&1 | grep -o 'not permitted'; true"
        assert "not permitted" in inside(shop, "--device /dev/loop-control:/dev/loop-control:m", tried)
        opened = inside(shop, "--device /dev/loop-control", "exec 3<>/dev/loop-control && echo open")
        assert opened == "open\n"


def test_custom_seccomp_profile(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    printed = inside(shop, ["--security-opt", f"seccomp={tmp_path}/profile.json"], "mkdir /x 2>&1; touch /y && echo ok")
    assert printed.splitlines() == ["mkdir: can't create directory '/x': Disk quota exceeded", "ok"]


# -- networks ---------------------------------------------------------------------------------------------------------------------
def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def host_address() -> str:
    """The address by which the host reaches the world; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine cannot reach any network: it has no route")
        return str(probe.getsockname()[0])


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(shop: stores.Store, *words: str) -> Iterator[str]:
    name = shop.run("run", "-d", *words).stdout.strip()
    try:
        yield name
    finally:
        shop.run("rm", "-f", "-v", name, check=False)


def ask(address: str, port: int, seconds: float = 10) -> bytes:
    """What a TCP server says; tried again while it is still starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                answer = connection.recv(100)
                if answer:
                    return answer
        except OSError:
            pass
        assert time.monotonic() < deadline, f"no answer from {address}:{port}"
        time.sleep(0.05)


SERVE = ["busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hello"]


def test_published_port(shop: stores.Store) -> None:
    port = free_port()
    with running(shop, "-p", f"{port}:80", *SERVE) as name:
        for address in ("127.0.0.1", "localhost", host_address()):
            assert ask(address, port) == b"hello\n", address
        assert shop.run("inspect", "--format", "{{json .NetworkSettings.Ports}}", name).stdout.strip().startswith('{"80/tcp":[{')
        taken = shop.run("run", "--rm", "-p", f"{port}:80", "busybox", "true", check=False)
        assert taken.returncode == 125
        assert "port is already allocated" in taken.stderr
        refused_container_is_left = shop.run("ps", "-aq").stdout.split()
        assert len(refused_container_is_left) == 1, "of --rm nothing is left"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_published_port_on_one_address(shop: stores.Store) -> None:
    port = free_port()
    with running(shop, "-p", f"127.0.0.1:{port}:80", *SERVE):
        assert ask("127.0.0.1", port) == b"hello\n"
        with pytest.raises(OSError):
            socket.create_connection((host_address(), port), timeout=2).close()


def test_publish_all_and_ranges(shop: stores.Store) -> None:
    with running(shop, "-P", "--expose", "80", *SERVE) as name:
        found = json.loads(shop.run("inspect", "--format", "{{json .NetworkSettings.Ports}}", name).stdout)
        assert ask("127.0.0.1", int(found["80/tcp"][0]["HostPort"])) == b"hello\n"
    first = free_port()
    with running(shop, "-p", f"{first}-{first + 9}:80", *SERVE), running(shop, "-p", f"{first}-{first + 9}:80", *SERVE):
        answering = []
        until(lambda: len(answering) == 2 or answering.extend(p for p in range(first, first + 10) if p not in answering and open_port(p)))
        assert len(answering) == 2


def open_port(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(10) == b"hello\n"
    except OSError:
        return False


def test_udp(shop: stores.Store, tmp_path: pathlib.Path) -> None:
    program = probe.build("udpecho", tmp_path)
    port = free_port(socket.SOCK_DGRAM)
    with running(shop, "-p", f"{port}:53/udp", "-v", f"{program}:/udpecho:ro", "busybox", "/udpecho"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.3)
            for _ in range(30):
                with contextlib.suppress(OSError):
                    client.sendto(b"ping", ("127.0.0.1", port))
                    assert client.recv(100) == b"ping"
                    return
        raise AssertionError("no answer")


def test_port_of_a_host_program(shop: stores.Store) -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        port = server.getsockname()[1]
        done = shop.run("run", "--rm", "-p", f"{port}:80", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "address already in use" in done.stderr
    assert str(port) in done.stderr
    # and at once when it is free again
    assert shop.run("run", "--rm", "-p", f"{port}:80", "busybox", "echo", "ok").stdout == "ok\n"


def test_port_is_free_when_run_returns(shop: stores.Store) -> None:
    port = free_port()
    for number in range(8):
        assert shop.run("run", "--rm", "-p", f"{port}:80", "busybox", "echo", str(number)).stdout == f"{number}\n"
    name = shop.run("run", "-d", "-p", f"{port}:80", "busybox", "sleep", "60").stdout.strip()
    shop.run("stop", "-t", "0", name)
    assert shop.run("run", "--rm", "-p", f"{port}:80", "busybox", "echo", "ok").stdout == "ok\n"
    shop.run("rm", name)


def test_bridge(shop: stores.Store) -> None:
    with running(shop, *SERVE) as name:
        address = shop.run("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()
        assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", address)
        # from another container, and with a default route
        found = inside(shop, "", f"nc -w 5 {address} 80 </dev/null; ip route | grep -c ^default; cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
        assert found == "hello\n1\n0\n"


def test_network_host(shop: stores.Store) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"host\n"), daemon=True)
        answering.start()
        printed = inside(shop, "--network host", f"readlink /proc/self/ns/net; hostname; nc -w 5 127.0.0.1 {server.getsockname()[1]} </dev/null")
    assert printed.split() == [os.readlink("/proc/self/ns/net"), os.uname().nodename, "host"]


# -- bad input ---------------------------------------------------------------------------------------------------------------------
BAD = [
    # flags, exit code, a part of the message
    (["busybox", "nosuchprogram"], 127, 'exec: "nosuchprogram": executable file not found in $PATH'),
    (["busybox", "/nosuch/program"], 127, "no such file or directory"),
    (["busybox", "/etc/passwd"], 126, "permission denied"),
    (["busybox", "/etc"], 126, "is a directory"),
    (["--entrypoint", "/nosuch", "busybox"], 127, "no such file or directory"),
    (["-w", "/etc/passwd", "busybox", "true"], 125, "not a directory"),
    (["-u", "nosuchuser", "busybox", "true"], 125, "unable to find user nosuchuser"),
    (["-u", "root:nosuchgroup", "busybox", "true"], 125, "nosuchgroup"),
    (["-u", "4294967296", "busybox", "true"], 125, "4294967296"),
    (["--device", "/dev/nosuch", "busybox", "true"], 125, "/dev/nosuch"),
    (["-v", "relative/path:/x", "busybox", "true"], 125, "relative/path"),
    (["-v", "/tmp:relative", "busybox", "true"], 125, "mount path must be absolute"),
    (["-v", "/tmp:/", "busybox", "true"], 125, "destination can't be '/'"),
    (["-v", "/tmp:/a", "-v", "/var:/a", "busybox", "true"], 125, "Duplicate mount point: /a"),
    (["-v", "/tmp:/a:nonsense", "busybox", "true"], 125, "invalid mode"),
    (["-p", "80:http", "busybox", "true"], 125, "http"),
    (["-p", "99999:80", "busybox", "true"], 125, "99999"),
    (["-m", "1k", "busybox", "true"], 125, "inimum memory limit"),
    (["-m", "lots", "busybox", "true"], 125, "lots"),
    (["--memory-swap", "1g", "busybox", "true"], 125, "emory limit"),
    (["--cpus", "9999", "busybox", "true"], 125, "ange of CPUs"),
    (["--cpuset-cpus", "1-2147483647", "busybox", "true"], 125, "1-2147483647"),
    (["--cap-add", "NONSENSE", "busybox", "true"], 125, "NONSENSE"),
    (["--ulimit", "nofile=5:1", "busybox", "true"], 125, "nofile"),
    (["--ulimit", "nonsense=5", "busybox", "true"], 125, "nonsense"),
        (["--restart", "always", "busybox", "true"], 125, "onflicting options"),
    (["--network", "nosuchnetwork", "busybox", "true"], 125, "nosuchnetwork"),
    (["--name", "-bad-", "busybox", "true"], 125, "-bad-"),
    (["--name", "a b", "busybox", "true"], 125, "Invalid container name"),
    (["--env-file", "/nosuch/env", "busybox", "true"], 125, "/nosuch/env"),
    (["--security-opt", "seccomp=/nosuch.json", "busybox", "true"], 125, "/nosuch.json"),
    (["--security-opt", "seccomp=/etc/passwd", "busybox", "true"], 125, "seccomp"),
    (["--security-opt", "nonsense", "busybox", "true"], 125, "nonsense"),
    (["--cidfile", "/nosuch/dir/cid", "busybox", "true"], 125, "/nosuch/dir/cid"),
    (["--pull", "never", "nosuchimage", "true"], 125, "nosuchimage"),
    (["--pull", "sometimes", "busybox", "true"], 125, "sometimes"),
    (["UPPERCASE", "true"], 125, "must be lowercase"),
    (["--nonsense", "busybox", "true"], 125, "unknown flag: --nonsense"),
    (["--stop-signal", "SIGNONSENSE", "busybox", "true"], 125, "SIGNONSENSE"),
    (["--gpus", "all", "busybox", "true"], 125, "not supported yet"),
    (["--shm-size", "-1", "busybox", "true"], 125, "-1"),
    (["--add-host", "nonsense", "busybox", "true"], 125, "nonsense"),
    (["--dns", "nonsense", "busybox", "true"], 125, "nonsense"),
    (["--platform", "windows/amd64", "--pull", "never", "busybox", "true"], 125, "windows/amd64"),
    (["-d", "--tmpfs", "relative", "busybox", "true"], 125, "mount path must be absolute"),
]  # fmt: skip


def leftovers(shop: stores.Store) -> list[str]:
    folders = [shop.paths.containers, shop.paths.active, shop.paths.volumes, shop.paths.tmp]
    return sorted(f"{folder}/{name}" for folder in folders if os.path.isdir(folder) for name in os.listdir(folder))


def settled(shop: stores.Store) -> list[str]:
    """What is there once the shims of the tests before have torn down."""
    last, since = leftovers(shop), time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.02)
        now = leftovers(shop)
        if now != last:
            last, since = now, time.monotonic()
    return last


@pytest.mark.parametrize(("words", "code", "part"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_run(shop: stores.Store, words: list[str], code: int, part: str) -> None:
    shop.run("ps", "-aq")  # the next command undoes what the last left
    before = settled(shop)
    done = shop.run("run", "--rm", *words, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert part in done.stderr
    assert_one_line(done.stderr)
    until(lambda: leftovers(shop) == before)


def assert_one_line(text: str) -> None:
    """A message, perhaps a hint, perhaps Docker's "Run ... --help"; never a traceback or an error of ours."""
    assert "Traceback" not in text
    assert "internal error" not in text
    lines = [line for line in text.splitlines() if line and not line.startswith(("hint: ", "Usage: ", "See ", "Run ", "WARNING: "))]
    assert len(lines) == 1, text


BAD_CREATE = [
    (["--name", "same", "busybox"], 1, "is already in use by container"),
    (["--cpus", "9999", "busybox"], 1, "ange of CPUs"),
    (["--nonsense", "busybox"], 125, "unknown flag: --nonsense"),
    (["--restart", "sometimes", "busybox"], 1, "sometimes"),
    (["--stop-signal", "SIGNONSENSE", "busybox"], 1, "SIGNONSENSE"),
    ([], 1, "requires at least 1 argument"),
]


@pytest.fixture(scope="module")
def same(shop: stores.Store) -> Iterator[None]:
    shop.run("create", "--name", "same", "busybox")
    yield
    shop.run("rm", "same")


@pytest.mark.parametrize(("words", "code", "part"), BAD_CREATE, ids=[" ".join(row[0]) for row in BAD_CREATE])
def test_bad_create(shop: stores.Store, same: None, words: list[str], code: int, part: str) -> None:
    before = settled(shop)
    done = shop.run("create", *words, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert part in done.stderr
    assert_one_line(done.stderr)
    assert leftovers(shop) == before


@pytest.fixture(scope="module")
def sleeper(shop: stores.Store) -> Iterator[str]:
    shop.run("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
    yield "sleeper"
    shop.run("rm", "-f", "sleeper")


BAD_EXEC = [
    (["sleeper", "nosuchprogram"], 127, "executable file not found in $PATH"),
    (["sleeper", "/etc/passwd"], 126, "permission denied"),
    (["-u", "nosuchuser", "sleeper", "true"], 126, "unable to find user nosuchuser"),
    (["-w", "/nosuch", "sleeper", "true"], 127, "/nosuch"),
    (["nosuchcontainer", "true"], 1, "No such container: nosuchcontainer"),
    (["sleeper"], 1, "requires at least 2 arguments"),
    (["--env-file", "/nosuch/env", "sleeper", "true"], 1, "/nosuch/env"),
    (["--nonsense", "sleeper", "true"], 125, "unknown flag: --nonsense"),
    (["-it", "sleeper", "true"], 1, "the input device is not a TTY"),
]


@pytest.mark.parametrize(("words", "code", "part"), BAD_EXEC, ids=[" ".join(row[0]) for row in BAD_EXEC])
def test_bad_exec(shop: stores.Store, sleeper: str, words: list[str], code: int, part: str) -> None:
    done = shop.run("exec", *words, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert part in done.stderr
    assert_one_line(done.stderr)
    assert shop.run("exec", sleeper, "echo", "alive").stdout == "alive\n"


@pytest.mark.parametrize(
    ("flags", "script", "expected"),
    [
        ([], "echo $HOSTNAME | wc -c; id -u; pwd; echo $HOME", "13\n0\n/\n/root"),
        (["-e", "A=1", "-e", "B=2"], "echo $A$B", "12"),
        (["-u", "1000:50"], "id -u; id -g; grep CapEff /proc/self/status | cut -f2", "1000\n50\n0000000000000000"),
        (["-u", "daemon"], "id -u; echo $HOME", "1\n/usr/sbin"),
        (["-w", "/tmp"], "pwd", "/tmp"),
        (["--privileged"], "grep -E 'Seccomp:' /proc/self/status | cut -f2", "0"),
        ([], "grep -E 'Seccomp:|CapEff' /proc/self/status | cut -f2", "00000000a80425fb\n2"),
        ([], "ls /proc/self/fd | wc -l", "4"),
        ([], "exit 7", None),
    ],
)
def test_exec_flag(shop: stores.Store, sleeper: str, flags: list[str], script: str, expected: str | None) -> None:
    done = shop.run("exec", *flags, sleeper, "sh", "-c", script, check=False)
    if expected is None:
        assert done.returncode == 7
    else:
        assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_exec_of_a_stopped_container(shop: stores.Store) -> None:
    name = shop.run("create", "busybox").stdout.strip()
    done = shop.run("exec", name, "true", check=False)
    shop.run("rm", name)
    assert (done.returncode, f"container {name} is not running" in done.stderr) == (1, True)


def test_stores_that_begin_at_once_get_networks_of_their_own() -> None:
    with contextlib.ExitStack() as stack:
        shops = [stack.enter_context(stores.make()) for _ in range(4)]
        for one in shops:
            put_busybox(one)
        commands = [one.popen("run", "--rm", "busybox", "sh", "-c", "ip route | sed -n 's/ .*//p' | tail -1") for one in shops]
        subnets = [command.communicate(timeout=60)[0].strip() for command in commands]
    assert len(set(subnets)) == 4, subnets
    assert all(re.fullmatch(r"[\d.]+/\d+", subnet) for subnet in subnets)
