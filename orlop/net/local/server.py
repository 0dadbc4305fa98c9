"""A small HTTP server on a Unix socket, for whoever is on this machine; JSON in and out, and every bound that it takes.

The kernel says who is at the other end. Lifetime: a thread a request, the server's as long as the process.

Invariant: a body is small; a request that is not here whole after a while is given up, however it drips; no other user
can take root's places; and an error that somebody can mend is an answer, with its words and its hint.
"""

from __future__ import annotations

import io
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Busy, Missing, NoSpace, OrlopError

LARGEST = 1 << 14  # bytes of a request's body
SECONDS = 30.0  # that a client may take to send a request, and again to take its answer
MOST = 16  # requests at a time, of root and of all others
ROOT = 0
_FIRST_FD = 3  # sd_listen_fds(3)
_STATUS: dict[type[OrlopError], int] = {BadInput: 400, Missing: 404, Busy: 409, NoSpace: 507}


class LocalServer(socketserver.ThreadingUnixStreamServer):
    """On a socket that is listening already (from systemd), or on a path of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[LocalRequest], path: Path | None = None, *, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.places = {is_root: threading.BoundedSemaphore(MOST) for is_root in (True, False)}
        super().__init__(str(path) if path else "", handler, bind_and_activate=path is not None)
        if path is None:
            self.socket.close()
            self.socket = socket.socket(fileno=_FIRST_FD)
            self.socket.setblocking(True)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="api", daemon=True).start()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base class's
        return self.places[_is_root(request)].acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        places = self.places[_is_root(request)]
        try:
            super().process_request_thread(request, client_address)
        finally:
            places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Who went away in the middle is not worth a word; a defect is."""
        import sys
        import traceback

        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


def _is_root(connection: socket.socket) -> bool:
    """Whether that is the user at the other end, unix(7)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", raw)[1] == ROOT)


class _Until(io.RawIOBase):
    """What a connection sends until a moment; then TimeoutError, whatever comes and when."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._end = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class LocalRequest(BaseHTTPRequestHandler):
    """A subclass has `get`, `post` and `delete`, which answer by `answer` or `send`; an OrlopError is an answer too."""

    protocol_version = "HTTP/1.0"
    server_version, sys_version = "orlop", ""
    reference = ""  # where it is said what there is
    server: LocalServer

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Until(self.connection, self.server.seconds))

    def do_GET(self) -> None:
        self._do(self.get)

    def do_POST(self) -> None:
        self._do(self.post)

    def do_DELETE(self) -> None:
        self._do(self.delete)

    def _do(self, verb: Callable[[], None]) -> None:
        try:
            verb()
        except OrlopError as e:
            status = next((status for kind, status in _STATUS.items() if isinstance(e, kind)), 502)
            self.answer(status, {"error": e.message, "hint": e.hint})

    def get(self) -> None:
        raise self.not_here()

    def post(self) -> None:
        raise self.not_here()

    def delete(self) -> None:
        raise self.not_here()

    def not_here(self) -> Missing:
        return Missing(f"there is no {self.path}", hint=self.reference)

    def is_root(self) -> bool:
        return _is_root(self.connection)

    def body(self) -> dict[str, Any]:
        """The body's object, empty when there is no body. Raises BadInput."""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
            raise BadInput(f"a body of {length[:20]} bytes is not read", hint=f"at most {LARGEST}")
        raw = self.rfile.read(int(length))
        try:
            values = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise BadInput("the body is not valid JSON") from None
        if not isinstance(values, dict):
            raise BadInput("the body must be a JSON object")
        return values

    def answer(self, status: int, values: dict[str, Any]) -> None:
        self.send(status, json.dumps(values).encode() + b"\n", "application/json")

    def send(self, status: int, raw: bytes, kind: str) -> None:
        self.connection.settimeout(self.server.seconds)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Requests are not logged; what changes something is, by who changes it."""
