"""The agent's own code about units against the real API and the real script of the host; systemd alone is simulated."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orlop.model.cluster.names import UNITS_ASKED
from orlop.model.fleet.records import MachineOffer
from orlop.node.agent.control import ControlClient
from orlop.node.agent.facts import MachineFacts
from orlop.node.agent.keys import MachineKeys
from orlop.node.agent.loop import AgentLoop, AgentOutside
from orlop.node.agent.units.bus import ListedUnit
from orlop.node.agent.units.host import UnitHost
from orlop.node.agent.units.kept import KeptWork
from orlop.node.agent.units.worker import BOOT_SECONDS, UnitsOutside, UnitsWorker
from tests.contracts.control.machines import until
from tests.contracts.control.served import Identity, ServedControl

ROOT = Path(__file__).parents[3]
TEXT = "[Service]\nExecStart=/usr/bin/sleep 1d\n"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$TOP/calls"
for last; do :; done
case "$*" in
    *broken*) echo "no such thing"; exit 1 ;;
    *restart*|*start*) echo active > "$TOP/states/$last" ;;
    *stop*) echo inactive > "$TOP/states/$last" ;;
esac
"""


@dataclass
class SimulatedSystemd:
    """As much as the script and the bus need: a file with the state of each unit, and the path unit that starts it."""

    top: Path
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for name in ("bin", "states", "run/orlop/agent", "var"):
            (self.top / name).mkdir(parents=True, exist_ok=True)
        (self.top / "bin/systemctl").write_text(SYSTEMCTL)
        (self.top / "bin/systemctl").chmod(0o755)
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        run = self.top / "run"
        env = {
            "PATH": f"{self.top}/bin:{os.environ['PATH']}",
            "TOP": str(self.top),
            "ORLOP_ASKED": f"{self.top}{UNITS_ASKED}",
            "ORLOP_UNITS_TEXTS": f"{run}/orlop/agent/units",
            "ORLOP_PLACED": f"{run}/orlop/units",
            "ORLOP_UNITS": f"{run}/systemd/system",
            "ORLOP_QUADLETS": f"{run}/containers/systemd",
            "ORLOP_OTHERS": "/none",
        }
        while not self.over.wait(0.01):
            if Path(env["ORLOP_ASKED"]).exists():
                script = ROOT / "os/mkosi.extra/usr/lib/orlop/units-asked"
                subprocess.run(["sh", script], env=env, check=True)

    def end(self) -> None:
        self.over.set()
        self.thread.join()

    @property
    def calls(self) -> list[str]:
        path = self.top / "calls"
        return [line.removeprefix("--no-block ") for line in path.read_text().splitlines()] if path.exists() else []

    def active(self) -> set[str]:
        return {path.name for path in (self.top / "states").iterdir() if path.read_text() == "active\n"}

    def reboot(self) -> None:
        """What is in /run is gone, and nothing runs."""
        subprocess.run(["rm", "-rf", self.top / "run", self.top / "states", self.top / "calls"], check=True)
        for name in ("states", "run/orlop/agent"):
            (self.top / name).mkdir(parents=True)


class SimulatedBus:
    """Says of each unit what systemd's files say; its signals are one for each look, at most."""

    def __init__(self, systemd: SimulatedSystemd) -> None:
        self._systemd = systemd
        self._read, self._write = os.pipe()

    def subscribe(self) -> None: ...

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def units(self, names: list[str]) -> list[ListedUnit]:
        active = self._systemd.active()
        placed = self._systemd.top / "run/orlop/units"
        return [
            ListedUnit(name, *(("loaded", "active", "running") if name in active else
                               ("loaded" if (placed / name).exists() else "not-found", "inactive", "dead")))
            for name in names
        ]  # fmt: skip


class AgentMachine:
    """A machine with our agent on it. `start` and `kill` are of the agent alone."""

    def __init__(self, control: ServedControl, folder: Path) -> None:
        for path, text in {
            "etc/machine-id": f"{folder.name:0>32}\n", "etc/os-release": 'IMAGE_VERSION="20261128.1"\n',
            "proc/sys/kernel/random/boot_id": "0f3c6f0a-31d6-4f6f-8f1e-2c3c8c0e7b11\n",
        }.items():  # fmt: skip
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self.control, self.folder = control, folder
        self.systemd = SimulatedSystemd(folder)
        self.said: list[str] = []
        self.shift = 0.0  # seconds by which its clock is ahead
        self.over = threading.Event()
        self.worker: StoppingWorker | None = None
        self.thread: threading.Thread | None = None

    def start(self, *, server: bool = True) -> None:
        """`server`: one answers."""
        over = self.over = threading.Event()
        keys = MachineKeys(self.folder / "var", self.control.signer.openssl)
        outside = AgentOutside(
            MachineFacts(self.folder), keys, self.folder / "run/orlop/agent/status.json",
            lambda: str(self.control.token()), port=self.control.port, now=lambda: self.control.now[0],
            say=self.said.append,
        )  # fmt: skip

        def units(machine: str, client: Callable[[], ControlClient]) -> UnitsWorker:
            kept = KeptWork(self.folder / "var", self.folder / "run/orlop/agent")
            made = UnitsOutside(
                machine, client, kept, UnitHost(self.folder), lambda: MachineOffer({"zone": "a"}, 4000, 4 << 30),
                lambda: SimulatedBus(self.systemd), self.said.append, now=lambda: time.monotonic() + self.shift,  # type: ignore[arg-type,return-value]
            )  # fmt: skip
            self.worker = StoppingWorker(made, over)
            return self.worker

        self.loop = AgentLoop(outside, "test", ("127.0.0.1",), units=units)
        if server:
            self.loop.turn()

    def kill(self) -> None:
        """The agent alone."""
        assert self.worker is not None
        self.over.set()
        self.worker._wake()
        self.loop.end()
        until(lambda: self.worker.ended)  # type: ignore[union-attr]


