"""Limits that Docker refuses."""

import time

import pytest

from boxship.errors import InvalidArgument
from boxship.runtime.cgroups import checks
from tests.tables import rows


@pytest.mark.parametrize("row", rows("engine/resource_checks"))
def test_table(row):
    call = lambda: checks.validate(row["HostConfig"], ncpu=4, realtime=row["kernel"]["cpu_realtime"])  # noqa: E731
    if "error" not in row["expect"]:
        call()
        return
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert row["expect"]["error"] in str(caught.value)


@pytest.mark.parametrize("row", rows("engine/cpuset"))
def test_cpuset(row):
    want = row["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument):
            checks.parse_list(row["cpuset"])
    elif "set" in want:
        assert sorted(checks.parse_list(row["cpuset"])) == want["set"]
    else:
        assert checks.is_available(row["cpuset"], row["available"]) == want["available"]


MIB = 1 << 20
REFUSED = [
    ({"Memory": 5 * MIB}, "Minimum memory limit allowed is 6MB"),
    ({"Memory": 4}, "Minimum memory limit allowed is 6MB"),
    ({"Memory": 64 * MIB, "MemorySwap": 63 * MIB}, "Minimum memoryswap limit should be larger than memory limit"),
    ({"MemorySwap": 64 * MIB}, "You should always set the Memory limit when using Memoryswap limit"),
    ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
    ({"MemoryReservation": MIB}, "Minimum memory reservation allowed is 6MB"),
    ({"Memory": 8 * MIB, "MemoryReservation": 9 * MIB}, "can not be less than memory reservation limit"),
    ({"NanoCpus": 5_000_000_000}, r"range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
    ({"NanoCpus": -1}, "range of CPUs is from 0.01"),
    ({"NanoCpus": 10**9, "CpuQuota": 5000}, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({"NanoCpus": 10**9, "CpuPeriod": 5000}, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
    ({"CpuShares": -2}, r"invalid CPU shares \(-2\): value must be a positive integer"),
    ({"CpuPeriod": 999}, "CPU cfs period can not be less than 1ms"),
    ({"CpuPeriod": 1_000_001}, "CPU cfs period can not be less than 1ms"),
    ({"CpuQuota": 999}, "CPU cfs quota can not be less than 1ms"),
    ({"CpusetCpus": "0-4"}, "Requested CPUs are not available - requested 0-4, available: 0-3"),
    ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus"),
    ({"CpusetMems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
    ({"BlkioWeight": 9}, "Range of blkio weight is from 10 to 1000"),
]


@pytest.mark.parametrize(("host", "message"), REFUSED, ids=[str(host) for host, _ in REFUSED])
def test_refused(host, message):
    with pytest.raises(InvalidArgument, match=message):
        checks.validate(host, ncpu=4, cpus="0-3", mems="0")


@pytest.mark.parametrize(
    "host",
    [
        {"Memory": 6 * MIB, "MemorySwap": -1},
        {"Memory": 6 * MIB, "MemorySwap": 6 * MIB, "MemorySwappiness": 0},
        {"Memory": 0, "MemorySwap": -1, "MemorySwappiness": -1},
        {"NanoCpus": 4_000_000_000, "CpuQuota": 0},
        {"CpuPeriod": 1000, "CpuQuota": -1},
        {"CpusetCpus": "0,2-3", "CpusetMems": "0", "BlkioWeight": 1000},
        {"Memory": None, "CpusetCpus": None},
    ],
    ids=str,
)
def test_accepted(host):
    checks.validate(host, ncpu=4, cpus="0-3", mems="0")


@pytest.mark.parametrize("text", ["1-2147483647", "0-99999999999999999999", "0-8193,1"])
def test_huge_lists_end_at_once(text):
    # CVE-2018-20699: the set of such a list once filled the engine's memory
    start = time.monotonic()
    with pytest.raises(InvalidArgument, match="Invalid value"):
        checks.validate({"CpusetCpus": text}, ncpu=4, cpus="0-3")
    assert time.monotonic() - start < 1
