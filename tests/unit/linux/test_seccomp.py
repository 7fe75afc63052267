"""The seccomp compiler against libseccomp: both programs interpreted, every verdict equal."""

import random

import pytest

from boxship.errors import InvalidArgument, Unsupported
from boxship.linux import caps, seccomp
from boxship.oci import seccomp_default, seccomp_profile
from tests.unit.linux import cbpf

needs_libseccomp = pytest.mark.skipif(cbpf.library() is None, reason="libseccomp.so.2 is not installed")

ENOSYS = seccomp.RET_ERRNO | 38
KNOWN_BY_LIBSECCOMP = 456  # the newest number of the oldest libseccomp that the tests meet (Debian 12's 2.5.4)
SAMPLES = ((), (8,), (38,), (39,), (40,), (41,), (0x20000,), (0x10000000,), (1 << 32 | 8,), (0xFFFFFFFF,), (2**64 - 1,), (1, 0x10000000))


def names_of(oci, architecture):
    table = seccomp.numbers(architecture)
    return [table[name] for rule in oci.get("syscalls", ()) for name in rule["names"] if name in table]


def differences(oci, samples, native="X86_64", machine="x86_64"):
    """(architecture, nr, args, ours, libseccomp's) where they disagree; runc's ENOSYS rule is put on top of libseccomp's."""
    ours, theirs = cbpf.load(seccomp.compile(oci, machine)), cbpf.libseccomp(oci, native)
    found = []
    for architecture in oci.get("architectures") or [f"SCMP_ARCH_{native}"]:
        word = architecture.removeprefix("SCMP_ARCH_")
        audit = cbpf.ARCHES["X86_64" if word == "X32" else word]
        bit = 0x40000000 if word == "X32" else 0
        last = max(names_of(oci, architecture), default=0)
        stub = oci["defaultAction"] not in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE") and last
        numbers = [*range(560), 0x3FFFFFFF, *([0xF0001, 0xF0002, 0xF0005, 0xF0007] if word == "ARM" else [])]
        for nr in numbers:
            if KNOWN_BY_LIBSECCOMP < nr <= last & 0x3FFFFFFF and nr < 512 or nr in (335, 336) and word == "X86_64":
                continue
            for args in samples:
                want = ENOSYS if stub and nr | bit > last else cbpf.run(theirs, audit, nr | bit, args)
                got = cbpf.run(ours, audit, nr | bit, args)
                if got != want:
                    found.append((word, nr, args, hex(got), hex(want)))
    return found


@needs_libseccomp
@pytest.mark.parametrize("extra", [(), ("CAP_SYS_ADMIN",), ("CAP_BPF", "CAP_SYS_PTRACE", "CAP_SYS_TIME")], ids=lambda extra: "+".join(extra) or "default")
def test_default_profile_equals_libseccomp(extra):
    oci = seccomp_profile.resolve(seccomp_default.profile(), [*caps.DEFAULT, *extra], "x86_64", "6.1.0")
    assert oci["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert differences(oci, SAMPLES) == []


@needs_libseccomp
def test_default_profile_on_aarch64_equals_libseccomp():
    oci = seccomp_profile.resolve(seccomp_default.profile(), caps.DEFAULT, "aarch64", "6.1.0")
    assert oci["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert differences(oci, SAMPLES, "AARCH64", "aarch64") == []


OPERATORS = ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")
EDGES = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x100000001, 0x1FFFFFFFF, 2**63, 2**64 - 1)


def rows_of(op, value, second=0, index=0):
    return {"index": index, "value": value, "valueTwo": second, "op": f"SCMP_CMP_{op}"}


@needs_libseccomp
@pytest.mark.parametrize("op", OPERATORS)
def test_operator_on_64_bits_equals_libseccomp(op):
    for value in EDGES:
        second = value & 0xF0000000F
        profile = {
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [rows_of(op, value, second, 2)]}],
        }
        samples = [(7, 7, number) for number in EDGES]
        assert differences(profile, samples) == [], hex(value)


