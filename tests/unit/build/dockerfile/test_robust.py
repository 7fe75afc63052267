"""Whatever comes in: a result or an error of ours, never another exception."""

import re
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.build import gitref, ignore, urlname
from boxship.build.dockerfile.decode import decode, decode_trigger
from boxship.build.dockerfile.directives import detect_syntax
from boxship.build.dockerfile.parser import NAMES, parse
from boxship.build.dockerfile.stages import link_stages, plan_stages
from boxship.build.dockerfile.values import csv_fields, device, duration, exposed_ports, workdir
from boxship.build.dockerfile.words import expand, expand_words
from boxship.errors import InvalidArgument

_QUICK = settings(max_examples=300, deadline=None, derandomize=True, database=None)
_SPICE = "\\`'\"$<>{}[]()-=:/#%?*+@!,.&|~^ \t\r\n\x00\x85\xa0ſKéA0"
_TEXT = st.text(st.one_of(st.sampled_from(_SPICE), st.characters(codec="utf-8")), max_size=60)
_LINE = st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(["", "--from=", "--interval=", "CMD ", "<<E ", '["']), _TEXT).map(
    lambda parts: f"{parts[0]} {parts[1]}{parts[2]}"
)


def ours(call, *args):
    try:
        return call(*args)
    except InvalidArgument as error:
        assert error.message
        return None


@_QUICK
@given(st.lists(st.one_of(_TEXT, _LINE), max_size=6).map("\n".join))
def test_dockerfiles(text: str) -> None:
    parsed = ours(parse, text)
    if parsed is None:
        return
    assert parse(text) == parsed
    for instruction in parsed.instructions:
        assert 1 <= instruction.line <= instruction.end_line <= text.count("\n") + 1
        ours(decode, instruction)
    planned = ours(plan_stages, parsed)
    if planned is not None:
        ours(link_stages, planned[1], {"A": "b"}, parsed.escape)


@_QUICK
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    ours(parse, data)
    ours(parse, b"FROM a\nRUN " + data)


@_QUICK
@given(_TEXT)
def test_small_languages(text: str) -> None:
    for escape in "\\`":
        ours(expand, text, {"A": "a b", "é": "x"}, escape)
        ours(expand, "${A" + text, {"A": "a b"}, escape)
        ours(expand_words, text, {"A": " a b "}, escape)
    for call in (csv_fields, device, duration, gitref.parse, urlname.url_name, detect_syntax, decode_trigger):
        ours(call, text)
    ours(exposed_ports, [text])
    ours(workdir, "/", text)
    ours(gitref.parse, f"https://a/b.git?{text}")
    ours(gitref.parse, f"a@b:{text}")


@_QUICK
@given(st.lists(_TEXT, max_size=4), _TEXT)
def test_ignore_rules(rules: list[str], path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matcher = ours(ignore.Matcher, rules)
        ours(ignore.Matcher, ignore.read("\n".join(rules)))
    if matcher is not None:
        verdict = matcher.explain(path)
        assert verdict.ignored == matcher.matches(path)
        assert verdict.rule is None or matcher.rules[verdict.rule].startswith("!") != verdict.ignored
        if matcher.may_skip_dir(path):
            assert matcher.matches(re.sub("/+$", "", path) + "/x")
