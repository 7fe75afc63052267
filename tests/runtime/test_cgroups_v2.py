"""The v2 driver, where no machine at hand has v2 alone: the same tests in user-mode Linux, and what only v2 has."""

import os

import pytest

from tests.runtime import uml

_SUITE = """
import os, sys
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis and its like take seconds to load in there
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-rs", "--rootdir", {root!r}, "-W", "ignore", {suite!r}]))
"""

_ONLY_V2 = """
import os
from boxship.linux import bpf
from boxship.runtime import cgroups
from boxship.runtime.cgroups import devices

assert cgroups.driver().version == 2
assert cgroups.mounts() == [("", "cgroup2", "")]

group = cgroups.create("v2", "one", {
    "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 8 << 20},
    "cpu": {"shares": 512, "quota": 20000, "period": 50000, "burst": 1000},
    "pids": {"limit": 9},
    "unified": {"memory.high": "50331648"},
    "devices": [{"allow": False, "access": "rwm"}, *devices.ALWAYS],
})
def text(name):
    return open(f"{group.path}/{name}").read().strip()

print("memory", text("memory.max"), text("memory.swap.max"), text("memory.low"), text("memory.high"))
print("cpu", text("cpu.weight"), text("cpu.max"), text("cpu.max.burst"))
print("pids", text("pids.max"))

fd = group.directory_fd()
directory = os.open(group.path, os.O_RDONLY)
first = bpf.device_programs(directory)
group.restrict([{"allow": True, "access": "rwm"}])
second = bpf.device_programs(directory)
print("programs", len(first), len(second), first != second)
for number in (os.close(fd), os.close(directory)):
    pass
group.destroy()

plain = cgroups.create("v2", "two", {})
directory = os.open(plain.path, os.O_RDONLY)
print("unrestricted", bpf.device_programs(directory))
os.close(directory)
plain.destroy()
for bad in ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, {"unified": {"memory.no": "1"}}, {"cpu": {"cpus": "0"}}):
    try:
        cgroups.create("v2", "bad", bad)
    except Exception as error:
        print("refused", type(error).__name__, error)
print("left", cgroups.names("v2"))
cgroups.find("boxship-v2").destroy()
"""


@pytest.mark.slow
def test_the_suite_on_v2(tmp_path):
    suite = os.path.join(os.path.dirname(__file__), "test_cgroups.py")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    output = uml.run(_SUITE.format(suite=suite, root=root), tmp_path, timeout=120)
    assert " passed" in output, output
    assert "failed" not in output, output
    skipped = [line for line in output.splitlines() if line.startswith("SKIPPED")]
    assert all("no cgroup controller: cpuset" in line for line in skipped), skipped


def test_what_v2_alone_has(tmp_path):
    assert uml.run(_ONLY_V2, tmp_path).splitlines() == [
        "memory 67108864 33554432 8388608 50331648",
        "cpu 20 20000 50000 1000",
        "pids 9",
        "programs 1 1 True",
        "unrestricted []",
        "refused InvalidArgument this kernel has no limit of that kind: hugetlb.3MB.max",
        "refused InvalidArgument this kernel has no limit of that kind: memory.no",
        "refused InvalidArgument this kernel has no limit of that kind: cpuset.cpus",
        "left []",
    ]
