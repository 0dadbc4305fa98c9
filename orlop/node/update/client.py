"""Ask the engine of this machine, over its socket. See `orlop.node.update.api`.

Lifetime: one connection a request. Invariant: what the engine refuses comes back as the error it was, with its hint.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model import status
from orlop.node.update.api import SOCKET

SECONDS = 20.0
CHANGE_SECONDS = 330.0  # a change may wait for the engine


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        end = time.monotonic() + SECONDS
        while True:
            try:
                return self.sock.connect(str(self._path))
            except BlockingIOError:  # others wait to be let in, unix(7)
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)


def ask(method: str, path: str, values: dict[str, Any] | None = None, *, at: Path = SOCKET) -> dict[str, Any]:
    """The answer's object. Raises OrlopError: the engine's own words, or that it does not answer."""
    connection = _Connection(at, SECONDS if method == "GET" else CHANGE_SECONDS)
    try:
        connection.request(method, path, None if values is None else json.dumps(values))
        response = connection.getresponse()
        code, raw = response.status, response.read()
    except (OSError, http.client.HTTPException) as e:
        raise Missing(
            f"the update engine does not answer: {getattr(e, 'strerror', None) or str(e) or type(e).__name__}",
            hint="systemctl status orlop-update.service orlop-update.socket",
        ) from None
    finally:
        connection.close()
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OrlopError(f"the update engine answers {code} and no JSON", hint="journalctl -u orlop-update.service")
    if code != 200:
        kind = BadInput if code < 500 else OrlopError
        raise kind(str(found.get("error", f"the update engine answers {code}")), hint=str(found.get("hint", "")))
    return found


def the_status(*, at: Path = SOCKET) -> status.Document:
    return status.parse(json.dumps(ask("GET", "/v1/status", at=at)), "the status")
