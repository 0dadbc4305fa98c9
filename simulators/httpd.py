"""A web server for a folder, as good or as bad as a test wants it.

It answers Range requests as RFC 9110 says, and each of its vices can be turned on for the requests to come. It listens
on the loopback address, on a port of its own, from `with` to the end of it. `asked` is every request it got.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 1 << 18


@dataclass
class Vices:
    """What is wrong with the server. All off: it is a good one."""

    cut_after: Iterator[int] | None = None  # close the connection after so many bytes of the body, request by request
    reset: bool = False  # … and with a reset, not an orderly end
    ignore_range: bool = False  # 200 and everything, whatever was asked
    wrong_range: bool = False  # says in Content-Range what was not asked for
    promise: int = 0  # Content-Length is so much larger (or smaller) than what is sent
    other_bytes: float = 0.0  # the chance that a piece has other bytes
    stall_after: int | None = None  # then nothing more, and the connection stays open
    status: int | None = None  # answers this to everything
    encoding: str = ""  # says so in Content-Encoding
    redirect: str = ""  # everything is over there
    unchunked: bool = False  # no Content-Length at all: the body ends with the connection
    spares: str = ""  # what ends so is served as by a good one


@dataclass
class WebServer:
    """`url` is its top; `asked` is (path, range) of every request, `headers` those of the last one.

    `sent` is how many bytes went out, headers and all.
    """

    folder: Path
    url: str = ""
    vices: Vices = field(default_factory=Vices)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running(httpd: ThreadingHTTPServer) -> Iterator[str]:
    """Let the server, which is bound to loopback, answer while the block lasts; gives its address."""
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@contextmanager
def serve(folder: Path, vices: Vices | None = None) -> Iterator[WebServer]:
    server = WebServer(folder, vices=vices or Vices())

    class Handler(_Handler):
        served = server

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server.url:
        try:
            yield server
        finally:
            server.ended.set()


def cuts(*lengths: int) -> Iterator[int]:
    """Cut so often, then never again."""
    return itertools.chain(lengths, itertools.repeat(1 << 60))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: WebServer
    _vices: Vices

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def flush_headers(self) -> None:
        self.served.sent += sum(map(len, getattr(self, "_headers_buffer", ())))
        super().flush_headers()

    def do_GET(self) -> None:
        server, vices = self.served, self.served.vices
        path = re.sub(r"^https?://[^/]*", "", self.path).lstrip("/")
        if vices.spares and path.endswith(vices.spares):
            vices = Vices()
        self._vices = vices
        server.asked.append((path, self.headers.get("Range", "")))
        server.headers = dict(self.headers.items())
        if vices.redirect:
            self._plain(302, {"Location": vices.redirect + path})
            return
        if vices.status:
            self._plain(vices.status, {})
            return
        try:
            file = (server.folder / path).open("rb")
        except OSError:
            self._plain(404, {})
            return
        with file:
            self._answer(file)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        start, end, status = 0, size, 200
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and not self._vices.ignore_range:
            start, end, status = int(asked[1]), min(int(asked[2] or size) + 1, size), 206
            if start >= size:
                self._plain(416, {"Content-Range": f"bytes */{size}"})
                return
        self._head(status, size, start, end)
        if self.command != "HEAD":
            file.seek(start)
            self._body(file, end - start)

    def _plain(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _head(self, status: int, size: int, start: int, end: int) -> None:
        vices = self._vices
        self.send_response(status)
        if status == 206:
            claimed = start + 7 if vices.wrong_range else start
            self.send_header("Content-Range", f"bytes {claimed}-{end - 1}/{size}")
        if vices.encoding:
            self.send_header("Content-Encoding", vices.encoding)
        if vices.unchunked:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(max(0, end - start + vices.promise)))
        self.end_headers()

    def _body(self, file: BinaryIO, length: int) -> None:
        server, vices = self.served, self._vices
        cut = next(vices.cut_after) if vices.cut_after else None
        sent = 0
        while sent < length:
            piece = file.read(min(_PIECE, length - sent))
            if cut is not None:
                piece = piece[: cut - sent]
            if vices.stall_after is not None:
                piece = piece[: max(0, vices.stall_after - sent)]
            if vices.other_bytes and server.rng.random() < vices.other_bytes and piece:
                spoilt = bytearray(piece)
                spoilt[server.rng.randrange(len(spoilt))] ^= 0xFF
                piece = bytes(spoilt)
            server.sent += len(piece)  # before whoever asked can ask how much it was
            try:
                self.wfile.write(piece)
            except ConnectionError:  # whoever asked has gone
                self.close_connection = True
                return
            sent += len(piece)
            if cut is not None and sent >= cut:
                self._cut()
                return
            if vices.stall_after is not None and sent >= vices.stall_after:
                server.ended.wait(60)
                self.close_connection = True
                return
        if vices.promise or vices.unchunked:
            self.close_connection = True

    def _cut(self) -> None:
        if self._vices.reset:
            time.sleep(0.02)  # a reset takes with it what the other side has not read yet
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close() if self._vices.reset else self.connection.shutdown(socket.SHUT_RDWR)
