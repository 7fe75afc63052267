import os

import pytest

from boxship.errors import InvalidArgument
from boxship.oci import platform
from boxship.oci.platform import Platform, choose, host
from tests.tables import rows


@pytest.mark.parametrize("row", rows("distribution/platform"))
def test_platform(row):
    want = row["expect"]
    if "text" in row:
        with pytest.raises(InvalidArgument):
            Platform.parse(row["text"])
    elif "platform" in row:
        found = Platform.from_dict(row["platform"])
        assert str(found) == want["text"]
        if want.get("parses_back"):
            assert Platform.parse(want["text"]) == found
    elif "a" in row:
        assert (Platform.from_dict(row["a"]) == Platform.from_dict(row["b"])) == want["equal"]
    elif "have" in row:
        assert Platform.from_dict(row["have"]).satisfies(Platform.from_dict(row["wanted"])) == want["satisfies"]
    else:
        assert platform.no_match(Platform.from_dict(row["no_match"])) == want["message"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("Linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64/v8"),
        ("arm64", "linux/arm64/v8"),
        ("linux", "linux/amd64"),
        ("", "linux/amd64"),
    ],
)
def test_what_the_user_means(text, want):
    assert str(Platform.parse(text).with_defaults(Platform("linux", "amd64"))) == want


@pytest.mark.parametrize("text", ["nonsense", "linux/", "/amd64", "linux//v7", "a/b/c/d", "linux/am d64", "linux/amd64/v7\n"])
def test_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        Platform.parse(text)
    assert text in caught.value.message
    assert caught.value.hint


ENTRIES = ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "linux/386", "windows/amd64", "unknown/unknown"]


@pytest.mark.parametrize(
    ("wanted", "want"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v5"),
        ("linux/386", "linux/386"),
        ("linux/s390x", None),
    ],
)
def test_choose(wanted, want):
    found = choose([Platform.parse(text) for text in ENTRIES], Platform.parse(wanted))
    assert (ENTRIES[found] if found is not None else None) == want


def test_32_bit_kin_and_entries_without_platform():
    assert choose([Platform.parse("linux/386"), None], Platform("linux", "amd64")) == 0
    assert choose([Platform.parse("linux/arm/v6"), Platform.parse("linux/arm/v7")], Platform("linux", "arm64")) == 1
    assert choose([Platform("windows", "amd64"), None], Platform("linux", "amd64")) == 1
    assert choose([Platform("linux", "arm")], Platform("linux", "amd64")) is None


def test_first_of_equals_and_variants():
    both = [Platform("linux", "amd64", "v2"), Platform("linux", "amd64"), Platform("linux", "amd64")]
    assert choose(both, Platform("linux", "amd64")) == 1
    assert choose(both, Platform("linux", "amd64", "v3")) == 0


def test_host():
    known = {"x86_64": "linux/amd64", "aarch64": "linux/arm64/v8"}
    assert str(host()) == known[os.uname().machine]


@pytest.mark.parametrize("bad", [{"os": 1}, {"os": "linux", "os.features": "x"}, {"architecture": []}, {"features": [1]}])
def test_hostile_documents(bad):
    with pytest.raises(InvalidArgument):
        Platform.from_dict(bad)


def test_hostile_variant():
    assert choose([Platform("linux", "amd64", "v" + "9" * 5000)], Platform("linux", "amd64", "v²")) is None
