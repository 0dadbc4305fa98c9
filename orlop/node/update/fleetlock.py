"""The reboot lock: the client's side of the FleetLock protocol.

    POST <url>/v1/pre-reboot      may this machine reboot?  200: it holds a slot of its group's lock now
    POST <url>/v1/steady-state    it is back, and well:     200: the slot is free again

The body is {"client_params": {"group": …, "id": …}}, and the header `fleet-lock-protocol: true` keeps strays away. Both
requests may be repeated: whoever holds a slot gets it again, whoever gave it back may do so twice. Any other answer is
a refusal with {"kind": …, "value": …}, of which a line is shown. Source: the protocol's page in Zincati's
documentation.

Invariant: a lock is only ever given back for a machine that said so itself; nothing here decides when.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.parse
from contextlib import closing
from dataclasses import dataclass

from orlop.errors import BadInput, Busy
from orlop.model.address import web_problem
from orlop.model.line import line
from orlop.node.update.source import Unreachable
from orlop.trust.dial import Connection, Patience, first_bytes, said
from orlop.trust.route import Route, public

GROUP = re.compile(r"[a-zA-Z0-9.-]+", re.ASCII)
TIMEOUT_SECONDS = 30.0
_LARGEST = 1 << 16


class Refused(Busy):
    """The lock service said no; the message has its words."""


@dataclass(frozen=True)
class FleetLock:
    """`machine` is an id that says nothing else about the machine; `group` shares the lock's slots; a whole request may
    take `timeout` seconds.
    """

    url: str
    machine: str
    group: str = "default"
    timeout: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        if why := web_problem(self.url):
            raise BadInput(f"{public(self.url)!r} is no lock service: {why}", hint="use http://… or https://…")
        if not GROUP.fullmatch(self.group):
            raise BadInput(f"{self.group!r} is no group of a lock", hint="use letters, digits, dots and dashes")

    def take(self) -> None:
        """Raises Refused, or Unreachable."""
        self._post("v1/pre-reboot")

    def give_back(self) -> None:
        """Raises Refused, or Unreachable."""
        self._post("v1/steady-state")

    def _post(self, deed: str) -> None:
        parts = urllib.parse.urlsplit(self.url)
        body = json.dumps({"client_params": {"group": self.group, "id": self.machine}})
        headers = {"fleet-lock-protocol": "true", "Content-Type": "application/json"}
        way = Route(parts, None, f"{parts.path.rstrip('/')}/{deed}", headers)  # it is near: no proxy
        host = parts.hostname
        try:
            with closing(Connection(way, Patience(self.timeout))) as connection:
                connection.request("POST", way.target, body, way.headers)
                with connection.getresponse() as response:
                    status, answer = response.status, first_bytes(response, _LARGEST)
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Unreachable(f"the lock service {host} does not answer: {said(e)}") from None
        if status != 200:
            raise Refused(f"the lock service {host} refuses: {_words(status, answer)}")


def _words(status: int, answer: bytes) -> str:
    try:
        about = json.loads(answer)
        return line(f"{about['value']} ({about['kind']})")
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"status {status}"