def random_profile(rng, default, once):
    """Forty rules; with `once` no system call has conditions twice."""
    names = sorted(set(seccomp.numbers("SCMP_ARCH_X86_64")) & set(seccomp.numbers("SCMP_ARCH_X86")))
    names = [n for n in names if seccomp.numbers("SCMP_ARCH_X86_64")[n] <= KNOWN_BY_LIBSECCOMP and not n.startswith(("upr", "uret"))]
    rules, used = [], set()
    for _ in range(40):
        args = []
        for index in rng.sample(range(6), rng.choice([0, 0, 1, 2, 3])):
            value = rng.choice(EDGES)
            args.append(rows_of(rng.choice(OPERATORS), value, value & rng.choice(EDGES), index))
        chosen = rng.sample(names, rng.choice([1, 5, 30]))
        if args and once:
            chosen = [n for n in chosen if n not in used]
            used.update(chosen)
        rules.append({"names": chosen, "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": args})
    return {"defaultAction": default, "syscalls": rules}


@needs_libseccomp
@pytest.mark.parametrize("seed", range(10))
def test_random_profiles_equal_libseccomp(seed):
    # once: where several rules with several conditions meet on one system call, libseccomp 2.5's merged tree gives wrong verdicts
    rng = random.Random(seed)
    default = rng.choice(["ERRNO", "KILL_PROCESS", "KILL", "TRAP", "ALLOW", "LOG", "TRACE"])
    profile = random_profile(rng, f"SCMP_ACT_{default}", once=True)
    x86_64 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    profile["architectures"] = rng.choice([[], x86_64, [*x86_64, "SCMP_ARCH_X32"]])
    assert differences(profile, [tuple(rng.choice(EDGES) for _ in range(6)) for _ in range(4)]) == []


def holds(condition, args):
    value, got = condition["value"], args[condition["index"]]
    masked = got & value == condition["valueTwo"] & value
    return {"EQ": got == value, "NE": got != value, "LT": got < value, "LE": got <= value, "GT": got > value, "GE": got >= value,
            "MASKED_EQ": masked}[condition["op"].removeprefix("SCMP_CMP_")]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_random_profiles_mean_what_they_say(seed):
    rng = random.Random(seed)
    profile = random_profile(rng, "SCMP_ACT_LOG", once=False)
    program = cbpf.load(seccomp.compile(profile, "x86_64"))
    for name, nr in seccomp.numbers("SCMP_ARCH_X86_64").items():
        for _ in range(6):
            args = tuple(rng.choice(EDGES) for _ in range(6))
            hit = any(name in rule["names"] and all(holds(arg, args) for arg in rule["args"]) for rule in profile["syscalls"])
            assert cbpf.run(program, cbpf.ARCHES["X86_64"], nr, args) == (seccomp.RET_ERRNO | 7 if hit else seccomp.RET_LOG), (name, args)


@needs_libseccomp
def test_multiplexed_socket_and_ipc_calls_of_x86_equal_libseccomp():
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["accept", "socket", "recv", "sendto", "semop", "shmget", "close"], "action": "SCMP_ACT_ALLOW"}],
    }
    assert differences(profile, [(n,) for n in range(26)]) == []


@needs_libseccomp
@pytest.mark.parametrize("nr", [0x40000000, 0x40000001, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF], ids=hex)
def test_x32_numbers_without_x32_in_the_profile(nr):
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    got = cbpf.run(cbpf.load(seccomp.compile(profile, "x86_64")), cbpf.ARCHES["X86_64"], nr)
    assert got == cbpf.run(cbpf.libseccomp(profile), cbpf.ARCHES["X86_64"], nr)


def test_foreign_architecture_is_killed():
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}
    program = cbpf.load(seccomp.compile(profile, "x86_64"))
    assert cbpf.run(program, cbpf.ARCHES["X86"], 3) == seccomp.RET_KILL_THREAD
    assert cbpf.run(program, cbpf.ARCHES["X86_64"], 0) == seccomp.RET_ERRNO | 1
    assert cbpf.run(program, cbpf.ARCHES["X86_64"], 1) == seccomp.RET_ALLOW


def test_newer_calls_than_the_profile_get_enosys_unless_all_is_allowed():
    rules = [{"names": ["dup"], "action": "SCMP_ACT_ALLOW"}, {"names": ["close_range"], "action": "SCMP_ACT_ERRNO"}]
    x86_64 = cbpf.ARCHES["X86_64"]
    strict = cbpf.load(seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}, "x86_64"))
    assert cbpf.run(strict, x86_64, 436) == seccomp.RET_ERRNO | 1  # named, though with the default's own action
    assert cbpf.run(strict, x86_64, 437) == ENOSYS
    logging = cbpf.load(seccomp.compile({"defaultAction": "SCMP_ACT_LOG", "syscalls": rules}, "x86_64"))
    assert cbpf.run(logging, x86_64, 437) == seccomp.RET_LOG


