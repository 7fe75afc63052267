import pytest

from boxship.errors import InvalidArgument
from boxship.oci import digest
from tests.tables import rows


@pytest.mark.parametrize("row", rows("distribution/digest"))
def test_digest(row):
    want = row["expect"]
    if "algorithm" in row:
        assert digest.is_algorithm(row["algorithm"]) == ("error" not in want)
    elif "content" in row:
        assert digest.of(row["content"].encode()) == want["digest"]
    elif "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            digest.validate(row["input"])
        assert want["error"] in caught.value.message
        assert not digest.is_digest(row["input"])
    else:
        assert digest.validate(row["input"]) == row["input"]
        assert digest.is_digest(row["input"])
        assert (digest.algorithm(row["input"]), digest.encoded(row["input"])) == (want["algorithm"], want["encoded"])


@pytest.mark.parametrize("row", rows("engine/short_id"))
def test_short(row):
    assert digest.short(row["input"]) == row["expect"]["short"]


def test_of():
    assert digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.of(b"", "sha512").startswith("sha512:cf83e1357eefb8bdf1542850d66d8007")
    with pytest.raises(InvalidArgument, match="unsupported digest algorithm"):
        digest.of(b"", "md5")
