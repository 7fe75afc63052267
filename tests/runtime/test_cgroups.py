"""The driver of this machine, for real: limits bite, everybody dies, nothing stays."""

import errno
import os
import signal
import time
import uuid

import pytest

from boxship.errors import Conflict, InvalidArgument
from boxship.runtime import cgroups
from boxship.runtime.cgroups import devices

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

MIB = 1 << 20
DENY = [{"allow": False, "access": "rwm"}, *devices.ALWAYS]


@pytest.fixture
def make():
    """create(resources) under a tag of this test's own; all of it is removed afterwards, and must be empty of directories."""
    tag = f"test-{uuid.uuid4().hex[:8]}"
    made = []

    def create(resources, name=None):
        group = cgroups.create(tag, name or f"g{len(made)}", resources)
        made.append(group)
        return group

    yield create
    for group in made:
        group.kill_all()
        group.destroy()
        assert not any(os.path.exists(path) for path in group.paths.values())
    cgroups.find(cgroups.parent(tag)).destroy()
    assert cgroups.names(tag) == []


def inside(group, work):
    """`work` in a child in the group; (exit code or negative signal, what it returned as text)."""
    fds = group.join_fds()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for fd in fds:
                os.write(fd, b"0")
            os.write(write, str(work()).encode())
            code = 0
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(code)
    for fd in (*fds, write):
        os.close(fd)
    data = b""
    while block := os.read(read, 4096):
        data += block
    os.close(read)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), data.decode()


def sleeper(group, count=1):
    """Children that sleep in the group; their pids."""
    pids = []
    fds = group.join_fds()
    for _ in range(count):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                for fd in fds:
                    os.write(fd, b"0")
                os.write(write, b"1")
                time.sleep(60)
            finally:
                os._exit(0)
        os.close(write)
        assert os.read(read, 1) == b"1"
        os.close(read)
        pids.append(pid)
    for fd in fds:
        os.close(fd)
    return pids


def need(controller):
    """Skip where the machine lacks a controller."""
    driver = cgroups.driver()
    if driver.version == 2:
        with open(f"{driver.find('').paths['']}/cgroup.controllers") as file:
            there = file.read().split()
    else:
        there = [one for controllers in driver.find("").paths for one in controllers.split(",")]
    if controller not in there:
        pytest.skip(f"the kernel has no cgroup controller: {controller}")


def test_members_are_in_every_hierarchy(make):
    group = make({})
    code, text = inside(group, lambda: open("/proc/self/cgroup").read())
    assert code == 0
    for controllers in group.paths:
        assert f":{controllers}:/{group.name}\n" in text


