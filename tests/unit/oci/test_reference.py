import subprocess
import sys

import pytest

from boxship.errors import InvalidArgument, InvalidReference
from boxship.oci import digest, reference
from boxship.oci.reference import Reference, parse, parse_bare
from tests.tables import rows

SHA = "sha256:" + "ab" * 32


def refuse(error, function, *args):
    with pytest.raises(InvalidReference) as caught:
        function(*args)
    assert error in caught.value.message
    return caught.value


@pytest.mark.parametrize("row", rows("reference/normalize"))
def test_normalize(row):
    want = dict(row["expect"])
    if "error" in want:
        refuse(want["error"], parse, row["input"])
        return
    want.pop("ok", None)
    got = parse(row["input"])
    found = {
        "domain": got.domain,
        "path": got.path,
        "full": str(got),
        "familiar": got.familiar(),
        "tag": got.tag or "",
        "digest": got.digest or "",
    }
    assert {key: found[key] for key in want} == want
    assert parse(str(got)) == got
    if not digest.is_hex(got.familiar()):
        assert parse(got.familiar()) == got


@pytest.mark.parametrize("row", rows("reference/parse", **{"parse:14": "that library does not link SHA-512; an engine takes it"}))
def test_parse(row):
    want = dict(row["expect"])
    if "error" in want:
        refuse(want["error"], parse_bare, row["input"])
        return
    got = parse_bare(row["input"])
    found = {"repository": got.name, "domain": got.domain, "tag": got.tag or "", "digest": got.digest or ""}
    assert {key: found[key] for key in want} == want
    assert str(got) == row["input"]


def _grammar(kind, text):
    """The parts, or None."""
    if kind == "domain":
        return [] if reference.is_domain(text) else None
    if kind == "identifier":
        return [] if digest.is_hex(text) else None
    try:
        got = parse_bare(text)
    except InvalidReference:
        return None
    if kind == "name":
        return [got.domain, got.path] if not (got.tag or got.digest) else None
    return [got.name, got.tag or "", got.digest or ""]


@pytest.mark.parametrize("row", rows("reference/grammar"))
def test_grammar(row):
    parts = _grammar(row["kind"], row["input"])
    assert (parts is not None) == row["expect"]["match"]
    if row["expect"].get("parts"):
        assert parts == row["expect"]["parts"]


@pytest.mark.parametrize("row", rows("reference/any"))
def test_any(row):
    got = reference.parse_any(row["input"])
    assert str(got) == row["expect"]["full"]
    assert isinstance(got, str) == row["expect"]["digest_only"]


def _compose(row):
    if "canonical_name" in row:
        return reference.parse_canonical(row["canonical_name"])
    got = parse_bare(row.get("name") or row["serialised"])
    if "tag" in row:
        got = got.with_tag(row["tag"])
    return got.with_digest(row["digest"]) if "digest" in row else got


@pytest.mark.parametrize("row", rows("reference/compose"))
def test_compose(row):
    want = dict(row["expect"])
    if "error" in want:
        refuse(want["error"], _compose, row)
        return
    got = _compose(row)
    found = {
        "domain": got.domain,
        "path": got.path,
        "combined": str(got),
        "name": got.name,
        "tag": got.tag or "",
        "digest": got.digest or "",
    }
    assert {key: found[key] for key in want} == want


@pytest.mark.parametrize("row", rows("reference/filter_match"))
def test_filter_match(row):
    if "error" in row["expect"]:
        with pytest.raises(InvalidArgument):
            reference.matches(parse(row["reference"]), row["pattern"])
        return
    assert reference.matches(parse(row["reference"]), row["pattern"]) == row["expect"]["match"]


@pytest.mark.parametrize("row", rows("reference/sort"))
def test_sort(row):
    assert reference.sort(row["input"]) == row["expect"]["sorted"]


@pytest.mark.parametrize("row", rows("reference/tag_target"))
def test_tag_target(row):
    if "error" in row["expect"]:
        refuse(row["expect"]["error"], reference.tag_target, row["target"])
        return
    got = reference.tag_target(row["target"])
    assert {"repo": got.name, "tag": got.tag} == row["expect"]


@pytest.mark.parametrize("row", rows("reference/with_default_tag"))
def test_with_default_tag(row):
    assert str(parse(row["input"]).with_default_tag()) == row["expect"]["full"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("UBUNTU", "invalid reference format: repository name (library/UBUNTU) must be lowercase"),
        ("", "invalid reference format"),
        ("ubuntu:", "invalid reference format"),
        ("ubuntu@", "invalid reference format"),
        ("a" * 64, "invalid repository name (" + "a" * 64 + "), cannot specify 64-byte hexadecimal strings"),
        ("x@sha256:" + "a" * 40, "invalid checksum digest length"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("ubuntu ", "invalid reference format"),
        ("ubuntü", "invalid reference format"),
        ("ubuntu:١", "invalid reference format"),
        ("a/" * 200 + "a", "repository name must not be more than 255 characters"),
    ],
)
def test_refused_in_dockers_words(text, words):
    assert refuse(words, parse, text).message.startswith(words)


def test_a_digest_is_no_target_of_a_tag():
    refuse("refusing to create a tag with a digest reference", reference.tag_target, f"x@{SHA}")


def test_value_semantics():
    assert parse("ubuntu:18.04") == Reference("docker.io", "library/ubuntu", "18.04")
    assert len({parse("ubuntu"), parse("docker.io/library/ubuntu")}) == 1
    assert parse("ubuntu") != "docker.io/library/ubuntu"
    assert parse("ubuntu:18.04").familiar() == "ubuntu:18.04"
    assert str(parse(f"ubuntu:18.04@{SHA}").without_tag()) == "docker.io/library/ubuntu"


def test_stays_light():
    """On the run path: a look at sys.modules of a fresh interpreter."""
    code = (
        "import sys; from boxship.oci.reference import parse; parse('ubuntu:18.04').with_default_tag().familiar();"
        "print([m for m in ('re','dataclasses','typing','json','hashlib','enum','collections') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = " + repr(sys.path) + ";" + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
