"""The client against a real docker-registry on loopback."""

import base64
import concurrent.futures
import hashlib
import io
import json
import shutil
import subprocess

import pytest

from boxship.errors import NotFound, RegistryError, Unauthorized
from boxship.oci import descriptor, manifest
from boxship.oci.descriptor import Descriptor
from boxship.oci.platform import Platform
from boxship.oci.reference import parse
from boxship.registry import hosts
from boxship.registry.client import Client
from boxship.registry.connections import Connections
from boxship.registry.credentials import Credentials
from boxship.registry.transport import Transport
from tests.conformance.registry.server import Registry, TokenServer, basic_auth, certificate

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _own_config(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


def blob_of(data, media_type=descriptor.OCI_LAYER):
    return Descriptor(media_type, "sha256:" + hashlib.sha256(data).hexdigest(), len(data))


CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()


class Image:
    """One small image of the given layers."""

    def __init__(self, *layers, flavour="oci"):
        types = {
            "oci": (descriptor.OCI_CONFIG, descriptor.OCI_LAYER),
            "docker": (descriptor.DOCKER_CONFIG, descriptor.DOCKER_LAYER),
        }
        self.config = blob_of(CONFIG, types[flavour][0])
        self.layers = [blob_of(layer, types[flavour][1]) for layer in layers]
        self.blobs = [(self.config, CONFIG), *zip(self.layers, layers)]
        self.manifest = manifest.build_manifest(self.config, self.layers, flavour)
        self.media_type = descriptor.OCI_MANIFEST if flavour == "oci" else descriptor.DOCKER_MANIFEST
        self.digest = blob_of(self.manifest).digest


def push(client, ref, image, **more):
    how = [client.push_blob(ref, blob, lambda data=data: io.BytesIO(data), **more) for blob, data in image.blobs]
    assert client.push_manifest(ref, image.manifest, image.media_type) == image.digest
    return how


def read(stream):
    parts = []
    with stream:
        while part := stream.read(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("flavour", ["oci", "docker"])
def test_push_and_pull(registry, flavour):
    image = Image(b"layer one", b"layer two" * 1000, flavour=flavour)
    ref = parse(f"{registry.host}/some/{flavour}:v1")
    with Client({}) as client:
        assert push(client, ref, image) == ["pushed"] * 3
    with Client({}) as client:
        found = client.resolve(ref)
        assert (found.body, found.descriptor.media_type, found.descriptor.digest) == (
            image.manifest,
            image.media_type,
            image.digest,
        )
        assert client.resolve(parse(f"{registry.host}/some/{flavour}@{image.digest}")).body == image.manifest
        got = manifest.parse_manifest(found.body, found.descriptor.media_type)
        assert list(got.layers) == image.layers
        for blob, data in image.blobs:
            assert read(client.open_blob(ref, blob)) == data
            assert client.has_blob(ref, blob)
        assert not client.has_blob(ref, blob_of(b"never pushed"))
        assert push(client, ref, image) == ["exists"] * 3
        assert client.tags(ref) == ["v1"]


def test_an_index(registry):
    ref = parse(f"{registry.host}/multi:v1")
    with Client({}) as client:
        entries = []
        for architecture in ("amd64", "arm64"):
            image = Image(architecture.encode())
            push(client, parse(f"{registry.host}/multi@{image.digest}"), image)
            entries.append(
                Descriptor(image.media_type, image.digest, len(image.manifest), platform=Platform("linux", architecture))
            )
        client.push_manifest(ref, manifest.build_index(entries), descriptor.OCI_INDEX)
        found = client.resolve(ref)
        index = manifest.parse_manifest(found.body, found.descriptor.media_type)
        assert list(index.manifests) == entries
        assert client.manifest(ref, entries[1]) == image.manifest


def test_mount(registry):
    image = Image(b"to be mounted")
    source, target = parse(f"{registry.host}/from/here:v1"), parse(f"{registry.host}/to/there:v1")
    with Client({}) as client:
        push(client, source, image)
        layer = image.layers[0]
        opened = []
        assert client.push_blob(target, layer, lambda: opened.append(1) or io.BytesIO(b""), mount_from=source) == "mounted"
        assert not opened
        assert client.has_blob(target, layer)
        wrong = parse(f"{registry.host}/no/such:v1")
        other = blob_of(b"not there")
        assert client.push_blob(target, other, lambda: io.BytesIO(b"not there"), mount_from=wrong) == "pushed"


def test_resume_and_progress(registry):
    data = bytes(range(256)) * 40_000
    layer, seen = blob_of(data), []
    ref = parse(f"{registry.host}/big:v1")
    with Client({}) as client:
        assert client.push_blob(ref, layer, lambda: io.BytesIO(data), progress=seen.append) == "pushed"
        assert seen[-1] == len(data) and seen == sorted(seen)
        assert read(client.open_blob(ref, layer, 5_000_001)) == data[5_000_001:]
        assert read(client.open_blob(ref, layer, len(data) - 1)) == data[-1:]
        assert read(client.open_blob(ref, layer, len(data))) == b""


def test_parallel_layers(registry):
    layers = [bytes([number]) * 300_000 for number in range(12)]
    image = Image(*layers)
    ref = parse(f"{registry.host}/parallel:v1")
    with Client({}) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(client.push_blob, ref, blob, lambda data=data: io.BytesIO(data)) for blob, data in image.blobs]
        assert {job.result() for job in jobs} == {"pushed"}
        client.push_manifest(ref, image.manifest, image.media_type)
        reads = pool.map(lambda blob: read(client.open_blob(ref, blob)), image.layers)
        assert list(reads) == layers


def test_many_tags(registry):
    image = Image(b"tagged")
    with Client({}) as client:
        push(client, parse(f"{registry.host}/tagged:t0"), image)
        for number in range(1, 12):
            client.push_manifest(parse(f"{registry.host}/tagged:t{number}"), image.manifest, image.media_type)
        assert sorted(client.tags(parse(f"{registry.host}/tagged"))) == sorted(f"t{number}" for number in range(12))


def test_what_is_not_there(registry):
    image = Image(b"present")
    here = f"{registry.host}/present"
    with Client({}) as client:
        push(client, parse(here), image)
        with pytest.raises(NotFound) as caught:
            client.resolve(parse(f"{here}:nope"))
        assert caught.value.message == f"manifest for {here}:nope not found: manifest unknown: manifest unknown"
        with pytest.raises(NotFound, match="not found: manifest unknown"):
            client.resolve(parse(f"{registry.host}/absent"))
        with pytest.raises(NotFound, match="repository .* not found: name unknown"):
            client.tags(parse(f"{registry.host}/absent"))
        with pytest.raises(RegistryError, match="blob unknown"):
            client.open_blob(parse(here), blob_of(b"absent"))
        lost = Image(b"never pushed")
        with pytest.raises(RegistryError, match="blob unknown"):
            client.push_manifest(parse(here), lost.manifest, lost.media_type)
        with pytest.raises(RegistryError, match="digest invalid"):
            client.push_blob(parse(here), blob_of(b"four"), lambda: io.BytesIO(b"five"))


def _login(monkeypatch, tmp_path, host, user, password):
    folder = tmp_path / "docker"
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_basic_auth(monkeypatch, tmp_path):
    with Registry(tmp_path / "registry", basic_auth(tmp_path / "auth", "me", "secret")) as server:
        ref, image = parse(f"{server.host}/private:v1"), Image(b"private")
        with Client({}) as client, pytest.raises(Unauthorized, match="no basic auth credentials") as caught:
            client.resolve(ref)
        assert server.host in caught.value.hint
        _login(monkeypatch, tmp_path, server.host, "me", "wrong")
        with Client({}) as client, pytest.raises(Unauthorized, match="unauthorized: authentication required"):
            push(client, ref, image)
        _login(monkeypatch, tmp_path, server.host, "me", "secret")
        with Client({}) as client:
            push(client, ref, image)
            assert client.resolve(ref).body == image.manifest
            assert read(client.open_blob(ref, image.layers[0])) == b"private"


def test_token_auth(tmp_path):
    with TokenServer(tmp_path, "me", "secret") as tokens, Registry(tmp_path / "registry", tokens.auth()) as server:
        ref, image = parse(f"{server.host}/team/app:v1"), Image(b"by token", b"two")
        with Client({}) as client, pytest.raises(Unauthorized):
            push(client, ref, image)
        with Client({}, credentials=lambda name: Credentials("me", "wrong")) as client:
            with pytest.raises(Unauthorized, match="incorrect username or password"):
                push(client, ref, image)
        tokens.asked.clear()
        with Client({}, credentials=lambda name: Credentials("me", "secret")) as client:
            push(client, ref, image)
            # the registry's first challenge speaks of the HEAD's scope, ours of the whole push
            assert tokens.asked == [(["repository:team/app:pull", "repository:team/app:pull,push"], tokens.login)]
            target = parse(f"{server.host}/team/other:v1")
            assert push(client, target, image, mount_from=ref) == ["mounted"] * 3
        tokens.asked.clear()
        with Client({}) as client:
            assert client.resolve(ref).body == image.manifest
            for blob, data in image.blobs:
                assert read(client.open_blob(ref, blob)) == data
            assert tokens.asked == [(["repository:team/app:pull"], None)]


def test_a_token_that_ends_is_renewed(tmp_path):
    with TokenServer(tmp_path, "me", "secret") as tokens, Registry(tmp_path / "registry", tokens.auth()) as server:
        ref, image = parse(f"{server.host}/app:v1"), Image(b"x")
        with Client({}, credentials=lambda name: Credentials("me", "secret")) as client:
            push(client, ref, image)
            now = [client._transport._auth._clock()]
            client._transport._auth._clock = lambda: now[0] + 1000
            tokens.asked.clear()
            assert client.has_blob(ref, image.layers[0])
            assert len(tokens.asked) == 1


def test_tls(monkeypatch, tmp_path):
    cert, key = certificate(tmp_path / "tls")
    image = Image(b"over TLS")
    with Registry(tmp_path / "registry", tls=(cert, key)) as server:
        ref = parse(f"{server.host}/tls:v1")
        with Client({}) as client:  # on loopback nothing is verified, as in Docker
            push(client, ref, image)
        monkeypatch.setattr(hosts, "is_loopback", lambda host: False)
        with Client({}) as client, pytest.raises(RegistryError, match="failed to verify certificate: x509") as caught:
            client.resolve(ref)
        assert "SSL_CERT_FILE" in caught.value.hint
        with Client({"registry": {server.host: {"insecure": True}}}) as client:
            assert client.resolve(ref).body == image.manifest
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with Client({}) as client:
            assert client.resolve(ref).body == image.manifest


def test_certificates_as_docker_keeps_them(monkeypatch, tmp_path):
    cert, key = certificate(tmp_path / "tls")
    image = Image(b"known authority")
    with Registry(tmp_path / "registry", tls=(cert, key)) as server:
        ref = parse(f"{server.host}/tls:v1")
        folder = tmp_path / "certs.d" / server.host
        folder.mkdir(parents=True)
        shutil.copy(cert, folder / "ca.crt")
        monkeypatch.setattr(hosts, "is_loopback", lambda host: False)

        def client():
            return Client({}, transport=Transport(lambda name: None, Connections(certs=str(tmp_path / "certs.d"))))

        with client() as first:
            push(first, ref, image)
        shutil.copy(cert, folder / "client.cert")
        with client() as second, pytest.raises(RegistryError, match="can't load certificate .*client.cert: no such file"):
            second.resolve(ref)
        (folder / "ca.crt").write_text("junk")
        with client() as third, pytest.raises(RegistryError, match="can't load certificate .*ca.crt"):
            third.resolve(ref)


def test_mirror_of_docker_hub(registry):
    """FROM ubuntu:18.04 comes from the mirror, and nothing leaves this machine."""
    image = Image(b"a stand-in")
    with Client({}) as client:
        push(client, parse(f"{registry.host}/library/ubuntu:18.04"), image)
    settings = {"registry": {"docker.io": {"mirrors": [f"http://{registry.host}"]}}}
    with Client(settings) as client:
        ref = parse("ubuntu:18.04")
        found = client.resolve(ref)
        assert found.body == image.manifest
        assert found.endpoint.mirror and found.endpoint.host == registry.host
        assert read(client.open_blob(ref, image.layers[0])) == b"a stand-in"


def test_mirror_fallback(registry, tmp_path):
    image = Image(b"only in the registry")
    ref = parse(f"{registry.host}/fallback:v1")
    with Registry(tmp_path / "mirror") as mirror, Client({}) as client:
        push(client, ref, image)
        settings = {"registry": {registry.host: {"mirrors": ["http://127.0.0.1:1", f"http://{mirror.host}"]}}}
        with Client(settings) as reader:
            found = reader.resolve(ref)
            assert (found.body, found.endpoint.mirror) == (image.manifest, False)
            assert read(reader.open_blob(ref, image.layers[0])) == b"only in the registry"
            with pytest.raises(NotFound) as caught:
                reader.resolve(parse(f"{registry.host}/fallback:nope"))
            assert "mirror http://127.0.0.1:1" in caught.value.hint
            assert f"mirror http://{mirror.host}" in caught.value.hint


def test_skopeo_reads_what_we_pushed(registry, tmp_path):
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed")
    image = Image(b"for skopeo")
    push_to = parse(f"{registry.host}/skopeo:v1")
    with Client({}) as client:
        push(client, push_to, image)
        command = [skopeo, "inspect", "--raw", "--tls-verify=false", f"docker://{push_to}"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == image.manifest
        copy = [skopeo, "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        copied = f"{registry.host}/skopeo:copied"
        subprocess.run([*copy, f"docker://{push_to}", f"docker://{copied}"], check=True)
        assert client.resolve(parse(copied)).body == image.manifest
