"""From Docker's documents to an OCI runtime spec: pure, so every rule is one call."""

from typing import Any

import pytest

from boxship.engine import specgen
from boxship.errors import InvalidArgument
from boxship.linux import caps
from tests.tables import rows, table

IDENT = "0123456789ab" + "c" * 52


def facts(**more: Any) -> specgen.Facts:
    found = specgen.Facts()
    for name, value in more.items():
        setattr(found, name, value)
    return found


def generate(config: "dict[str, Any] | None" = None, host: "dict[str, Any] | None" = None, **more: Any) -> dict[str, Any]:
    return specgen.generate(IDENT, {"Cmd": ["true"], **(config or {})}, host or {}, facts(**more))


def by_destination(spec: dict[str, Any]) -> dict[str, Any]:
    return {mount["destination"]: mount for mount in spec["mounts"]}


@pytest.fixture(scope="module")
def docker() -> dict[str, Any]:
    found = table("security/default_spec")
    if "facts" not in found:
        pytest.skip("the conformance tables are absent: security/default_spec")
    return found["facts"]  # type: ignore[no-any-return]


def test_defaults_are_dockers(docker: dict[str, Any]) -> None:
    spec = generate()
    linux = spec["linux"]
    assert linux["maskedPaths"] == docker["masked_paths"]
    assert linux["readonlyPaths"] == docker["readonly_paths"]
    assert linux["sysctl"] == docker["sysctls_when_own_network_namespace"]
    for kind in ("bounding", "effective", "permitted"):
        assert sorted(spec["process"]["capabilities"][kind]) == sorted(docker["default_capabilities"])
    assert spec["process"]["capabilities"]["inheritable"] == spec["process"]["capabilities"]["ambient"] == []
    assert {one["type"] for one in linux["namespaces"]} == set(docker["namespaces"]) - {"time"} | {"cgroup"}
    assert f"PATH={docker['default_path']}" in spec["process"]["env"]


def test_mounts_are_dockers(docker: dict[str, Any]) -> None:
    found = by_destination(generate())
    for wanted in docker["mounts"]:
        mount = found[wanted["destination"]]
        assert (mount["type"], mount["source"]) == (wanted["type"], wanted["source"])
        assert set(wanted["options"]) <= set(mount["options"])
    assert f"size={docker['default_shm_size']}" in found["/dev/shm"]["options"]


def test_devices_are_denied_but_for_dockers(docker: dict[str, Any]) -> None:
    rules = generate()["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    allowed = [rule for rule in docker["device_cgroup"] if rule["allow"]]
    assert all(rule in rules for rule in allowed)
    # of all other devices nodes may be made, and not opened
    assert {rule["access"] for rule in rules if rule["allow"] and rule["major"] == -1} == {"m"}
    assert not any(rule.get("major") == 10 for rule in rules)


@pytest.mark.parametrize("case", rows("security/capability_sets"))
def test_capabilities(case: dict[str, Any]) -> None:
    host = {name: case[name] for name in ("CapAdd", "CapDrop", "Privileged")}
    want = case["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument, match=want["error"]):
            specgen.capabilities(host)
        return
    found = specgen.capabilities(host)["bounding"]
    if "all_known_except" in want:
        assert set(caps.known()) - set(found) == set(want["all_known_except"])
    else:
        assert sorted(found) == sorted(want.get("capabilities") or want["set"])


def test_privileged_drops_the_fences() -> None:
    spec = generate(host={"Privileged": True}, seccomp={"defaultAction": "SCMP_ACT_ERRNO"}, masked_extra=["/sys/x"])
    linux = spec["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"], linux["seccomp"]) == ([], [], None)
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "CAP_SYS_ADMIN" in spec["process"]["capabilities"]["bounding"]
    assert "rw" in by_destination(spec)["/sys"]["options"]


def test_the_seccomp_profile_and_this_machines_masks() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO"}
    linux = generate(seccomp=profile, masked_extra=["/sys/devices/system/cpu/cpu0/thermal_throttle"])["linux"]
    assert linux["seccomp"] == profile
    assert "/sys/devices/system/cpu/cpu0/thermal_throttle" in linux["maskedPaths"]


def test_host_network() -> None:
    spec = generate(host={"NetworkMode": "host"}, host_name="machine")
    assert "network" not in {one["type"] for one in spec["linux"]["namespaces"]}
    assert spec["linux"]["sysctl"] == {}
    assert spec["hostname"] == "machine"
    assert generate({"Hostname": "own"}, {"NetworkMode": "host"}, host_name="machine")["hostname"] == "own"


def test_host_name() -> None:
    assert generate()["hostname"] == "0123456789ab"
    assert generate({"Hostname": "h", "Domainname": "d"})["domainname"] == "d"


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "want"),
    [(["a"], ["b"], ["a", "b"]), (None, ["b", "c"], ["b", "c"]), (["a"], None, ["a"])],
)
def test_arguments(entrypoint: Any, cmd: Any, want: list[str]) -> None:
    assert generate({"Entrypoint": entrypoint, "Cmd": cmd})["process"]["args"] == want


