"""Ask a server on a Unix socket (`orlop.net.local.server`). Lifetime: one connection a request."""

from __future__ import annotations

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

from orlop.net.errors import Lying, Unreachable

BUSY_SECONDS = 20.0  # that others may wait to be let in before this one


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self.sock.connect(str(self._path))
            except BlockingIOError:  # others wait to be let in, unix(7)
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)


def ask(
    path: Path, method: str, target: str, values: dict[str, Any] | None, seconds: float
) -> tuple[int, dict[str, Any]]:
    """The status, and the answer's object. Raises Unreachable when nobody is there, Lying when it is not an object."""
    connection = _Connection(path, seconds)
    try:
        connection.request(method, target, None if values is None else json.dumps(values))
        response = connection.getresponse()
        status, raw = response.status, response.read()
    except (OSError, http.client.HTTPException) as e:
        raise Unreachable(getattr(e, "strerror", None) or str(e) or type(e).__name__) from None
    finally:
        connection.close()
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Lying(f"{path} answers {status} and no JSON")
    return status, answer
