"""A FleetLock service with one slot: who holds it, who asked, and whom it refuses.

Of the protocol (its page in Zincati's documentation) what a client sees: two paths, a header that must be there, a body
with the client's id and group, 200 or an error with `kind` and `value`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from simulators.httpd import running


@dataclass
class LockService:
    """`holder` is the id that has the slot, empty when it is free; `asked` is (deed, id, group) of every request."""

    holder: str = ""
    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def answer(self, deed: str, who: str, group: str) -> tuple[int, dict[str, str]]:
        self.asked.append((deed, who, group))
        if deed == "/v1/pre-reboot":
            if self.holder not in ("", who):
                return 409, {"kind": "failed_lock", "value": f"the slot is held by {self.holder}"}
            self.holder = who
        elif deed == "/v1/steady-state":
            if self.holder == who:
                self.holder = ""
        else:
            return 404, {"kind": "no_such_path", "value": deed}
        return 200, {}


@contextmanager
def lock_service(holder: str = "") -> Iterator[LockService]:
    """On loopback, while the block lasts."""
    service = LockService(holder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            values = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["client_params"]
            if self.headers.get("fleet-lock-protocol") != "true":
                status, said = 400, {"kind": "no_header", "value": "fleet-lock-protocol is missing"}
            else:
                status, said = service.answer(self.path, values["id"], values["group"])
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class's

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.port = httpd.server_address[1]
    with running(httpd):
        yield service
