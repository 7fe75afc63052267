"""Device rules: reduced, as v1 lines, as a v2 program run in a small eBPF interpreter."""

import random
import struct

import pytest

from boxship.errors import InvalidArgument
from boxship.runtime.cgroups import devices
from tests.tables import rows, table


@pytest.mark.parametrize("row", rows("engine/device_cgroup_rule"))
def test_rule_text(row):
    want = row["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            devices.parse_rule(row["rule"])
        assert want["error"] in str(caught.value)
    else:
        assert devices.parse_rule(row["rule"]) == want


def allow(kind, major=-1, minor=-1, access="rwm"):
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def deny(*rule, **more):
    return {**allow(*rule, **more), "allow": False}


DENY_ALL = {"allow": False, "access": "rwm"}
TYPES, ACCESS = {"b": 1, "c": 2}, {"m": 1, "r": 2, "w": 4}


def ebpf(program, kind, major, minor, access):
    """The program's verdict on one access."""
    word = TYPES[kind] | sum(ACCESS[letter] for letter in access) << 16
    context = struct.pack("=III", word, major, minor)
    code = list(struct.iter_unpack("=BBhi", program))
    register = [0] * 11
    pc = 0
    while True:
        op, registers, offset, value = code[pc]
        dst, src = registers & 15, registers >> 4
        pc += 1
        if op == 0x61:
            assert src == 1
            register[dst] = int.from_bytes(context[offset : offset + 4], "little")
        elif op == 0xBF:
            register[dst] = register[src]
        elif op == 0xB7:
            register[dst] = value
        elif op == 0x57:
            register[dst] &= value
        elif op == 0x77:
            register[dst] >>= value
        elif op == 0x15:
            pc += offset if register[dst] == value else 0
        elif op == 0x55:
            pc += offset if register[dst] != value else 0
        elif op == 0x5D:
            pc += offset if register[dst] != register[src] else 0
        else:
            assert op == 0x95, hex(op)
            return bool(register[0])


def kernel(default, exceptions, kind, major, minor, access):
    """What security/device_cgroup.c decides: an allowing exception covers the whole access, a denying one any part of it."""
    for (other, one, two), letters in exceptions.items():
        if other == kind and one in (-1, major) and two in (-1, minor):
            hit = set(access) & set(letters) if default else set(access) <= set(letters)
            if hit:
                return not default
    return default


@pytest.mark.parametrize("seed", range(5))
def test_program_decides_as_the_kernels_own_controller(seed):
    rng = random.Random(seed)
    rules = [rng.choice([DENY_ALL, {"allow": True, "access": "rwm"}])]
    for _ in range(12):
        one = allow(rng.choice("bc"), rng.choice([-1, 1, 5, 259]), rng.choice([-1, 0, 3]), rng.choice(["r", "w", "m", "rw", "rwm"]))
        rules.append({**one, "allow": not rules[0]["allow"]})
    default, exceptions = devices.reduce(rules)
    program = devices.program(rules)
    for kind in "bc":
        for major in (0, 1, 5, 259):
            for minor in (0, 3, 9):
                for access in ("r", "w", "m", "rw", "rwm"):
                    want = kernel(default, exceptions, kind, major, minor, access)
                    assert ebpf(program, kind, major, minor, access) == want, (kind, major, minor, access)


def default_rules():
    facts = table("security/default_spec").get("facts")
    if not facts:
        pytest.skip("the conformance tables are absent: security/default_spec")
    return [*facts["device_cgroup"], *devices.ALWAYS]


def test_docker_defaults():
    program = devices.program(default_rules())
    open_nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 0), (136, 77)]
    assert all(ebpf(program, "c", major, minor, "rw") for major, minor in open_nodes)
    assert not any(ebpf(program, "c", major, minor, "r") for major, minor in ((1, 1), (1, 2), (1, 4), (10, 229), (10, 200), (4, 0)))
    assert not ebpf(program, "b", 8, 0, "r")
    assert ebpf(program, "b", 8, 0, "m")
    lines = devices.lines(default_rules())
    assert lines[0] == ("devices.deny", "a")
    assert ("devices.allow", "c 136:* rwm") in lines
    assert ("devices.allow", "b *:* m") in lines
    assert all(file == "devices.allow" for file, _ in lines[1:])


def test_privileged_allows_all():
    rules = [*default_rules(), {"allow": True, "access": "rwm"}]
    assert devices.lines(rules) == [("devices.allow", "a")]
    assert ebpf(devices.program(rules), "b", 8, 0, "rwm")


def test_no_rules_restrict_nothing():
    assert devices.lines([]) == []


@pytest.mark.parametrize(
    ("rules", "want"),
    [
        ([allow("c", 1, 3)], (False, {("c", 1, 3): "rwm"})),
        ([DENY_ALL, allow("c", 1, 3, "m"), allow("c", 1, 3, "r")], (False, {("c", 1, 3): "rm"})),
        ([DENY_ALL, allow("c", 1, 3), deny("c", 1, 3, "w")], (False, {("c", 1, 3): "rm"})),
        ([DENY_ALL, allow("c", 1, 3), deny("c", 1, -1)], (False, {})),
        ([DENY_ALL, allow("a", 1, 3)], (False, {("b", 1, 3): "rwm", ("c", 1, 3): "rwm"})),
        ([DENY_ALL, allow("c", 1, 3), {"allow": True, "type": "a", "access": "rwm"}], (True, {})),
        ([{"allow": True}, deny("b", 8, 0, "w")], (True, {("b", 8, 0): "w"})),
        ([DENY_ALL, deny("c", 10, 229)], (False, {})),
        ([DENY_ALL, allow("p", 1, 1)], (False, {})),
    ],
)
def test_reduce(rules, want):
    assert devices.reduce(rules) == want


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([DENY_ALL, allow("c"), deny("c", 1, 3)], r"contradicts a wider one: c 1:3 rwm"),
        ([{"allow": True, "type": "x"}], "invalid type of a device rule: x"),
        ([{"allow": True, "type": "c", "access": "rwx"}], "invalid access of a device rule: rwx"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(InvalidArgument, match=message):
        devices.program(rules)