def test_nothing_to_run() -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        generate({"Entrypoint": None, "Cmd": []})


def env(config: dict[str, Any], **more: Any) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in generate(config, **more)["process"]["env"])


def test_environment() -> None:
    found = env({"Env": ["A=1", "B=", "A=2=3"]})
    assert (found["A"], found["B"]) == ("2=3", "")
    assert (found["HOSTNAME"], found["HOME"]) == ("0123456789ab", "/root")
    assert "TERM" not in found
    assert env({"Tty": True})["TERM"] == "xterm"
    assert env({"Tty": True, "Env": ["TERM=dumb"]})["TERM"] == "dumb"
    assert env({"Env": ["PATH=/x", "HOME=/h"]}) == {"PATH": "/x", "HOSTNAME": "0123456789ab", "HOME": "/h"}
    assert "PATH" not in env({"Env": ["PATH"]})
    assert env({}, user=(5, 6, [7], "/home/u"))["HOME"] == "/home/u"


def test_user_place_and_terminal() -> None:
    process = generate({"Tty": True, "WorkingDir": "/w"}, user=(5, 6, [7], "/h"))["process"]
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [7]}
    assert (process["cwd"], process["terminal"]) == ("/w", True)
    assert generate()["process"]["cwd"] == "/"


def test_limits() -> None:
    host = {
        "Memory": 1 << 26, "CpuShares": 512, "NanoCpus": 1_500_000_000, "CpusetCpus": "0-1", "PidsLimit": 40,
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}], "OomScoreAdj": 500,
    }  # fmt: skip
    spec = generate(host=host)
    found = spec["linux"]["resources"]
    assert found["memory"] == {"limit": 1 << 26, "swap": 1 << 27}
    assert found["cpu"] == {"shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0-1"}
    assert found["pids"] == {"limit": 40}
    assert spec["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]
    assert spec["process"]["oomScoreAdj"] == 500
    assert set(generate()["linux"]["resources"]) == {"devices"}


@pytest.mark.parametrize(("swap", "want"), [(0, 1 << 27), (-1, -1), (1 << 26, 1 << 26), (1 << 30, 1 << 30)])
def test_swap(swap: int, want: int) -> None:
    assert specgen.resources({"Memory": 1 << 26, "MemorySwap": swap}, facts())["memory"]["swap"] == want


def test_swap_needs_memory() -> None:
    with pytest.raises(InvalidArgument, match="You should always set the Memory limit when using Memoryswap limit"):
        specgen.resources({"MemorySwap": 1 << 26}, facts())


@pytest.mark.parametrize(
    ("options", "want"),
    [([], False), (["no-new-privileges"], True), (["no-new-privileges=false"], False), (["no-new-privileges:true"], True),
     (["seccomp=unconfined"], False)],
)  # fmt: skip
def test_no_new_privileges(options: list[str], want: bool) -> None:
    assert generate(host={"SecurityOpt": options})["process"]["noNewPrivileges"] is want


def test_users_mounts_replace_ours_and_parents_come_first() -> None:
    def bind(destination: str) -> dict[str, Any]:
        return {"destination": destination, "type": "bind", "source": "/s", "options": ["rbind"]}

    mounts = [bind("/a/b/c"), bind("/a"), bind("/dev/shm"), bind("/etc/hosts"), bind("/a/b")]
    spec = generate(mounts=mounts, files={"/etc/hosts": "/f/hosts", "/etc/resolv.conf": "/f/resolv"})
    order = [mount["destination"] for mount in spec["mounts"]]
    assert len(order) == len(set(order))
    assert order.index("/a") < order.index("/a/b") < order.index("/a/b/c")
    assert order.index("/dev") < order.index("/dev/shm")
    found = by_destination(spec)
    assert found["/dev/shm"]["source"] == found["/etc/hosts"]["source"] == "/s"
    assert found["/etc/resolv.conf"]["source"] == "/f/resolv"


def test_root_devices_and_shm() -> None:
    device = {"path": "/dev/video0", "type": "b", "major": 7, "minor": 1, "access": "rw", "fileMode": 0o660}
    spec = generate(host={"ReadonlyRootfs": True, "ShmSize": 4096}, rootfs="/r", cgroup="g/x", devices=[device])
    assert spec["root"] == {"path": "/r", "readonly": True}
    assert spec["linux"]["cgroupsPath"] == "g/x"
    assert device in spec["linux"]["devices"]
    assert spec["linux"]["resources"]["devices"][-1] == {"allow": True, "type": "b", "major": 7, "minor": 1, "access": "rw"}
    assert "size=4096" in by_destination(spec)["/dev/shm"]["options"]
