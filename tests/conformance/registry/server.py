"""Debian's docker-registry on loopback, in a temporary directory, with the authentication that a test wants."""

import base64
import ctypes
import ctypes.util
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest


def need(program):
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bcrypt(password):
    """crypt(3) of libxcrypt; the registry reads no other kind of hash."""
    name = ctypes.util.find_library("crypt")
    if name is None:
        pytest.skip("libcrypt is not installed")
    crypt = ctypes.CDLL(name).crypt
    crypt.restype = ctypes.c_char_p
    found = crypt(password.encode(), b"$2b$05$abcdefghijklmnopqrstuu")
    if not found or not found.startswith(b"$2b$"):
        pytest.skip("libcrypt knows no bcrypt")
    return found.decode()


def certificate(folder, name="127.0.0.1"):
    """A self-signed certificate for 127.0.0.1 and its key, as paths."""
    openssl = need("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


class Registry:
    """`with Registry(folder) as registry:` a server at registry.host; `log()` is what it said."""

    def __init__(self, folder, auth="", tls=None):
        self.program = need("docker-registry")
        self.folder = folder
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.tls = tls
        folder.mkdir(parents=True, exist_ok=True)
        certificates = f"\n  tls: {{certificate: {tls[0]}, key: {tls[1]}}}" if tls else ""
        text = (
            "version: 0.1\nlog: {level: info}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http:\n  addr: 127.0.0.1:{self.port}{certificates}\n{auth}"
        )
        (folder / "config.yml").write_text(text)

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            command = [self.program, "serve", str(self.folder / "config.yml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(self.log())

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def log(self):
        return (self.folder / "log").read_text()


def basic_auth(folder, user, password):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(f"{user}:{bcrypt(password)}\n")
    return f"auth:\n  htpasswd:\n    realm: test\n    path: {folder}/htpasswd\n"


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """A token server of the distribution's protocol: anybody may pull, the one user may push too."""

    ISSUER = "test-issuer"
    SERVICE = "test-registry"

    def __init__(self, folder, user, password, life=300):
        self.cert, self.key = certificate(folder / "token")
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.life = life
        self.asked = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                who = self.headers.get("Authorization")
                server.asked.append((sorted(query.get("scope", [])), who))
                if who not in (None, server.login):
                    return self.answer(401, {"details": "incorrect username or password"})
                actions = {"pull", "push"} if who else {"pull"}
                return self.answer(200, {"token": server.token(query.get("scope", []), actions), "expires_in": server.life})

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.http.server_port}/token"

    def token(self, scopes, allowed):
        der = subprocess.run(["openssl", "x509", "-in", self.cert, "-outform", "DER"], check=True, capture_output=True).stdout
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": sorted(allowed & set(actions.split(",")))})
        now = int(time.time())
        claims = {
            "iss": self.ISSUER,
            "sub": "",
            "aud": self.SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + 300,
            "access": access,
        }
        text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        return f"{text}.{_b64(subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout)}"

    def auth(self):
        return (
            f"auth:\n  token:\n    realm: {self.realm}\n    service: {self.SERVICE}\n"
            f"    issuer: {self.ISSUER}\n    rootcertbundle: {self.cert}\n"
        )

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
