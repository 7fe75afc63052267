import pytest

from boxship.cli import containerflags, envfiles, values
from tests.tables import rows


def check(case, function, text, key):
    if "error" in case["expect"]:
        with pytest.raises(ValueError) as caught:
            function(text)
        assert case["expect"]["error"] in str(caught.value)
        return
    result = function(text)
    if key:
        assert result == case["expect"][key]


@pytest.mark.parametrize("case", rows("cli_run/add_host"))
def test_add_host(case):
    check(case, values.add_host, case["value"], "value")


@pytest.mark.parametrize("case", rows("cli_run/attach"))
def test_stream(case):
    check(case, values.stream, case["attach"], "stream")


@pytest.mark.parametrize("case", rows("cli_run/ip_address"))
def test_ip_address(case):
    check(case, values.ip_address, case["input"], "address")


@pytest.mark.parametrize("case", rows("cli_run/label"))
def test_label(case):
    check(case, values.label, case["label"], "label")


@pytest.mark.parametrize("case", rows("cli_run/env"))
def test_environment(case, monkeypatch):
    monkeypatch.setattr(values.os, "environ", case.get("process_env", {}))
    check(case, values.environment, case["value"], "value")


@pytest.mark.parametrize("case", rows("cli_run/device_path"))
def test_device(case):
    check(case, containerflags.parse_device, case["device"], None)


@pytest.mark.parametrize("case", rows("cli_run/capabilities"))
def test_capabilities(case):
    if not case:
        return
    if "cap" in case:
        assert containerflags.capability(case["cap"]) == case["expect"]["cap"]
        return
    add, drop = containerflags.effective_capabilities(case["add"], case["drop"])
    assert {"add": add, "drop": drop} == case["expect"]


@pytest.mark.parametrize("case", rows("cli_run/env_file"))
def test_env_file(case, tmp_path, monkeypatch):
    contents = case.get("files", [])
    for parts in case.get("files_parts", []):
        contents = [*contents, "".join(piece * repeat for piece, repeat in parts)]
    paths = []
    for number, text in enumerate(contents):
        path = tmp_path / f"{number}.env"
        path.write_text(text)
        paths.append(str(path))
    monkeypatch.setattr(envfiles.os, "environ", case.get("process_env", {}))
    if "error" in case["expect"]:
        with pytest.raises(ValueError) as caught:
            envfiles.read_environment(paths, case["overrides"])
        assert case["expect"]["error"] in str(caught.value)
    else:
        assert envfiles.read_environment(paths, case["overrides"]) == case["expect"]["env"]