def test_two_conditions_on_one_argument_are_alternatives():
    args = [rows_of("EQ", 1), rows_of("EQ", 2)]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": args}]}
    program = cbpf.load(seccomp.compile(profile, "x86_64"))
    assert [cbpf.run(program, cbpf.ARCHES["X86_64"], 32, (n,)) for n in (1, 2, 3)] == [seccomp.RET_ALLOW, seccomp.RET_ALLOW, seccomp.RET_ERRNO | 1]


def test_common_calls_take_few_instructions():
    oci = seccomp_profile.resolve(seccomp_default.profile(), caps.DEFAULT, "x86_64", "6.1.0")
    program = cbpf.load(seccomp.compile(oci, "x86_64"))
    table = seccomp.numbers("SCMP_ARCH_X86_64")
    lengths = {}
    for name in seccomp._HOT.split():
        trace: list[int] = []
        cbpf.run(program, cbpf.ARCHES["X86_64"], table[name], (), trace)
        lengths[name] = len(trace)
    assert max(lengths.values()) <= 12, lengths
    assert sum(lengths.values()) / len(lengths) < 9


def test_numbers_agree_with_the_kernels_header():
    for header, architecture, bit in (("64", "X86_64", 0), ("32", "X86", 0), ("x32", "X32", 0x40000000)):
        try:
            text = open(f"/usr/include/x86_64-linux-gnu/asm/unistd_{header}.h").read()
        except OSError:
            pytest.skip("the kernel's headers for x86 are not installed")
        table = seccomp.numbers(f"SCMP_ARCH_{architecture}")
        for line in text.splitlines():
            words = line.replace("(__X32_SYSCALL_BIT + ", "").replace(")", "").split()
            if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
                assert table[words[1][5:]] == int(words[2]) | bit, line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "seccomp action is not known: SCMP_ACT_MAYBE"),
        ({"defaultAction": ""}, "seccomp action is not known"),
        ({"architectures": ["SCMP_ARCH_Z80"]}, "seccomp architecture is not known: SCMP_ARCH_Z80"),
        ({"syscalls": [{"names": ["dup"], "action": "ALLOW"}]}, "seccomp action is not known: ALLOW"),
        ({"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}, "index is out of range: 6"),
        ({"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "=="}]}]}, "operator is not known: =="),
        ({"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": -1}]}]}, "out of range: -1"),
    ],
)
def test_bad_words_are_refused(change, message):
    with pytest.raises(InvalidArgument, match=message):
        seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", **change}, "x86_64")


def test_notify_is_refused_and_unknown_names_are_skipped():
    with pytest.raises(Unsupported, match="SCMP_ACT_NOTIFY"):
        seccomp.compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_NOTIFY"}]}, "x86_64")
    seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]}, "x86_64")


def test_flags():
    assert seccomp.flags({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}) == 6
    assert seccomp.flags({}) == 0
    with pytest.raises(InvalidArgument, match="seccomp flag is not known: X"):
        seccomp.flags({"flags": ["X"]})


def test_a_profile_of_many_conditions_is_refused_by_length_and_far_jumps_are_right():
    def many(count):
        calls = sorted(seccomp.numbers("SCMP_ARCH_X86_64").items(), key=lambda item: item[1])[:count]
        args = lambda nr: [rows_of("EQ", nr << 32 | 5, 0, index) for index in range(2)]  # noqa: E731
        return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": [n], "action": "SCMP_ACT_ALLOW", "args": args(nr)} for n, nr in calls]}

    program = cbpf.load(seccomp.compile(many(330), "x86_64"))
    for nr in range(0, 330):
        assert cbpf.run(program, cbpf.ARCHES["X86_64"], nr, (nr << 32 | 5, nr << 32 | 5)) == seccomp.RET_ALLOW
        assert cbpf.run(program, cbpf.ARCHES["X86_64"], nr, (nr << 32 | 5, 5)) == (seccomp.RET_ALLOW if nr == 0 else seccomp.RET_ERRNO | 1)
    long = many(330)
    long["syscalls"] = [
        {**rule, "args": [rows_of("EQ", 1000 * which + times)]} for times in range(8) for which, rule in enumerate(long["syscalls"])
    ]
    with pytest.raises(InvalidArgument, match="seccomp profile is too long"):
        seccomp.compile(long, "x86_64")
