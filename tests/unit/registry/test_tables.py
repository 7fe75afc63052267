"""The pure parts of the client against the tables."""

import base64
import json

import pytest

from boxship.errors import InvalidArgument, RegistryError
from boxship.oci.reference import parse
from boxship.registry import auth, client, credentials, faults, headers, hosts, push, transport
from boxship.registry.credentials import Credentials, Store
from tests.tables import rows, table


@pytest.mark.parametrize("row", rows("distribution/loopback_host"))
def test_loopback(row):
    assert hosts.is_loopback(row["host"]) == row["expect"]["loopback"]


@pytest.mark.parametrize("row", rows("distribution/canonical_address"))
def test_canonical_address(row):
    assert hosts.canonical_address(row["scheme"], row["address"]) == row["expect"]["address"]


def _settings(insecure, mirrors):
    registries = {name: {"insecure": True} for name in insecure}
    if mirrors:
        registries["docker.io"] = {"mirrors": mirrors}
    return {"registry": registries}


@pytest.mark.parametrize("row", rows("engine/registry_security"))
def test_registry_security(row):
    dns = table("engine/registry_security")["dns"]
    settings = _settings(row["insecure_registries"], row["mirrors"])
    want = row["expect"]
    domain = hosts.normal_domain(row["registry"])
    assert hosts.is_secure(settings, domain, lambda name: dns.get(name, [])) == want["secure"]
    if "name" in want:
        assert domain == want["name"]
        assert (domain == hosts.DOCKER_HUB) == want["official"]
    if "mirrors" in want and want["secure"] and not row["insecure_registries"][:1] == ["42.42.0.0/16"]:
        found = [str(one) + "/" for one in hosts.endpoints(settings, row["registry"]) if one.mirror]
        assert found == want["mirrors"]


@pytest.mark.parametrize("row", rows("engine/registry_settings"))
def test_registry_settings(row):
    want = row["expect"]
    if row["kind"] == "mirror":
        if "error" in want:
            with pytest.raises(InvalidArgument) as caught:
                hosts.normal_mirror(row["value"])
            assert want["error"] in caught.value.message
        else:
            assert hosts.normal_mirror(row["value"]) == want["url"]
    elif row["kind"] == "index_name" and "error" not in want:
        assert hosts.normal_domain(row["value"]) == want["name"]
    else:
        pytest.skip("entries of daemon.json: a registry in boxship.toml is a key of its own, named as in image names")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://", "no host"),
        ("ftp://mirror", "unsupported scheme"),
        ("http://user:secret@mirror", "username/password not allowed"),
        ("http://mirror:port", "mirror"),
    ],
)
def test_bad_mirrors(text, words):
    with pytest.raises(InvalidArgument, match="invalid mirror") as caught:
        hosts.normal_mirror(text)
    assert words in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"registry": {"docker.io": {"mirrors": "http://x"}}},
        {"registry": {"docker.io": {"mirrors": [1]}}},
        {"registry": {"docker.io": {"insecure": "yes"}}},
        {"registry": {"docker.io": []}},
        {"registry": []},
        {"registry": {"10.0.0.0/99": {"insecure": True}}},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(InvalidArgument):
        hosts.endpoints(settings, "docker.io")


def test_endpoints():
    settings = {
        "registry": {"docker.io": {"mirrors": ["http://127.0.0.1:5000", "https://m.lan/prefix/"]}, "r.lan": {"insecure": True}}
    }
    first, second, own = hosts.endpoints(settings, "docker.io")
    assert first.url("http", "/v2/") == "http://127.0.0.1:5000/v2/"
    assert second.url("https", "/v2/") == "https://m.lan/prefix/v2/"
    assert (own.host, own.schemes, own.verify) == ("registry-1.docker.io", ("https",), True)
    assert [one.mirror for one in hosts.endpoints(settings, "docker.io", push=True)] == [False]
    assert hosts.endpoints(settings, "r.lan")[0].schemes == ("https", "http")
    assert hosts.endpoints(settings, "localhost:5000")[0].schemes == ("http", "https")
    assert hosts.endpoints({}, "quay.io")[0].schemes == ("https",)


