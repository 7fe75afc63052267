"""sources.list(5) in both formats, and the choice of what a base image is made from."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.engine import aptsources
from boxship.engine.aptsources import Source

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: http://deb.debian.org/debian http://mirror.lan/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://download.example.org/linux
Suites: bookworm
Components: stable
Enabled: no

Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYB
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_deb822() -> None:
    first, second, security = aptsources.parse_deb822(DEB822)
    assert first.uri == "http://deb.debian.org/debian"
    assert second == first._replace(uri="http://mirror.lan/debian")
    assert first.suites == ("bookworm", "bookworm-updates")
    assert first.components == ("main", "contrib")
    assert first.keyrings == ("/usr/share/keyrings/debian-archive-keyring.gpg",)
    assert security.keyrings == ()
    assert "mDMEY865UxYJKwYB" in dict(security.options)["Signed-By"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("deb http://a/debian sid main", Source("http://a/debian", ("sid",), ("main",))),
        ("deb http://a/debian sid main contrib # why", Source("http://a/debian", ("sid",), ("main", "contrib"))),
        ("deb [arch=amd64] http://a/debian sid main", Source("http://a/debian", ("sid",), ("main",))),
        (
            "deb [ arch=amd64 signed-by=/k.gpg trusted=yes ] http://a sid main",
            Source("http://a", ("sid",), ("main",), (("Signed-By", "/k.gpg"), ("Trusted", "yes"))),
        ),
        ("deb http://a/flat ./", Source("http://a/flat", ("./",), ())),
        ("deb-src http://a/debian sid main", None),
        ("# deb http://a/debian sid main", None),
        ("deb http://a/debian", None),
        ("deb [signed-by=/k", None),
        ("", None),
    ],
)
def test_one_line(line: str, expected: Source | None) -> None:
    assert list(aptsources.parse_list(line)) == ([expected] if expected else [])


@given(st.text(max_size=200))
def test_noise_is_no_error(text: str) -> None:
    list(aptsources.parse_list(text))
    list(aptsources.parse_deb822(text))


def test_what_is_rendered_is_read_again() -> None:
    sources = list(aptsources.parse_deb822(DEB822))
    assert list(aptsources.parse_deb822(aptsources.render(sources))) == sources


def test_files_are_read_in_order(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one x main\n")
    (folder / "b.list").write_text("deb http://three x main\n")
    (folder / "a.sources").write_text("Types: deb\nURIs: http://two\nSuites: x\nComponents: main\n")
    (folder / "c.sources.disabled").write_text("Types: deb\nURIs: http://four\nSuites: x\nComponents: main\n")
    assert [source.uri for source in aptsources.read(str(tmp_path))] == ["http://one", "http://two", "http://three"]
    assert aptsources.read(str(tmp_path / "nothing")) == []


HOST = [
    Source("http://m/debian", ("bookworm", "bookworm-updates", "bookworm-backports"), ("main",)),
    Source("http://m/security", ("bookworm-security",), ("main",)),
    Source("http://vendor", ("bookworm",), ("stable",)),
    Source("http://pg", ("bookworm-pgdg",), ("main",)),
]


def test_a_suite_and_its_pockets() -> None:
    assert aptsources.for_suite(HOST, "bookworm", "bookworm") == [
        Source("http://m/debian", ("bookworm", "bookworm-updates"), ("main",)),
        Source("http://m/security", ("bookworm-security",), ("main",)),
    ]


def test_another_suite_comes_from_the_same_archives() -> None:
    assert aptsources.for_suite(HOST, "trixie", "bookworm") == [
        Source("http://m/debian", ("trixie", "trixie-updates"), ("main",)),
        Source("http://m/security", ("trixie-security",), ("main",)),
    ]


def test_the_suites_of_the_host() -> None:
    assert aptsources.suites(HOST) == ["bookworm", "bookworm-pgdg"]
