"""Whatever comes in, one of our errors or a good value comes out."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import InvalidArgument, InvalidReference, Unsupported
from boxship.oci import config, manifest, pathmatch
from boxship.oci.platform import Platform
from boxship.oci.reference import parse

SHA = "sha256:" + "ab" * 32
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": SHA, "size": 1},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": SHA, "size": 2, "platform": {"os": "a"}}],
}
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=b"], "Volumes": {"/x": {}}, "Labels": {"a": "b"}, "Healthcheck": {"Test": ["CMD"], "Retries": 3}},
    "rootfs": {"type": "layers", "diff_ids": [SHA]},
    "history": [{"created_by": "x", "empty_layer": True}],
}
JUNK = [None, True, -1, 1 << 70, 1.5, "", "\0", "x" * 300, [], {}, [[]], {"a": {}}, "sha256:", "../..", SHA]


def _mutate(value, dice):
    if dice.random() < 0.15:
        return dice.choice(JUNK)
    if isinstance(value, dict):
        return {(key if dice.random() > 0.03 else "manifests"): _mutate(one, dice) for key, one in value.items()}
    if isinstance(value, list):
        return [_mutate(one, dice) for one in value for _ in range(dice.choice((0, 1, 1, 1, 2)))]
    return value


def _survives(reader, sample, seed):
    dice = random.Random(seed)
    good = 0
    for _ in range(1500):
        data = json.dumps(_mutate(sample, dice)).encode()
        if dice.random() < 0.2:
            cut = dice.randrange(len(data))
            data = data[:cut] + bytes([dice.randrange(256)]) + data[cut + dice.randrange(3) :]
        try:
            reader(data)
            good += 1
        except (InvalidArgument, Unsupported) as error:
            assert error.message
    assert 0 < good < 1500


def test_manifests():
    _survives(manifest.parse_manifest, MANIFEST, 1)


def test_configs():
    _survives(config.parse_config, CONFIG, 2)


WORDS = st.text(st.sampled_from("abZ09._-:/@[]% sha256\n\0é"), max_size=80) | st.text(max_size=40)


@given(WORDS)
def test_references(text):
    try:
        found = parse(text)
    except InvalidReference as error:
        assert error.message
        return
    assert parse(str(found)) == found
    assert str(found).isascii() and " " not in str(found)


@given(WORDS)
def test_platforms(text):
    try:
        found = Platform.parse(text)
    except InvalidArgument:
        return
    assert found.with_defaults().normalised() == found.with_defaults()


@given(st.text(st.sampled_from("ab*?[]-^\\/"), max_size=12), st.text(st.sampled_from("ab-/"), max_size=12))
def test_patterns(pattern, name):
    try:
        assert pathmatch.match(pattern, name) in (True, False)
    except InvalidArgument as error:
        assert pattern in error.message
