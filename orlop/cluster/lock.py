"""The reboot lock of this machine's cluster, as programs of the machine take it: from its agent, which has the key.

    engine    the update engine: it remembers by itself whether it holds the lock
    hand      somebody who reboots the machine: the agent gives the lock back when the next boot is good

Lifetime: one connection a request. Invariant: who is told that it holds the lock does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orlop.errors import Busy
from orlop.model.cluster.names import AGENT_UNIT, LOCK_SOCKET, SETTINGS_PLACE
from orlop.net.errors import NetError, Unreachable
from orlop.net.local.client import ask

SECONDS = 90.0  # the agent asks one server after another


class LockTaker(StrEnum):
    """Why the machine reboots."""

    ENGINE = "engine"
    HAND = "hand"


class LockRefused(Busy):
    """The lock service said no, or cannot say yes now; the message has its words."""


@dataclass(frozen=True)
class ClusterLock:
    by: LockTaker
    top: Path = Path("/")

    def take(self, etcd: str = "") -> None:
        """`etcd`: the version that will run after the reboot, "" when it is not known.

        Raises LockRefused; Unreachable when the agent does not answer, and may have taken it.
        """
        self._ask("pre-reboot", {"by": str(self.by), "etcd": etcd})

    def give_back(self) -> None:
        """From then on the agent sees to it, however long no server answers.

        An agent that does not answer finds it out by itself, from the engine's status or by the time: nothing on a
        machine may wait for its agent, least of all an update that mends it.
        """
        with suppress(NetError):
            self._ask("steady-state", {"by": str(self.by)})

    def _ask(self, what: str, values: dict[str, Any]) -> None:
        try:
            status, answer = ask(self.top / LOCK_SOCKET.lstrip("/"), "POST", f"/v1/{what}", values, SECONDS)
        except NetError as e:
            raise Unreachable(
                f"the agent of the cluster, which has the reboot lock, does not answer: {e.message}",
                hint=f"`systemctl status {AGENT_UNIT}` says how it is",
            ) from None
        if status != 200:
            raise LockRefused(str(answer.get("error")), hint=str(answer.get("hint") or ""))


def is_in_cluster(top: Path = Path("/")) -> bool:
    return (top / SETTINGS_PLACE.lstrip("/")).exists()
