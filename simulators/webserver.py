"""A web server on this computer for what a simulator serves, that can misbehave as servers do. Gone with its block."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from simulators.httpd import running


class WebHandler(BaseHTTPRequestHandler):
    files: Callable[[str], bytes | None]
    behave: Callable[[WebHandler, str], bool]

    def do_GET(self) -> None:
        path = unquote(self.path.lstrip("/"))
        if type(self).behave(self, path):
            return
        found = type(self).files(path)
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *args: object) -> None:
        pass


def behaves(_handler: WebHandler, _path: str) -> bool:
    return False


def endless(handler: WebHandler, _path: str) -> bool:
    """Sends without an end, and without saying how much."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 65536)
    except OSError:
        return True


def dripping(handler: WebHandler, _path: str) -> bool:
    """Promises much and sends a byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    return True


def dripping_headers(handler: WebHandler, _path: str) -> bool:
    """Never comes to the end of its headers."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(200):
            handler.wfile.write(b"a")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    return True


def breaking_off(handler: WebHandler, _path: str) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    handler.wfile.write(b"{")
    return True


@contextmanager
def serving(
    files: Callable[[str], bytes | None],
    behave: Callable[[WebHandler, str], bool] = behaves,
    *,
    tls: Path | None = None,
) -> Iterator[str]:
    """The URL of a server that gives what `files` gives, unless `behave` has answered already.

    `tls` is a file with a certificate and its key.
    """
    kind = type("Serving", (WebHandler,), {"files": staticmethod(files), "behave": staticmethod(behave)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with running(server) as address:
        yield address.replace("http:", "https:") if tls else address
