"""The engine's local API: HTTP and JSON over a Unix socket. docs/protocol/node-api.md is its reference.

    GET    /v1/status                what the machine says of its updates
    GET    /v1/denylist
    DELETE /v1/denylist/VERSION
    POST   /v1/update                {"to": …, "from": …, "allow_unsigned": …, "reboot": …}
    POST   /v1/rollback
    POST   /v1/hold                  {"reason": …}
    POST   /v1/unhold
    GET    /metrics                  for Prometheus

Reading is for everybody on the machine, changing for root. A change waits until the engine has taken it, and its answer
says what came of it. Invariant: what is not understood, in path or body, changes nothing. `orlop.net.local.server` has
the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.net.local.server import SECONDS, LocalRequest, LocalServer
from orlop.node.update import requests
from orlop.node.update.requests import Asked

POSTED = ("update", "rollback", "hold", "unhold")


@dataclass(frozen=True)
class Handlers:
    """What the API can do. `change` gives the values of the answer."""

    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], str]
    change: Callable[[Asked], dict[str, Any]]


class ApiServer(LocalServer):
    def __init__(self, handlers: Handlers, path: Path | None = None, *, seconds: float = SECONDS) -> None:
        self.handlers = handlers
        super().__init__(_Request, path, seconds=seconds)


class _Request(LocalRequest):
    server_version = "orlop-update"
    reference = "docs/protocol/node-api.md lists what there is"
    server: ApiServer

    def get(self) -> None:
        if self.path == "/metrics":
            self.send(200, self.server.handlers.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/v1/status":
            self.answer(200, self.server.handlers.status())
        elif self.path == "/v1/denylist":
            self.answer(200, {"denied": self.server.handlers.status()["denied"]})
        else:
            raise self.not_here()

    def post(self) -> None:
        name = self.path.removeprefix("/v1/")
        if name not in POSTED or name == self.path:
            raise self.not_here()
        self._change(name)

    def delete(self) -> None:
        version = self.path.removeprefix("/v1/denylist/")
        if version == self.path:
            raise self.not_here()
        self._change("allow", {"version": version})

    def _change(self, name: str, values: dict[str, Any] | None = None) -> None:
        if not self.is_root():
            self.answer(403, {"error": "only root may change anything", "hint": "use sudo"})
            return
        asked = requests.parse(name, self.body() if values is None else values)
        self.answer(200, self.server.handlers.change(asked))
