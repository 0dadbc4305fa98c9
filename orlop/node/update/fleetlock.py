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

import json
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from orlop.cluster.lock import LockRefused
from orlop.model.settings.kinds import LOCK_GROUP, WEB
from orlop.model.words.line import line
from orlop.net.dial import Patience
from orlop.net.exchange import Client

TIMEOUT_SECONDS = 30.0
_LARGEST = 1 << 16


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
        WEB.read(self.url, "the address of the lock service")
        LOCK_GROUP.read(self.group, "the group of a lock")

    def take(self, etcd: str = "") -> None:  # noqa: ARG002  the protocol has no word for it
        """Raises LockRefused, or Unreachable."""
        self._post("v1/pre-reboot")

    def give_back(self) -> None:
        """Raises LockRefused, or Unreachable."""
        self._post("v1/steady-state")

    def _post(self, verb: str) -> None:
        parts = urlsplit(self.url)
        url = urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{verb}", "", ""))
        body = json.dumps({"client_params": {"group": self.group, "id": self.machine}}).encode()
        headers = {"fleet-lock-protocol": "true", "Content-Type": "application/json"}
        service = f"the lock service {parts.hostname}"
        with closing(
            Client(Patience(self.timeout), service, redirects=0, direct=True)
        ) as client:  # it is near: no proxy
            answer = client.ask(url, method="POST", headers=headers, body=body)
            words = _words(answer.status, answer.first(_LARGEST))
        if answer.status != 200:
            raise LockRefused(f"{service} refuses: {words}")


def _words(status: int, answer: bytes) -> str:
    try:
        about = json.loads(answer)
        return line(f"{about['value']} ({about['kind']})")
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"status {status}"
