"""What is written where, and which driver a mount table asks for."""

import pytest

from boxship.errors import InvalidArgument, Unavailable
from boxship.runtime import cgroups
from boxship.runtime.cgroups import v1, v2

MIB = 1 << 20
HYBRID = b"""\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,relatime shared:8 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/a\\040b rw,relatime - cgroup cgroup rw,memory,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 31 0:29 / /elsewhere rw,relatime - cgroup cgroup rw,cpu,cpuacct
"""


def test_hybrid_machines_use_v1():
    driver = cgroups.detect(HYBRID)
    assert driver.version == 1
    assert driver.hierarchies == {"cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/a b"}
    assert driver.mounts() == [("cpu,cpuacct", "cgroup", "cpu,cpuacct"), ("a b", "cgroup", "memory")]
    group = driver.find("boxship/x")
    assert group.where["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/boxship/x"


def test_pure_v2_and_a_named_hierarchy_beside_it():
    table = b"".join(line for line in HYBRID.splitlines(True) if b"systemd" in line or b"cgroup2" in line)
    driver = cgroups.detect(table)
    assert (driver.version, driver.point) == (2, "/sys/fs/cgroup/unified")
    assert driver.mounts() == [("", "cgroup2", "")]


def test_nothing_mounted():
    with pytest.raises(Unavailable, match="no cgroup hierarchy is mounted"):
        cgroups.detect(b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n")


def test_names():
    assert (cgroups.parent(""), cgroups.parent("t")) == ("boxship", "boxship-t")


ROWS = [
    ({"pids": {"limit": 100}}, [("pids", "pids.max", "100")], [("pids.max", "100")]),
    ({"pids": {"limit": -1}}, [("pids", "pids.max", "max")], [("pids.max", "max")]),
    ({"pids": {"limit": 0}}, [], []),
    ({"cpu": {"shares": 1024}}, [("cpu", "cpu.shares", "1024")], [("cpu.weight", "39")]),
    (
        {"cpu": {"quota": 50000, "period": 100000}},
        [("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "50000")],
        [("cpu.max", "50000 100000")],
    ),
    ({"cpu": {"quota": -1}}, [("cpu", "cpu.cfs_quota_us", "-1")], [("cpu.max", "max 100000")]),
    (
        {"cpu": {"cpus": "0-1", "mems": "0"}},
        [("cpuset", "cpuset.cpus", "0-1"), ("cpuset", "cpuset.mems", "0")],
        [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
    ),
    ({"blockIO": {"weight": 500}}, [("blkio", "blkio.weight", "500")], [("io.weight", "500")]),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]}},
        [("blkio", "blkio.throttle.read_bps_device", "8:0 1024")],
        [("io.max", "8:0 rbps=1024")],
    ),
    ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}, [("hugetlb", "hugetlb.2MB.limit_in_bytes", "4")], [("hugetlb.2MB.max", "4")]),
    ({}, [], []),
]


@pytest.mark.parametrize(("resources", "one", "two"), ROWS, ids=[str(row[0]) for row in ROWS])
def test_settings(resources, one, two):
    assert list(v1.settings(resources)) == one
    assert list(v2.settings(resources)) == two


@pytest.mark.parametrize(
    ("memory", "want"),
    [
        ({"limit": 64 * MIB, "swap": 100 * MIB}, {"memory.max": str(64 * MIB), "memory.swap.max": str(36 * MIB)}),
        ({"limit": 64 * MIB, "swap": 64 * MIB}, {"memory.max": str(64 * MIB), "memory.swap.max": "0"}),
        ({"limit": 64 * MIB, "swap": -1}, {"memory.max": str(64 * MIB), "memory.swap.max": "max"}),
        ({"limit": -1}, {"memory.max": "max", "memory.swap.max": "max"}),
        ({"limit": 64 * MIB, "reservation": 8 * MIB}, {"memory.max": str(64 * MIB), "memory.low": str(8 * MIB)}),
    ],
    ids=str,
)
def test_memory_on_v2(memory, want):
    assert dict(v2.settings({"memory": memory})) == want


@pytest.mark.parametrize(("shares", "want"), [(2, 1), (1024, 39), (262144, 10000), (1, 1), (500000, 10000)])
def test_weight(shares, want):
    assert v2.weight(shares) == want


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"memory": {"swap": 5}}, "unable to set swap limit without memory limit"),
        ({"memory": {"swap": 5, "limit": 6}}, r"memory\+swap limit should be >= memory limit"),
        ({"unified": {"../x": "1"}}, r"unified resource must be a file of a controller: \.\./x"),
        ({"unified": {"cgroup.procs": "1"}}, "unified resource must be a file of a controller"),
        ({"cpu": {"realtimeRuntime": 5}}, "real-time scheduling limits need cgroup v1"),
    ],
)
def test_v2_refuses(resources, message):
    with pytest.raises(InvalidArgument, match=message):
        list(v2.settings(resources))


def test_v1_refuses_unified():
    with pytest.raises(InvalidArgument, match="unified resources need cgroup v2"):
        list(v1.settings({"unified": {"memory.high": "1"}}))


def fake_v1(tmp_path, controllers="memory"):
    for name in ("limit_in_bytes", "memsw.limit_in_bytes"):
        (tmp_path / f"memory.{name}").write_text("9223372036854771712\n")
    return v1.Group("x", {controllers: str(tmp_path)})


def test_v1_memory_order_follows_the_present_limit(tmp_path):
    group = fake_v1(tmp_path)
    assert [file for file, _ in group._limits(64 * MIB, 128 * MIB)] == ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    (tmp_path / "memory.limit_in_bytes").write_text(str(32 * MIB))
    assert [file for file, _ in group._limits(64 * MIB, 128 * MIB)] == ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
    assert group._limits(-1, 0) == [("memory.memsw.limit_in_bytes", -1), ("memory.limit_in_bytes", -1)]
    (tmp_path / "memory.memsw.limit_in_bytes").unlink()
    assert group._limits(64 * MIB, 128 * MIB) == [("memory.limit_in_bytes", 64 * MIB)]


def test_v1_names_the_missing_controller(tmp_path):
    with pytest.raises(InvalidArgument, match="this machine has no cgroup controller: pids"):
        fake_v1(tmp_path).update({"pids": {"limit": 5}})