@pytest.mark.parametrize("row", rows("distribution/registry_client"))
def test_registry_client(row, tmp_path):
    if row["kind"] == "mirror":
        settings = {"registry": {"docker.io": {"mirrors": row["mirrors"]}}}
        found = any(one.mirror for one in hosts.endpoints(settings, "docker.io", push=row["push"]))
        assert found == row["expect"]["mirror_used"]
    elif row["kind"] == "credentials_lookup":
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"auths": {row["stored_under"]: {"username": "u", "password": "p"}}}))
        found = Store(str(path)).lookup(row["registry"])
        assert (found is not None and found.username == "u") == row["expect"]["found"]
    else:
        pytest.skip("docker search is not offered, and no host is trusted with another's credentials")


@pytest.mark.parametrize("row", rows("distribution/auth_challenge"))
def test_auth_challenge(row):
    want = row["expect"]
    found = headers.parse_challenges(row["headers"])
    if "challenges" in want:
        assert [{"scheme": one.scheme, "parameters": one.parameters} for one in found] == want["challenges"]
    elif "selected" in want:
        chosen = headers.select_challenge(found)
        assert (chosen.scheme, chosen.parameters) == (want["selected"], want["parameters"])
    else:
        # a 403 is an answer, not a challenge; and this one has no realm that could be followed
        assert faults.from_answer("GET", "http://r/v2/", row["status"], "", b"", row["headers"]).status == 403
        with pytest.raises(RegistryError):
            auth.TokenRequest(found[0], [], None)


def test_two_challenges_in_one_header():
    found = headers.parse_challenges(['Bearer realm="https://a/t",service="s, x" , Basic realm="y"'])
    assert [(one.scheme, one.parameters) for one in found] == [
        ("bearer", {"realm": "https://a/t", "service": "s, x"}),
        ("basic", {"realm": "y"}),
    ]


@pytest.mark.parametrize("row", rows("distribution/token_request"))
def test_token_request(row):
    want = row["expect"]
    if "token_answer" in row:
        body = json.dumps(row["token_answer"]).encode()
        if "error" in want:
            with pytest.raises(RegistryError):
                auth.read_token(body)
        else:
            assert auth.read_token(body)[0] == want["token"]
    elif "challenge" in row:
        who = Credentials(row["username"], row["secret"])
        challenge = headers.Challenge("bearer", row["challenge"])
        if "error" in want:
            with pytest.raises(RegistryError):
                auth.TokenRequest(challenge, [], who)
            return
        request = auth.TokenRequest(challenge, [], who)
        assert (request.realm, request.service, request.scopes) == (want["realm"], want["service"], want["scopes"])
        assert (request.credentials.username, request.credentials.password) == (want["username"], want["secret"])
    elif "request_scopes" in row:
        assert auth.merge_scopes(row["request_scopes"], " ".join(row["challenge_scopes"])) == want["scopes"]
    elif "repository" in row:
        path = row["repository"].partition("/")[2]
        assert auth.repository_scope(path, "pull,push" if row["push"] else "pull") == want["scope"]
    else:
        pytest.skip("no repository is ever listed")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"token": 5}', b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": "a b"}', b"[" * 100000]
)
def test_hostile_tokens(body):
    with pytest.raises(RegistryError):
        auth.read_token(body)


@pytest.mark.parametrize("row", rows("distribution/registry_errors"))
def test_registry_errors(row):
    want = row["expect"]
    if row.get("engine"):
        pytest.skip("played against a server in test_exchange")
    if "temporary" in want:
        assert faults.is_temporary(row["status"], row["error_codes"]) == want["temporary"]
        return
    url = row.get("url", "http://r/v2/")
    found = faults.from_answer(row.get("method", "GET"), url, row["status"], "", row["body"].encode())
    assert "hunter2" not in found.message
    for fact in ("a message for you", "400 Bad Request", '{"StatusCode":400}', "Not JSON"):
        if fact in want["message"]:
            assert fact in found.message
    if "NAME_INVALID" in want["message"]:
        assert found.message == "name invalid: a message for you"
        assert found.code == "NAME_INVALID"