def test_memory_limit_kills(make):
    group = make({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    assert not group.oom_killed()
    code, _ = inside(group, lambda: len(bytearray(os.urandom(1)) * (128 * MIB)))
    assert code == -signal.SIGKILL
    assert group.oom_killed()


def test_pids_limit_gives_eagain(make):
    group = make({"pids": {"limit": 4}})

    def forks():
        count = 0
        try:
            for _ in range(20):
                if os.fork() == 0:
                    os.closerange(3, 64)  # or the reader waits for us
                    time.sleep(30)
                    os._exit(0)
                count += 1
        except OSError as error:
            return f"{count} {errno.errorcode[error.errno]}"

    assert inside(group, forks) == (0, "3 EAGAIN")
    group.kill_all()
    assert group.procs() == []


def test_cpu_limit_slows_down(make):
    group = make({"cpu": {"quota": 10_000, "period": 100_000}})

    def burn():
        start = time.process_time()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        return time.process_time() - start

    code, used = inside(group, burn)
    assert code == 0
    assert float(used) < 0.2


def test_cpuset(make):
    need("cpuset")
    assert inside(make({"cpu": {"cpus": "0"}}), lambda: sorted(os.sched_getaffinity(0))) == (0, "[0]")


def test_devices(make):
    group = make({"devices": DENY})

    def look():
        made = f"/dev/shm/boxship-test-{os.getpid()}"
        answers = []
        for number in (os.makedev(1, 3), os.makedev(1, 5), os.makedev(1, 1), os.makedev(10, 229)):
            os.mknod(made, 0o600 | 0o020000, number)
            try:
                os.close(os.open(made, os.O_RDWR))
                answers.append("open")
            except OSError as error:
                answers.append(errno.errorcode[error.errno])
            finally:
                os.unlink(made)
        return " ".join(answers)

    assert inside(group, look) == (0, "open open EPERM EPERM")


def test_kill_all_reaches_children_groups_and_forkers(make):
    group = make({})
    fds = group.join_fds()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            for _ in range(20):
                if os.fork() == 0:
                    while True:
                        time.sleep(0.001)
                        if os.fork():
                            os._exit(0)
            time.sleep(60)
        finally:
            os._exit(0)
    for fd in fds:
        os.close(fd)
    end = time.monotonic() + 10
    while len(group.procs()) <= 5:
        assert time.monotonic() < end
        time.sleep(0.01)
    group.kill_all()
    assert group.procs() == []
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_freeze_and_thaw(make):
    group = make({})
    fds = group.join_fds()
    read, write = os.pipe()
    os.set_blocking(read, False)
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            while True:
                os.write(write, b".")
                time.sleep(0.005)
        finally:
            os._exit(0)
    for fd in (*fds, write):
        os.close(fd)

    def alive(seconds):
        """Whether it writes anything in the next `seconds`."""
        try:
            os.read(read, 65536)
        except BlockingIOError:
            pass
        time.sleep(seconds)
        try:
            return bool(os.read(read, 65536))
        except BlockingIOError:
            return False

    assert alive(0.5)
    group.freeze()
    assert not alive(0.1)
    group.thaw()
    assert alive(0.5)
    group.freeze()
    group.kill_all()  # the frozen ones too
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    os.close(read)


def test_a_group_in_use_is_a_conflict_and_an_empty_leftover_is_replaced(make):
    group = make({"pids": {"limit": 9}}, "same")
    again = make({}, "same")
    (pid,) = sleeper(again)
    with pytest.raises(Conflict, match="the cgroup is in use"):
        make({}, "same")
    group.kill_all()
    os.waitpid(pid, 0)


def test_destroy_takes_what_is_below(make):
    group = make({})
    for path in group.paths.values():
        os.makedirs(f"{path}/inner/most")
    group.destroy()
    group.destroy()


@pytest.mark.parametrize("resources", [{"cpu": {"cpus": "4000"}}, {"cpu": {"quota": 1}}, {"cpu": {"idle": 7}}], ids=str)
def test_what_the_kernel_refuses_leaves_nothing(make, resources):
    if "cpus" in resources["cpu"]:
        need("cpuset")
    with pytest.raises(InvalidArgument, match="the kernel refuses"):
        make(resources, "refused")
    tag = make({}).name.partition("/")[0].removeprefix("boxship-")
    assert cgroups.names(tag) == [f"boxship-{tag}/g0"]


def test_update_raises_and_lowers(make):
    group = make({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}, "cpu": {"quota": 20_000, "period": 50_000}})
    for limit in (128 * MIB, 32 * MIB):
        group.update({"memory": {"limit": limit, "swap": limit}})
        assert str(limit) in (group.stats().get("memory.limit_in_bytes") or group.stats()["memory.max"])
    group.update({"cpu": {"quota": 5_000, "period": 10_000}, "memory": {"limit": -1}})


def test_stats(make):
    group = make({})
    sleeper(group)
    stats = group.stats()
    assert int(stats["pids.current"]) == 1
    assert int(stats.get("memory.usage_in_bytes") or stats["memory.current"]) > 0
    group.kill_all()


def test_prewarmed_join_is_quick(make):
    """No bound on the time, only that it leaves the caller where it is and does no harm."""
    before = open("/proc/self/cgroup").read()
    pid = os.fork()
    if pid == 0:
        try:
            cgroups.prewarm()
        finally:
            os._exit(0 if open("/proc/self/cgroup").read() == before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
