"""OCI's device rules: reduced to a default with exceptions, then written as lines for cgroup v1 or as a program for v2.

Pure: the drivers write the lines and load the program. The kernel keeps rules in the reduced form itself
(Documentation/admin-guide/cgroup-v1/devices.rst), so both drivers mean the same by one list.
"""

from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    # type, major, minor (-1: any) -> access letters in the order rwm
    Exceptions = dict[tuple[str, int, int], str]

_ACCESS_BITS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_* in include/uapi/linux/bpf.h
_TYPE_BITS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*


def _rule(kind: str, major: int, minor: int, access: str) -> "dict[str, Any]":
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


# What runc adds to every container: making nodes is harmless while opening them is not allowed (specconv.AllowedDevices), and
# the nodes that OCI's default /dev holds: null random full tty zero urandom, pts/*, ptmx
ALWAYS: "tuple[dict[str, Any], ...]" = (
    _rule("c", -1, -1, "m"),
    _rule("b", -1, -1, "m"),
    *(_rule("c", major, minor, "rwm") for major, minor in ((1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9), (136, -1), (5, 2))),
)


def reduce(rules: "Iterable[dict[str, Any]]") -> "tuple[bool, Exceptions]":
    """(allowed by default, exceptions) after all rules in order, beginning with nothing allowed.

    Raises InvalidArgument for a malformed rule, and for one that would cut a hole into a wider one, which v1 can't express.
    """
    default, exceptions = False, {}  # type: bool, Exceptions
    for rule in rules:
        allow, access = bool(rule.get("allow")), _access(rule)
        for key in _keys(rule):
            if key[0] == "a":
                default, exceptions = allow, {}
            elif allow == default:
                _withdraw(exceptions, key, access, rule)
            else:
                both = exceptions.get(key, "") + access
                exceptions[key] = "".join(letter for letter in "rwm" if letter in both)
    return default, exceptions


def _access(rule: "dict[str, Any]") -> str:
    access = rule.get("access") or "rwm"
    if any(letter not in "rwm" for letter in access):
        raise InvalidArgument(f"invalid access of a device rule: {access}", hint="use letters of rwm")
    return str(access)


def _keys(rule: "dict[str, Any]") -> "list[tuple[str, int, int]]":
    kind = rule.get("type") or "a"
    major, minor = rule.get("major"), rule.get("minor")
    major = -1 if major is None else major
    minor = -1 if minor is None else minor
    if kind == "a" and major == minor == -1 and set(_access(rule)) == set("rwm"):
        return [("a", -1, -1)]
    if kind not in ("a", "b", "c", "u", "p"):
        raise InvalidArgument(f"invalid type of a device rule: {kind}", hint="use a, b or c")
    if kind == "p":
        return []  # pipes are no devices to the kernel's controller
    return [(one, major, minor) for one in ("c" if kind == "u" else kind).replace("a", "bc")]


def _withdraw(exceptions: "Exceptions", key: "tuple[str, int, int]", access: str, rule: "dict[str, Any]") -> None:
    kind, major, minor = key
    for other in list(exceptions):
        met = other[0] == kind and _meets(major, other[1]) and _meets(minor, other[2])
        if not met or not set(access) & set(exceptions[other]):
            continue
        if (major not in (-1, other[1])) or (minor not in (-1, other[2])):
            raise InvalidArgument(
                f"device rule contradicts a wider one: {kind} {_text(major)}:{_text(minor)} {rule.get('access') or 'rwm'}",
                hint="leave the wider rule out, and name the devices one by one",
            )
        left = "".join(letter for letter in exceptions.pop(other) if letter not in access)
        if left:
            exceptions[other] = left


def _meets(one: int, other: int) -> bool:
    return one == other or -1 in (one, other)


def _text(number: int) -> str:
    return "*" if number == -1 else str(number)


def lines(rules: "Sequence[dict[str, Any]]") -> "list[tuple[str, str]]":
    """(file, line) to write to a fresh cgroup v1 in this order; nothing for no rules."""
    if not rules:
        return []
    default, exceptions = reduce(rules)
    first, then = ("devices.allow", "devices.deny") if default else ("devices.deny", "devices.allow")
    return [(first, "a"), *((then, f"{t} {_text(major)}:{_text(minor)} {a}") for (t, major, minor), a in exceptions.items())]


def program(rules: "Sequence[dict[str, Any]]") -> bytes:
    """A BPF_PROG_TYPE_CGROUP_DEVICE program for cgroup v2; it returns 1 to allow.

    The context is struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
    """
    from boxship.linux import bpf

    default, exceptions = reduce(rules)
    code = [
        bpf.load_word(bpf.R2, bpf.R1, 0),
        bpf.move(bpf.R3, bpf.R2),
        bpf.and_imm(bpf.R2, 0xFFFF),
        bpf.shift_right(bpf.R3, 16),
        bpf.load_word(bpf.R4, bpf.R1, 4),
        bpf.load_word(bpf.R5, bpf.R1, 8),
    ]
    for key, access in exceptions.items():
        code += _block(key, access, default)
    code += [bpf.move_imm(bpf.R0, int(default)), bpf.leave()]
    return b"".join(code)


def _block(key: "tuple[str, int, int]", access: str, default: bool) -> "list[bytes]":
    """One exception: an allowing one must cover all that is asked for, a denying one any of it (security/device_cgroup.c)."""
    from boxship.linux import bpf

    kind, major, minor = key
    bits = sum(_ACCESS_BITS[letter] for letter in access)
    tests = [(bpf.R2, _TYPE_BITS[kind])]
    tests += [(bpf.R4, major)] if major != -1 else []
    tests += [(bpf.R5, minor)] if minor != -1 else []
    tail = [bpf.move_imm(bpf.R0, int(not default)), bpf.leave()]
    if bits != 7 or default:
        skip = bpf.jump_equal(bpf.R1, 0, 2) if default else bpf.jump_unequal_register(bpf.R1, bpf.R3, 2)
        tail = [bpf.move(bpf.R1, bpf.R3), bpf.and_imm(bpf.R1, bits), skip, *tail]
    block = list(tail)
    for register, value in reversed(tests):
        block.insert(0, bpf.jump_unequal(register, value, len(block)))
    return block


def parse_rule(text: str) -> "dict[str, Any]":
    """--device-cgroup-rule: "c 1:3 rwm" as an OCI rule, -1 for *. Docker's words for what is none."""
    bad = f"invalid device cgroup rule format: '{text}'"
    fields = text.split(" ")
    if len(fields) != 3 or fields[0] not in ("a", "b", "c"):
        raise InvalidArgument(bad, hint="such as 'c 1:3 rwm'")
    kind, numbers, access = fields
    major, colon, minor = numbers.partition(":")
    if not colon or not _is_number(major) or not _is_number(minor) or not 1 <= len(access) <= 3 or access.strip("rwm"):
        raise InvalidArgument(bad, hint="such as 'c 1:3 rwm'")
    pair = _number(major, "major", text), _number(minor, "minor", text)
    return {"allow": True, "type": kind, "major": pair[0], "minor": pair[1], "access": access}


def _is_number(text: str) -> bool:
    return text == "*" or (text.isascii() and text.isdigit())


def _number(text: str, which: str, rule: str) -> int:
    value = -1 if text == "*" else int(text) if len(text) < 20 else 1 << 63
    if value >= 1 << 63:
        raise InvalidArgument(f"invalid {which} value in device cgroup rule format: '{rule}'", hint="device numbers are below 2^20")
    return value
