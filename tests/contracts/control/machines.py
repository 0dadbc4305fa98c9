"""A machine of a cluster as the control API sees it: joined, connected, and doing what it is told in memory."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import MACHINES, Role
from orlop.model.fleet.records import MachineOffer, SeenUnit, SeenUnits, TargetState
from orlop.store.protocol import Put
from tests.contracts.control.served import Identity, ServedControl

SECONDS = 10.0


def until(is_so: Callable[[], object], what: str = "it did not happen") -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class SimulatedMachine:
    """Its agent is this class; its systemd starts everything at once. `epochs`: what it runs, and since which epoch."""

    def __init__(self, control: ServedControl, digit: str, **metadata: str) -> None:
        self.control, self.name, self.host = control, digit * 32, f"n{digit}"
        self.identity: Identity = control.identity(self.host, f"/O=orlop:worker/CN={self.name}")
        record = MachineRecord(self.name, Role.WORKER, self.host, "0" * 64, "t", control.now[0].replace(microsecond=0))
        control.do(control.store.commit([Put(MACHINES + self.name, record.text())]))
        self.offer = MachineOffer(metadata, 4000, 8 << 30)
        self.epochs: dict[str, int] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.connection: http.client.HTTPSConnection | None = None
        self.listening = threading.Thread()
        self.is_idle = False  # it hears, and does nothing

    @property
    def where(self) -> str:
        return f"/v1/machines/{self.name}"

    def come(self) -> SimulatedMachine:
        assert self.ask("PUT", "/offer", json.loads(self.offer.encoded()))[0] == 204
        self.connection = self.control.connect(self.identity)
        self.connection.request("GET", f"/v1/watch/machines/{self.name}")
        self.listening = threading.Thread(target=self._listen, args=(self.connection,))
        self.listening.start()
        return self

    def go(self) -> None:
        """As when its power is cut: the connection ends; what it runs goes on, as far as it knows."""
        assert self.connection is not None
        connection, self.connection = self.connection, None
        with suppress(OSError):
            connection.sock.shutdown(2)  # getresponse() has given the answer the socket, and keeps its own
        self.listening.join(SECONDS)
        connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.control.ask(method, f"{self.where}{path}", self.identity, body)[:2]

    def work(self) -> dict[str, dict[str, Any]]:
        return {unit["name"]: unit for unit in self.ask("GET", "/work")[1]["units"]}

    def say(self, seen: dict[str, SeenUnit]) -> list[str]:
        refused: list[str] = self.ask("PUT", "/states", json.loads(SeenUnits(seen).encoded()))[1]["refused"]
        return refused

    def _listen(self, connection: http.client.HTTPSConnection) -> None:
        with suppress(OSError, http.client.HTTPException), connection.getresponse() as answer:
            while line := answer.readline():
                is_news = line.startswith((b"event: state", b"event: put", b"event: gone"))
                if is_news and self.connection is connection and not self.is_idle:
                    self._run()

    def _run(self) -> None:
        # what is held back stays as it was
        units = {name: self.runs.get(name, unit) if unit["held"] else unit for name, unit in self.work().items()}
        self.runs = units
        self.epochs = {name: unit["epoch"] for name, unit in units.items()}
        self.say({
            name: SeenUnit(
                "loaded", *_words(unit), unit["hash"], unit["epoch"], "", unit["restarts"], TargetState(unit["target"])
            )
            for name, unit in units.items()
        })  # fmt: skip


def _words(unit: dict[str, Any]) -> tuple[str, str]:
    """What becomes of a unit: one with /bin/false fails."""
    if unit["target"] != "launched":
        return "inactive", "dead"
    return ("failed", "failed") if "/bin/false" in unit["text"] else ("active", "running")
