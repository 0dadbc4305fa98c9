"""The engine's local API: HTTP and JSON over a Unix socket. docs/protocol/node-api.md is its reference.

    GET    /v1/status                what the machine says of its updates
    GET    /v1/denylist
    DELETE /v1/denylist/VERSION
    POST   /v1/update                {"to": …, "from": …, "allow_unsigned": …, "reboot": …}
    POST   /v1/rollback
    POST   /v1/hold                  {"reason": …}
    POST   /v1/unhold
    GET    /metrics                  for Prometheus

Reading is for everybody on the machine, changing for root: the kernel says who is at the other end. A change waits
until the engine has taken it, and its answer says what came of it. Invariant: what is not understood, in path or body,
changes nothing; a body is small; a request that is not here whole after a while is given up, however it drips; and no
other user can take root's places.
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
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Busy, Missing, NoSpace, OrlopError

SOCKET = Path("/run/orlop/update.sock")
LARGEST = 1 << 14  # bytes of a request's body
SECONDS = 30.0  # that a client may take to send a request, and again to take its answer
MOST = 16  # requests at a time, of root and of all others
ROOT = 0
_FIRST_FD = 3  # sd_listen_fds(3)
_STATUS: dict[type[OrlopError], int] = {BadInput: 400, Missing: 404, Busy: 409, NoSpace: 507}


@dataclass(frozen=True)
class Deeds:
    """What the API can do. Each is given the request's values, checked to be an object, and gives its answer's."""

    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], str]
    change: Callable[[str, dict[str, Any]], dict[str, Any]]  # (update, rollback, hold, unhold, allow; values)


class Server(socketserver.ThreadingUnixStreamServer):
    """On a socket that is listening already (from systemd), or on a path of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, deeds: Deeds, path: Path | None = None, *, seconds: float = SECONDS) -> None:
        self.deeds, self.seconds = deeds, seconds
        self.places = {is_root: threading.BoundedSemaphore(MOST) for is_root in (True, False)}
        super().__init__(str(path) if path else "", _Request, bind_and_activate=path is not None)
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


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "orlop-update", ""
    server: Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Until(self.connection, self.server.seconds))

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(200, self.server.deeds.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/v1/status":
            self._answer(200, self.server.deeds.status())
        elif self.path == "/v1/denylist":
            self._answer(200, {"denied": self.server.deeds.status()["denied"]})
        else:
            self._not_here()

    def do_POST(self) -> None:
        name = self.path.removeprefix("/v1/")
        if name not in ("update", "rollback", "hold", "unhold") or name == self.path:
            self._not_here()
            return
        self._change(name)

    def do_DELETE(self) -> None:
        version = self.path.removeprefix("/v1/denylist/")
        if version == self.path:
            self._not_here()
            return
        self._change("allow", {"version": version})

    def _change(self, name: str, values: dict[str, Any] | None = None) -> None:
        try:
            if not _is_root(self.connection):
                self._answer(403, {"error": "only root may change anything", "hint": "use sudo"})
                return
            found = self.server.deeds.change(name, self._body() if values is None else values)
        except OrlopError as e:
            self._refuse(e)
            return
        self._answer(200, found)

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
            raise BadInput(f"a body of {length[:20]} bytes is not read", hint=f"at most {LARGEST}")
        raw = self.rfile.read(int(length))
        try:
            values = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise BadInput("the body is no JSON") from None
        if not isinstance(values, dict):
            raise BadInput("the body is no object")
        return values

    def _not_here(self) -> None:
        self._refuse(Missing(f"there is no {self.path}", hint="docs/protocol/node-api.md lists what there is"))

    def _refuse(self, error: OrlopError) -> None:
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 502)
        self._answer(status, {"error": error.message, "hint": error.hint})

    def _answer(self, status: int, values: dict[str, Any]) -> None:
        self._send(status, json.dumps(values).encode() + b"\n", "application/json")

    def _send(self, status: int, raw: bytes, kind: str) -> None:
        self.connection.settimeout(self.server.seconds)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Requests are not logged; what changes something is, by the daemon."""
