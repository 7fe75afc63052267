"""From Docker's profile to OCI's seccomp object."""

import json

import pytest

from boxship.errors import InvalidArgument
from boxship.oci import seccomp_default
from boxship.oci import seccomp_profile as profiles
from tests.tables import DATA, rows


@pytest.mark.parametrize("row", rows("security/seccomp_profile"))
def test_resolve(row):
    want = row["expect"]
    if "filter" in row:
        conditions = json.loads(row["filter"])
        if "error" in want:
            with pytest.raises(InvalidArgument, match=want["error"]):
                profiles.check_filter(conditions)
            with pytest.raises(InvalidArgument, match=want["error"]):
                profiles.parse(json.dumps({"syscalls": [{"names": [], "includes": conditions}]}))
        else:
            profiles.check_filter(conditions)
        return
    if "error" in want:
        with pytest.raises(InvalidArgument, match=want["error"].replace("(", r"\(")):
            profiles.resolve(row["profile"], row["capabilities"], "x86_64", "6.1")
        return
    got = profiles.resolve(row["profile"], row["capabilities"], "x86_64", "6.1")
    if "rule_names_in_order" in want:
        assert [name for rule in got["syscalls"] for name in rule["names"]] == want["rule_names_in_order"]
    for key, value in want.get("seccomp", {}).items():
        assert got[key] == value


@pytest.mark.parametrize("row", rows("security/kernel_release"))
def test_kernel_release(row):
    want = row["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument):
            profiles.kernel_version(row["release"])
    else:
        assert profiles.kernel_version(row["release"]) == (want["kernel"], want["major"])


def verdicts(capabilities):
    """name -> "allow", "some" or [action, errno], from the rules alone."""
    oci = profiles.resolve(seccomp_default.profile(), capabilities, "x86_64", "6.18.0")
    found: dict[str, object] = {}
    for rule in oci["syscalls"]:
        for name in rule["names"]:
            value: object = "allow" if rule["action"] == "SCMP_ACT_ALLOW" else [rule["action"], rule["errnoRet"]]
            if rule.get("args"):
                value = "some"
            if found.get(name) != "allow":
                found[name] = value
    return found


@pytest.mark.parametrize("row", rows("security/seccomp_effective"))
def test_effective(row):
    want, got = row["expect"], verdicts(row["capabilities"])
    allowed = {name for name, value in got.items() if value == "allow"}
    if "allowed" in want:
        assert allowed == set(want["allowed"])
    else:
        base = {
            name
            for name, value in verdicts(rows("security/seccomp_effective")[0].values[0]["capabilities"]).items()
            if value == "allow"
        }
        assert allowed - base == set(want["added_to_default"])
        assert base - allowed == set(want["removed_from_default"])
    assert {name for name, value in got.items() if value == "some"} == set(want["allowed_for_some_arguments"])
    assert {name: value for name, value in got.items() if isinstance(value, list)} == want["other_action"]


def test_default_profile_is_dockers():
    path = DATA / "files/seccomp/default.json"
    if not path.exists():
        pytest.skip("the conformance tables are absent: files/seccomp/default.json")
    want = json.loads(path.read_text())
    for rule in want["syscalls"]:
        rule.pop("comment", None)
    assert seccomp_default.profile() == want


def test_default_profile_is_a_new_document_each_time():
    seccomp_default.profile()["syscalls"].clear()
    assert seccomp_default.profile()["syscalls"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"syscalls": [1]}'])
def test_broken_text_is_refused(text):
    with pytest.raises(InvalidArgument, match="decoding seccomp profile failed"):
        profiles.parse(text)


def test_minimum_kernel_decides():
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}}],
    }
    assert "syscalls" not in profiles.resolve(profile, [], "x86_64", "4.7.9")
    assert profiles.resolve(profile, [], "x86_64", "4.10")["syscalls"]


def test_empty_profile_means_no_seccomp():
    assert profiles.resolve({}, [], "x86_64", "6.1") is None
