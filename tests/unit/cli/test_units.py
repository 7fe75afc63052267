import pytest

from boxship.cli import units, values
from tests.tables import rows


@pytest.mark.parametrize("case", rows("units/size_parse"))
def test_parse_size(case):
    base = 1000 if case["base"] == "decimal" else 1024
    if "error" in case["expect"]:
        with pytest.raises(ValueError):
            units.parse_size(case["text"], base)
    else:
        assert units.parse_size(case["text"], base) == case["expect"]["bytes"]


@pytest.mark.parametrize("case", rows("units/size_format"))
def test_format_size(case):
    assert units.format_size(case["bytes"], binary=case["base"] == "binary") == case["expect"]["text"]


@pytest.mark.parametrize("case", rows("units/duration_format"))
def test_human_duration(case):
    assert units.human_duration(case["ns"] / 1e9) == case["expect"]["text"]


@pytest.mark.parametrize("case", rows("units/signal"))
def test_signal(case):
    if "error" in case["expect"]:
        with pytest.raises(ValueError, match=case["expect"]["error"]):
            units.parse_signal(case["signal"])
    else:
        assert units.parse_signal(case["signal"]) == case["expect"]["number"]


@pytest.mark.parametrize("case", rows("units/ulimit_parse"))
def test_ulimit(case):
    if "error" in case["expect"]:
        with pytest.raises(ValueError):
            values.ulimit(case["value"])
        return
    limit = values.ulimit(case["value"])
    want = case["expect"]
    assert (limit["Name"], limit["Soft"], limit["Hard"]) == (want["name"], want["soft"], want["hard"])


@pytest.mark.parametrize("case", rows("cli_run/duration_option"))
def test_duration(case):
    assert units.parse_duration(case["value"]) == case["expect"]["ns"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x", 'time: invalid duration "x"'),
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1y", 'time: unknown unit "y" in duration "1y"'),
        (".s", 'time: invalid duration ".s"'),
    ],
)
def test_bad_duration(text, error):
    with pytest.raises(ValueError) as caught:
        units.parse_duration(text)
    assert str(caught.value) == error


def test_duration_fractions():
    assert units.parse_duration("1h2m3.5s") == 3723_500_000_000
    assert units.parse_duration("-1.5ms") == -1_500_000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10", 10),
        ("-1", -1),
        ("0x10", 16),
        ("010", 8),
        ("0b11", 3),
        ("1_000", 1000),
        ("+5", 5),
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_integer(text, number):
    assert values.integer(text) == number


@pytest.mark.parametrize("text", ["", "08", "1 ", " 1", "x", "1.5", "--1", "٣"])
def test_bad_integer(text):
    with pytest.raises(ValueError, match="invalid syntax"):
        values.integer(text)


def test_integer_range():
    with pytest.raises(ValueError, match="value out of range"):
        values.integer("9223372036854775808")


@pytest.mark.parametrize(
    ("text", "nano"), [("1", 10**9), (".5", 5 * 10**8), ("5.", 5 * 10**9), ("1/2", 5 * 10**8), ("1e2", 10**11), ("-1", -(10**9))]
)
def test_cpus(text, nano):
    assert values.cpus(text) == nano


@pytest.mark.parametrize("text", ["", " 1", "x", "1/0", "1e", "e5", "1e999999999"])
def test_bad_cpus(text):
    with pytest.raises(ValueError, match="as a rational number"):
        values.cpus(text)


def test_too_precise_cpus():
    with pytest.raises(ValueError, match="value is too precise"):
        values.cpus("1/3")
