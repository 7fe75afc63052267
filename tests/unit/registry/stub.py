"""A scripted HTTP server on loopback: each request is recorded, a function of the test answers it."""

import http.server
import threading
import types


class Answer:
    """status, headers, body; `promise` is a Content-Length that differs from the body's (the connection then breaks)."""

    def __init__(self, status=200, headers=None, body=b"", promise=None, hang_up=False):
        self.status = status
        self.headers = dict(headers or {})
        self.body = body if isinstance(body, bytes) else body.encode()
        self.promise = promise
        self.hang_up = hang_up


class Stub:
    """`with Stub(function) as stub:` where function(request) -> Answer; stub.requests holds what came."""

    def __init__(self, function):
        self.requests = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                if self.path != "/v2/":
                    # a copy: one handler serves all requests of a connection
                    seen = {key: getattr(self, key) for key in ("command", "path", "headers", "body")}
                    stub.requests.append(types.SimpleNamespace(**seen))
                answer = function(self) if self.path != "/v2/" else Answer()
                if answer.hang_up:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    for one in value if isinstance(value, list) else [value]:
                        self.send_header(name, one)
                self.send_header("Content-Length", str(len(answer.body) if answer.promise is None else answer.promise))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                if answer.promise is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def sent(self, name):
        return [request.headers.get(name) for request in self.requests]