class StoppingWorker(UnitsWorker):
    """One that a test can end."""

    def __init__(self, outside: UnitsOutside, over: threading.Event) -> None:
        super().__init__(outside)
        self.over, self.ended = over, False

    def run(self) -> None:
        while not self.over.is_set():
            self.turn()
            self._wait()
        self.ended = True


@pytest.fixture
def machine(control: ServedControl) -> Iterator[AgentMachine]:
    made = AgentMachine(control, control.folder / "a1")
    made.start()
    yield made
    made.kill()
    made.systemd.end()


def put(control: ServedControl, admin: Identity, name: str, *lines: str, target: str = "launched") -> None:
    fleet = "[X-Fleet]\n" + "\n".join(lines) + "\n" if lines else ""
    body = {"text": TEXT + fleet, "target": target}
    assert control.ask("PUT", f"/v1/units/{name}", admin, body)[0] in {200, 201}


def shown(control: ServedControl, admin: Identity, name: str) -> dict[str, Any]:
    placed = control.ask("GET", f"/v1/units/{name}", admin)[1]["placed"]
    return placed[0] if placed else {}


def test_a_unit_is_placed_started_seen_and_taken_away(
    control: ServedControl, admin: Identity, machine: AgentMachine
) -> None:
    put(control, admin, "web.service", "Memory=64M")
    until(lambda: shown(control, admin, "web.service").get("active") == "active")
    run = machine.folder / "run"
    assert (run / "systemd/system/web.service").read_text().startswith(TEXT)
    assert "MemoryMax=67108864" in (run / "systemd/system/web.service.d/50-orlop.conf").read_text()
    control.ask("POST", "/v1/units/web.service/restart", admin, {})
    until(lambda: "restart web.service" in machine.systemd.calls)
    put(control, admin, "web.service", "Memory=64M", target="loaded")
    until(lambda: shown(control, admin, "web.service").get("active") == "inactive")
    control.ask("DELETE", "/v1/units/web.service", admin)
    until(lambda: len(machine.systemd.calls) >= 7)
    assert not (run / "systemd/system/web.service").exists()
    assert machine.systemd.calls == [
        "daemon-reload", "start web.service", "restart web.service", "stop web.service", "stop web.service",
        "reset-failed web.service", "daemon-reload",
    ]  # fmt: skip
    assert "unit web.service: load: it is new here" in machine.said


def test_restarting_the_agent_touches_no_unit(control: ServedControl, admin: Identity, machine: AgentMachine) -> None:
    put(control, admin, "web.service")
    until(lambda: shown(control, admin, "web.service").get("active") == "active")
    before = machine.systemd.calls
    machine.kill()
    machine.start()
    put(control, admin, "other.service")
    until(lambda: shown(control, admin, "other.service").get("active") == "active")
    assert machine.systemd.calls == [*before, "daemon-reload", "start other.service"]


def test_without_a_control_plane_it_runs_what_it_had_across_its_own_reboot(
    control: ServedControl, admin: Identity, machine: AgentMachine
) -> None:
    put(control, admin, "web.service")
    put(control, admin, "idle.service", target="loaded")
    until(lambda: shown(control, admin, "idle.service").get("load") == "loaded")
    until(lambda: shown(control, admin, "web.service").get("active") == "active")
    machine.kill()
    control.stop()
    machine.systemd.reboot()
    machine.start(server=False)
    machine.shift = BOOT_SECONDS + 1
    assert machine.worker is not None
    machine.worker._wake()
    until(lambda: machine.systemd.active() == {"web.service"})
    assert "no server answers: this machine runs the units that it ran before" in machine.said
    assert machine.systemd.calls == ["daemon-reload", "start web.service"]


def test_one_that_is_cut_off_keeps_what_it_has_but_for_what_says_so(
    control: ServedControl, admin: Identity, machine: AgentMachine
) -> None:
    put(control, admin, "keeps.service")
    put(control, admin, "stops.service", "WhenPartitioned=stop")
    until(lambda: machine.systemd.active() == {"keeps.service", "stops.service"})
    control.stop()
    until(lambda: machine.systemd.active() == {"keeps.service"})
    kept = json.loads((machine.folder / "var/units.json").read_text())["units"]
    assert {unit["name"] for unit in kept} == {"keeps.service", "stops.service"}


def test_what_the_host_refuses_is_said_where_people_look(
    control: ServedControl, admin: Identity, machine: AgentMachine
) -> None:
    put(control, admin, "broken.service")
    until(lambda: shown(control, admin, "broken.service").get("why") == "no such thing")
    calls = len(machine.systemd.calls)
    put(control, admin, "web.service")
    until(lambda: shown(control, admin, "web.service").get("active") == "active")
    assert len(machine.systemd.calls) == calls + 2, "what was refused is not asked for again"
