"""Capabilities: Docker's rule on names and sets."""

import sys

import pytest

from boxship.errors import InvalidArgument
from boxship.linux import caps
from tests.tables import rows


@pytest.mark.parametrize("row", rows("security/capability_sets"))
def test_tweak(row):
    want = row["expect"]
    call = (row["CapAdd"], row["CapDrop"], row["Privileged"])
    if "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            caps.tweak(*call)
        assert want["error"] in str(caught.value)
        return
    got = caps.tweak(*call)
    assert len(got) == len(set(got))
    if "all_known_except" in want:
        assert set(got) == set(caps.known()) - set(want["all_known_except"])
    else:
        assert set(got) == set(want.get("capabilities", want.get("set")))


@pytest.mark.parametrize("row", rows("cli_run/capabilities"))
def test_cli_lists(row):
    want = row["expect"]
    if "cap" in row:
        assert caps.normalize(row["cap"]) == want["cap"]
    else:
        assert caps.effective(row["add"], row["drop"]) == (want["add"], want["drop"])


def test_capability_of_a_newer_kernel_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(caps, "last_cap", lambda: 37)
    with pytest.raises(InvalidArgument, match='not supported by your kernel.*: "CAP_BPF"'):
        caps.tweak(["bpf"], [], False)
    assert "CAP_BPF" not in caps.tweak([], [], True)


def test_mask_and_names_are_inverse():
    assert caps.names(caps.mask(caps.NAMES)) == list(caps.NAMES)
    # CapBnd of a Docker container's root, as /proc/self/status shows it
    assert caps.mask(caps.DEFAULT) == 0xA80425FB
    assert caps.names(1 << 63) == []
    with pytest.raises(InvalidArgument, match="CAP_NONSENSE"):
        caps.mask(["CAP_NONSENSE"])


def test_capget_agrees_with_proc():
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t") for line in file if line.startswith("Cap"))
    effective, permitted, inheritable = caps.capget()
    assert (effective, permitted, inheritable) == tuple(int(status[key], 16) for key in ("CapEff", "CapPrm", "CapInh"))
    assert caps.bounding() == int(status["CapBnd"], 16)


def test_names_load_without_ctypes():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from boxship.linux import caps; caps.tweak(['NET_ADMIN'], [], False); print('ctypes' in sys.modules)"
    import subprocess

    src = str(__import__("pathlib").Path(caps.__file__).parents[2])
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code, src], capture_output=True, text=True, check=True).stdout == "False\n"
