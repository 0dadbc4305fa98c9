"""Placing units: how long the scheduler takes, alone and with a store in memory around it.

Crowds: plain units, as fleet's; units of which ten must not share a machine; services of ten replicas; and units that
ask for processors, memory and metadata. Beside each, what a second look costs when nothing has changed, and a lost
machine. Then all of it as a server does it: units in a store, the server that leads, work for each machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from orlop.control.api.units import unit_shown
from orlop.control.hub import Hub
from orlop.control.scheduler.leader import SchedulerLoop
from orlop.control.scheduler.presence import Presence
from orlop.control.scheduler.view import FleetView
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import MACHINES, OFFERS, STATE, UNIT_RECORDS, WORK, Role
from orlop.model.fleet.able import FleetMachine, UnitInstance
from orlop.model.fleet.name import split
from orlop.model.fleet.records import MachineOffer, TargetState, UnitRecord
from orlop.model.fleet.requirements import of_text
from orlop.model.fleet.schedule import FleetScheduler
from orlop.store.memory import MemoryStore
from orlop.store.protocol import Put

CROWDS = {
    "plain": "",
    "apart": "Conflicts=%p@*.service\n",
    "replicas": "Replicas=10\n",
    "sized": "CPU=0.5\nMemory=256M\nMachineMetadata=zone=z1\nMachineMetadata=zone=z2\n",
}
SIZES = ((5_000, 100), (10_000, 1_000))


@dataclass(frozen=True)
class PlacementFigures:
    """Seconds: to place all, to look again, to place what one machine had."""

    crowd: str
    units: int
    machines: int
    placed: int
    place: float
    idle: float
    lost: float


def measure(crowd: str, units: int, machines: int) -> PlacementFigures:
    scheduler = FleetScheduler()
    known = [
        FleetMachine(f"{n:032x}", f"n{n}", {"zone": f"z{n % 4}"}, 64_000, 256 << 30) for n in range(machines)
    ]  # fmt: skip
    for machine in known:
        scheduler.machine(machine)
    for instance in _instances(crowd, units):
        scheduler.want(instance)
    place = _seconds(scheduler)
    idle = _seconds(scheduler)
    had = sum(1 for _ in scheduler.placed)
    first = known[0]
    scheduler.machine(FleetMachine(first.machine, first.host, first.metadata, first.cpu, first.memory, {}, "", "lost"))
    return PlacementFigures(crowd, units, machines, had, place, idle, _seconds(scheduler))


def _instances(crowd: str, count: int) -> Iterator[UnitInstance]:
    text = f"[Service]\nExecStart=/bin/true\n[X-Fleet]\n{CROWDS[crowd]}"
    for n in range(count):
        name = f"u{n // 10}@{n % 10}.service"
        yield UnitInstance(name, name, of_text(name, text, lenient=False), split(name).template)


def _seconds(scheduler: FleetScheduler) -> float:
    began = time.perf_counter()
    scheduler.decide()
    return time.perf_counter() - began


async def served(units: int, machines: int) -> tuple[float, float]:
    """Seconds from the first unit in the store to the last one's work in it; and to list them all."""
    store = MemoryStore()
    hub, presence = Hub(store, STATE), Presence(store, "s1")
    leader, view = SchedulerLoop(store, hub, "s1"), FleetView(hub)
    running = [asyncio.ensure_future(each.run()) for each in (hub, presence, leader)]
    joined = datetime(2026, 1, 1, tzinfo=UTC)
    with ExitStack() as streams:
        for n in range(machines):
            name = f"{n:032x}"
            record = MachineRecord(name, Role.WORKER, f"n{n}", "0" * 64, "t", joined)
            offer = MachineOffer({}, 64_000, 256 << 30)
            await store.commit([Put(MACHINES + name, record.text()), Put(OFFERS + name, offer.encoded())])
            streams.enter_context(presence.connected(name, {}))
        while len(leader.picture.present) < machines:  # noqa: ASYNC110  looked at from outside
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        for n in range(units):
            made = UnitRecord(f"u{n}.service", "[Service]\nExecStart=/bin/true\n", TargetState.LAUNCHED)
            await store.commit([Put(UNIT_RECORDS + made.name, made.encoded())])
        while len(hub.entries(WORK)) < units:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        took = time.perf_counter() - began
        assert len(view.picture.records) == units
        began = time.perf_counter()
        shown = [unit_shown(view.picture, name) for name in sorted(view.picture.records)]
        assert all(each["placed"] for each in shown)
        listed = time.perf_counter() - began
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return took, listed


def main() -> None:
    for units, machines in SIZES:
        for crowd in CROWDS:
            f = measure(crowd, units, machines)
            print(
                f"{f.units:>6} {crowd:<9} on {f.machines:>5}: {f.placed} placed in {f.place:.2f} s, "
                f"again {f.idle * 1e6:.0f} µs, a machine lost {f.lost * 1e3:.1f} ms"
            )
    for units, machines in SIZES:
        took, listed = asyncio.run(served(units, machines))
        print(f"{units:>6} through a store in memory on {machines:>5}: {took:.2f} s, listed in {listed:.2f} s")


if __name__ == "__main__":
    main()