@pytest.mark.parametrize("row", rows("distribution/url_redaction"))
def test_url_redaction(row):
    assert headers.redact(row["url"]) == row["expect"]["url"]


@pytest.mark.parametrize("row", rows("distribution/warning_header"))
def test_warning_header(row):
    assert headers.warning_text(row["header"]) == row["expect"]["text"]


@pytest.mark.parametrize("row", rows("distribution/link_header"))
def test_link_header(row):
    if "answers" in row:
        if "error" in row["expect"]:
            with pytest.raises(RegistryError):
                client.read_tags(row["answers"][0]["body"].encode())
            return
        pytest.skip("no repository is ever listed; pages of tags are in test_exchange")
    assert headers.next_page(row["request"], row["link"]) == row["expect"]["next"]


def test_next_page_stays_here():
    with pytest.raises(RegistryError, match="another host"):
        headers.next_page("https://r.lan/v2/x/tags/list", "<https://evil.lan/v2/x/tags/list>; rel=next")


_DOCKER = "that library's policy: Docker follows it, for private registries live on private addresses"


@pytest.mark.parametrize("row", rows("distribution/ssrf_policy"))
def test_ssrf(row):
    refused = "error" in row["expect"]
    scheme = row["url"].partition(":")[0]
    if row["kind"] == "foreign_layer":
        pytest.skip("URLs of layers are never followed, as by Docker on Linux: see test_exchange")
    if row["kind"] == "realm":
        secure = not row["insecure"]
        if refused and (scheme == "https" or not secure):
            pytest.skip(_DOCKER)
        if refused:
            with pytest.raises(RegistryError):
                auth.check_realm(row["url"], secure=secure)
        else:
            auth.check_realm(row["url"], secure=secure)
    elif refused:
        # off TLS, refused unless a digest guards the content
        with pytest.raises(RegistryError):
            transport.check_redirect(f"https://{row['registry']}/v2/", row["url"], verified=False)
    else:
        transport.check_redirect(f"{'https' if scheme == 'https' else 'http'}://{row['registry']}/v2/", row["url"], verified=False)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/y", "http://", "//", "http://[::1", "javascript:1"])
def test_redirects_to_no_web_address(target):
    with pytest.raises(RegistryError, match="no web address"):
        transport.check_redirect("http://r/v2/", target, verified=True)


@pytest.mark.parametrize("row", rows("cli_config/file"))
def test_config_file(row, tmp_path):
    if "config" not in row or "saved" in row["expect"] or row.get("config_is_symlink"):
        pytest.skip("config.json is read here, never written")
    want = row["expect"]
    if "error" in want:
        with pytest.raises(InvalidArgument) as caught:
            credentials.parse_file(row["config"].encode(), "config.json")
        assert want["error"] in caught.value.message
        return
    found = credentials.parse_file(row["config"].encode(), "config.json")
    for key in ("credsStore", "credHelpers"):
        assert found.get(key) == want.get(key)


def _pair(found):
    return (found.username, found.password) if found else None


