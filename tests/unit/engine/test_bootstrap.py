"""bootstrap up to the point where mmdebstrap starts: the user's words, the mirror's answers, the tar's own files."""

import http.server
import pathlib
import tarfile
import threading
from collections.abc import Iterator

import pytest

from boxship.engine import bootstrap, bootstrapplan, standin
from boxship.errors import InvalidArgument, Unavailable, Unsupported

RELEASE = "Origin: {origin}\nLabel: x\nSuite: stable\nCodename: {suite}\nDate: Sat, 07 Sep 2024 10:00:00 UTC\n"
EPOCH = 1725703200


class Mirror(http.server.BaseHTTPRequestHandler):
    known = {"/debian": "Debian", "/vendor": "Vendor Inc."}

    def do_GET(self) -> None:
        archive, _, rest = self.path.partition("/dists/")
        suite = rest.removesuffix("/InRelease")
        if suite in ("bookworm", "bookworm-updates", "trixie") and archive in self.known:
            body = ("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + RELEASE.format(origin=self.known[archive], suite=suite)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def etc(tmp_path: pathlib.Path, mirror: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The /etc of a Debian 12 that uses the mirror; mmdebstrap is there, apt-config and SOURCE_DATE_EPOCH are not."""
    folder = tmp_path / "etc"
    (folder / "apt").mkdir(parents=True)
    (folder / "os-release").write_text('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nNAME="Debian GNU/Linux"\n')
    lines = f"deb {mirror}/debian bookworm main\ndeb {mirror}/debian bookworm-updates main\ndeb {mirror}/vendor bookworm main\n"
    (folder / "apt" / "sources.list").write_text(lines)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mmdebstrap"
    program.write_text("#!/bin/sh\necho 'I: running apt-get update...' >&2\necho 'E: the mirror fell over' >&2\nexit 25\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    for name in ("SOURCE_DATE_EPOCH", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return str(folder)


@pytest.mark.parametrize("target", ["debian", "debian:bookworm", "debian:12"])
def test_the_hosts_own_suite(etc: str, mirror: str, target: str) -> None:
    plan = bootstrapplan.make_plan(target, ["curl,git", "jq"], etc=etc)
    assert (plan.name, plan.suite, plan.include) == ("debian", "bookworm", ("curl", "git", "jq"))
    assert [(source.uri, source.suites) for source in plan.sources] == [
        (f"{mirror}/debian", ("bookworm",)),
        (f"{mirror}/debian", ("bookworm-updates",)),
    ], "a vendor's archive is not the distribution's"
    assert plan.epoch == EPOCH


def test_a_suite_the_host_does_not_use(etc: str, mirror: str) -> None:
    plan = bootstrapplan.make_plan("debian:trixie", etc=etc)
    assert [(source.uri, source.suites) for source in plan.sources] == [(f"{mirror}/debian", ("trixie",))]


def test_the_callers_date_wins(etc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12345")
    assert bootstrapplan.make_plan("debian", etc=etc).epoch == 12345


@pytest.mark.parametrize(
    ("target", "include", "words"),
    [
        ("debian:xenial", [], "no such suite on this machine's package mirror: xenial"),
        ("ubuntu:18.04", [], "the package sources of this machine are not those of: ubuntu:18.04"),
        ("", [], "the package sources of this machine are not those of: "),
        ("debian:../../x", [], "invalid suite: debian:../../x"),
        ("debian:-x", [], "invalid suite: debian:-x"),
        ("debian", ["--hook=x"], "invalid package name: --hook=x"),
        ("debian", ["a;b"], "invalid package name: a;b"),
    ],
)
def test_wrong_words(etc: str, target: str, include: list[str], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        bootstrapplan.make_plan(target, include, etc=etc)
    assert caught.value.message == words
    assert caught.value.hint


def test_mmdebstrap_is_missing(etc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable) as caught:
        bootstrapplan.make_plan("debian", etc=etc)
    assert caught.value.hint == "type: apt-get install -y mmdebstrap"


def test_no_apt(tmp_path: pathlib.Path) -> None:
    (tmp_path / "os-release").write_text("ID=fedora\n")
    with pytest.raises(Unsupported):
        bootstrapplan.make_plan("fedora:40", etc=str(tmp_path))


def test_mmdebstrap_fails(etc: str, tmp_path: pathlib.Path) -> None:
    said: list[str] = []
    with pytest.raises(Unavailable) as caught:
        bootstrap.write_tar(bootstrapplan.make_plan("debian", etc=etc), str(tmp_path / "out.tar"), said.append)
    assert caught.value.message == "mmdebstrap failed: the mirror fell over"
    assert said == ["running apt-get update"]


def test_files_are_added_once_with_their_folders(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "base.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(bootstrap._member("etc", 0o755, 1, tarfile.DIRTYPE))
        tar.addfile(bootstrap._member("etc/there", 0o600, 1, tarfile.REGTYPE))
    bootstrap.append(str(path), EPOCH, {"etc/new/file": (b"text", 0o644), "etc/there": (b"other", 0o644)})
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar}
        assert list(members) == ["./etc", "./etc/there", "./dev", "./etc/new", "./etc/new/file"]
        assert members["./etc/there"].size == 0
        assert {member.mtime for member in list(members.values())[2:]} == {EPOCH}
        extracted = tar.extractfile("./etc/new/file")
        assert extracted is not None
        assert extracted.read() == b"text"


def test_a_member_is_given_to_root(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "base.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a", "b" * 150, "c"):
            info = bootstrap._member(name, 0o700, 1, tarfile.DIRTYPE)
            info.uid = info.gid = 42
            tar.addfile(info)
    bootstrap._give_to_root(str(path), ("a", "b" * 150))
    with tarfile.open(path) as tar:
        assert [(member.uid, member.gid) for member in tar] == [(0, 0), (0, 0), (42, 42)]


def test_the_label_of_a_stand_in() -> None:
    plan = bootstrapplan.Plan("debian", "bookworm", (), (), 0, (), ())
    assert not any("stand-in" in change for change in bootstrap.image_changes(plan))
    assert 'LABEL org.boxship.stand-in="debian:bookworm"' in bootstrap.image_changes(plan, stand_in=True)


def test_pip_settings_without_what_is_the_hosts_own(tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://mirror.lan/simple\nfind-links = /opt/wheels\n    https://wheels.lan/\n"
        "extra-index-url = file:///opt/simple\ncert = /etc/x.pem\nuser = true\n[install]\nretries = 9\n"
    )
    settings = standin.pip_settings({"PIP_DEFAULT_TIMEOUT": "180", "PIP_TRUSTED_HOST": "a b"}, [str(conf), str(tmp_path / "none")])
    assert settings == {
        "index-url": "https://mirror.lan/simple",
        "find-links": "https://wheels.lan/",
        "trusted-host": "a b",
        "timeout": "180",
    }


def test_broken_pip_settings_are_no_error(tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("index-url = without a section\n")
    assert standin.pip_settings({}, [str(conf)]) == {}
