import pytest

from boxship.errors import InvalidArgument
from boxship.layers.users import extra_groups, lookup

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
1000:x:0:0:trap:/trap:/bin/sh
app:x:1000:1001::/home/app:/bin/sh
short:x

nohome:x:7:7
"""
GROUP = b"root:x:0:\nstaff:x:50:app,other\n1001:x:0:\nwheel:x:10:other,app\nempty:x:60:\n"


def _tuple(spec: str, passwd: bytes | None = PASSWD, group: bytes | None = GROUP) -> tuple[int, int, list[int], str]:
    user = lookup(spec, passwd, group)
    return user.uid, user.gid, user.groups, user.home


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ("", (0, 0, [], "/root")),
        ("root", (0, 0, [], "/root")),
        ("app", (1000, 1001, [50, 10], "/home/app")),
        ("1000", (1000, 1001, [50, 10], "/home/app")),
        ("app:staff", (1000, 50, [], "/home/app")),
        ("app:1001", (1000, 1001, [], "/home/app")),
        ("4242", (4242, 0, [], "/")),
        ("4242:4343", (4242, 4343, [], "/")),
        (":50", (0, 50, [], "/root")),
        ("nohome", (7, 7, [], "/")),
        ("2147483647", (2147483647, 0, [], "/")),
    ],
)
def test_lookup(spec: str, want: tuple[int, int, list[int], str]) -> None:
    assert _tuple(spec) == want


def test_numeric_user_is_never_a_name() -> None:
    # CVE-2016-3697: the entry called "1000" has uid 0
    assert _tuple("1000", b"1000:x:0:0::/trap:/bin/sh\n") == (1000, 0, [], "/")


def test_numeric_group_is_never_a_name() -> None:
    assert _tuple("app:1001", PASSWD, b"1001:x:0:\n")[1] == 1001


@pytest.mark.parametrize(
    "spec", ["nobody-here", "4294967296", "-1", "2147483648", "1:4294967296", "1:nogroup", "99999999999999999999999", "１"]
)
def test_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument):
        lookup(spec, PASSWD, GROUP)


def test_without_files() -> None:
    assert _tuple("5:6", None, None) == (5, 6, [], "/")
    with pytest.raises(InvalidArgument, match="unable to find user app: no matching entries in passwd file"):
        lookup("app", None, None)


def test_large_file_is_bounded() -> None:
    huge = b"x" * (2 << 20) + b"\nlate:x:5:5::/:/bin/sh\n"
    with pytest.raises(InvalidArgument):
        lookup("late", huge, None)


def test_extra_groups() -> None:
    assert extra_groups(["wheel", "10", "77", "staff"], GROUP) == [10, 77, 50]
    with pytest.raises(InvalidArgument, match="unable to find group nogroup"):
        extra_groups(["nogroup"], GROUP)