@pytest.mark.parametrize("row", rows("cli_config/credentials"))
def test_credentials(row, tmp_path, monkeypatch):
    want = row["expect"]
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    if "write" in row:
        pytest.skip("config.json is read here, never written")
    if "entry" in row:
        if "error" in want:
            with pytest.raises(InvalidArgument) as caught:
                credentials.decode_entry(json.loads(row["entry"]))
            assert want["error"] in caught.value.message
        else:
            assert _pair(credentials.decode_entry(json.loads(row["entry"]))) == (want["username"], want["password"])
        return
    if row.get("strict"):
        with pytest.raises(InvalidArgument) as caught:
            credentials.parse_environment(row["env"])
        assert want["error"] in caught.value.message
        return
    config = json.loads(row["config"]) if "config" in row else {"auths": row.get("file_auths", {})}
    config.update({key: row[key] for key in ("credsStore", "credHelpers") if key in row})
    if "env" in row:
        monkeypatch.setenv("DOCKER_AUTH_CONFIG", row["env"])

    def run(name, registry):
        entries = row["helper_entries"][name]
        if entries is None:
            return 1, b"broken"
        if registry not in entries:
            return 1, b"credentials not found in native keychain"
        user, secret = entries[registry]
        return 0, json.dumps({"ServerURL": registry, "Username": user, "Secret": secret}).encode()

    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    store = Store(str(path), run)
    if "target" in row:
        expected = None if want.get("anonymous") else (want["username"], want["password"])
        assert _pair(store.lookup(row["target"].removesuffix("/my-repo"))) == expected
        return
    for registry, who in want["all"].items():
        assert _pair(store.lookup(registry)) == (who["username"], who["password"])
    for registry in row.get("credHelpers", {}):
        if registry not in want["all"]:
            assert store.lookup(registry) is None
            assert store.complaints
    if not want["all"]:
        assert store.lookup("env.example.test") is None


def test_identity_token_of_a_helper(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "s"}')
    store = Store(str(path), lambda name, registry: (0, b'{"Username": "<token>", "Secret": "id"}'))
    found = store.lookup("docker.io")
    assert (found.identity_token, found.basic()) == ("id", None)
    assert "id" not in repr(found)


def test_hub_key_goes_to_the_helper(tmp_path):
    asked = []
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "s"}')
    Store(str(path), lambda *words: asked.append(words) or (1, b"credentials not found")).lookup("docker.io")
    assert asked == [("s", "https://index.docker.io/v1/")]


@pytest.mark.parametrize("answer", [(0, b""), (0, b"{}"), (0, b"[]"), (0, b'{"Username": 1, "Secret": 2}'), (1, b"\xff"), (2, b"")])
def test_helpers_that_fail_leave_us_anonymous(tmp_path, answer):
    path = tmp_path / "config.json"
    path.write_text('{"credHelpers": {"r.lan": "h"}}')
    store = Store(str(path), lambda *_: answer)
    assert store.lookup("r.lan") is None
    assert "docker-credential-h" in store.complaints[0]


def test_a_real_helper(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"credHelpers": {"r.lan:5000": "t", "bad.lan": "../x", "no.lan": "absent-helper"}}')
    helper = tmp_path / "docker-credential-t"
    helper.write_text('#!/bin/sh\nread -r server\n[ "$1" = get ] && printf \'{"Username":"u","Secret":"of %s"}\' "$server"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    store = Store()
    assert _pair(store.lookup("r.lan:5000")) == ("u", "of r.lan:5000")
    assert store.lookup("no.lan") is None
    assert "not on PATH" in store.complaints[0]
    with pytest.raises(InvalidArgument, match="invalid credential helper"):
        store.lookup("bad.lan")


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": []}', '{"credHelpers": {"a": 1}}', '{"credsStore": 5}', "[" * 100000])
def test_hostile_config_files(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match="parsing config file"):
        Store(str(path)).lookup("r.lan")


def test_basic():
    assert Credentials("u", "p:w").basic() == "Basic " + base64.b64encode(b"u:p:w").decode()
    assert Credentials().basic() is None
    assert not Credentials()


@pytest.mark.parametrize(
    ("text", "want"),
    [("a\x1b[31mb\nc\u202ed", "a [31mb c d"), ("  x ", "x"), ("y" * 3000, "y" * 1024 + "...")],
)
def test_clean(text, want):
    assert headers.clean(text) == want


@pytest.mark.parametrize("row", rows("distribution/push_decisions"))
def test_push_decisions(row):
    if row["kind"] != "mount_candidates":
        pytest.skip("the digest about to be pushed is asked for, once: no memory of others is kept")
    known = [one for one in row["known"] if "source_repository" in one]
    places = push.mount_candidates(
        str(parse(row["target"])), [(one["source_repository"], one["hmac_key"] == row["hmac_key"]) for one in known], row["max"]
    )
    assert [known[place] for place in places] == row["expect"]["candidates"]
