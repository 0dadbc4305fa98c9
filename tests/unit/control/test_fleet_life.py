"""A cluster with its servers, its store and its machines, in one process and with a clock of its own: whatever happens,
nothing is promised twice, epochs only grow, and when all is well again every unit runs once, where it belongs.

The scheduler, the presence, the hub, the store and the machines' tasks are the real ones; the network is a method call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from orlop.control.hub import Hub
from orlop.control.scheduler.leader import SchedulerLoop
from orlop.control.scheduler.presence import Presence
from orlop.control.scheduler.view import FleetView
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import DRAINS, MACHINES, OFFERS, STATE, UNIT_RECORDS, WORK, Role
from orlop.model.fleet import tasks
from orlop.model.fleet.records import MachineOffer, TargetState, UnitRecord, UnitWork
from orlop.model.fleet.tasks import MachineUnit, TaskKind, UnitHad
from orlop.store.memory import MemoryStore
from orlop.store.protocol import Delete, Put, everything

NAMES = ["a.service", "b.service", "c.service", "w@.service", "g.service"]
FLEET = ["", "CPU=1", "CPU=2\nPriority=200", "WhenPartitioned=stop", "Conflicts=a*", "MachineOf=a.service", "Ports=80"]
MACHINES_OF = ["1", "2", "3", "4"]
PROBES, TICK, SETTLED = 4.0, 0.5, 200.0  # seconds


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time goes on when there is nothing to do, and only then."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@dataclass
class LifeServer:
    store: MemoryStore
    name: str
    running: list[asyncio.Task[Any]] = field(default_factory=list)

    def start(self) -> None:
        self.hub = Hub(self.store, STATE)
        self.presence = Presence(self.store, self.name)
        self.scheduler, self.view = SchedulerLoop(self.store, self.hub, self.name), FleetView(self.hub)
        loop = asyncio.get_running_loop()
        self.running = [loop.create_task(e.run()) for e in (self.hub, self.presence, self.scheduler)]

    def stop(self) -> None:
        """Its power is cut: nothing is said to anybody, and its leases end by themselves."""
        for task in self.running:
            task.cancel()
        self.running = []


@dataclass
class LifeMachine:
    """`units`: what it runs, and the epoch under which it began."""

    digit: str
    is_on: bool = True
    is_cut: bool = False
    server: LifeServer | None = None
    away_since: float = 0.0
    want: dict[str, MachineUnit] = field(default_factory=dict)
    had: dict[str, UnitHad] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    stream: ExitStack = field(default_factory=ExitStack)
    peer: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.digit * 32

    def tick(self, now: float, servers: list[LifeServer]) -> None:
        if not self.is_on:
            return
        up = [server for server in servers if server.running and server.hub.ready.is_set()]
        if self.server is not None and self.server not in up:
            self.lose(now)
        if self.server is None and not self.is_cut and up:
            self.server, self.peer = up[0], {"ended": []}
            self.stream.enter_context(self.server.presence.connected(self.name, self.peer))
        if self.server is not None and not self.is_cut:
            picture = self.server.view.picture
            self.want = {}
            for instance, work in picture.of_machine(self.name):
                if (record := picture.records.get(work.unit)) is not None:
                    needs = record.needs
                    self.want[instance] = MachineUnit(
                        instance, work.unit, record.text, record.hash, work.target, work.epoch, work.restarts,
                        needs.cpu, needs.memory, needs.stops_alone,
                    )  # fmt: skip
        cut_off = (self.server is None or self.is_cut) and now >= self.away_since + 2.0
        for task in tasks.tasks(self.want, self.had, cut_off=cut_off):
            if task.kind is TaskKind.UNLOAD:
                del self.had[task.name]
                self.units.pop(task.name, None)
                continue
            self.had[task.name] = tasks.done(self.want[task.name], cut_off=cut_off)
            if task.kind is TaskKind.STOP:
                self.units.pop(task.name, None)
            elif task.kind in (TaskKind.START, TaskKind.RESTART):
                self.units[task.name] = self.want[task.name].epoch

    def lose(self, now: float, *, silent: bool = True) -> None:
        self.server, self.away_since = None, now
        if silent:
            self.peer.setdefault("ended", []).append(TimeoutError())
        self.stream.close()

    def power_off(self, now: float) -> None:
        self.is_on = False
        self.had, self.units = {}, {}
        self.lose(now)


class FleetLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.epochs: dict[str, int] = {}

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(what)

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())
        self.pass_time(10)

    async def _begin(self) -> None:
        self.store = MemoryStore()
        self.servers = [LifeServer(self.store, name) for name in ("s1", "s2")]
        self.machines = [LifeMachine(digit) for digit in MACHINES_OF]
        for machine in self.machines:
            record = MachineRecord(
                machine.name, Role.WORKER, machine.digit, "0" * 64, "t", datetime(2026, 1, 1, tzinfo=UTC)
            )
            offer = MachineOffer({}, 2000, 1 << 30)
            await self.store.commit(
                [Put(MACHINES + machine.name, record.text()), Put(OFFERS + machine.name, offer.encoded())]
            )
        for server in self.servers:
            server.start()

    def pass_time(self, seconds: float) -> None:
        """Step by step, looking at what may never be."""
        end = self.loop.now + seconds
        while self.loop.now < end:
            for machine in self.machines:
                self.do(self._tick(machine))
            self.do(asyncio.sleep(TICK))
            self.never()

    async def _tick(self, machine: LifeMachine) -> None:
        machine.tick(self.loop.now, self.servers)

    def never(self) -> None:
        work = self.work()
        owners: dict[str, list[str]] = {}
        for (machine, instance), given in work.items():
            if not instance.startswith("g."):
                owners.setdefault(instance, []).append(machine)
                assert given.epoch >= self.epochs.get(instance, 0), "an older assignment came back"
                self.epochs[instance] = given.epoch
        assert {i: m for i, m in owners.items() if len(m) > 1} == {}, "two machines are to run one unit"
        stopping = {
            (instance, machine.digit)
            for machine in self.machines
            for instance in machine.units
            if machine.want[instance].stops_alone and not instance.startswith("g.")
        }
        assert len({instance for instance, _ in stopping}) == len(stopping), f"two of what says stop: {stopping}"

    def work(self) -> dict[tuple[str, str], UnitWork]:
        found = {}
        for entry in self.do(everything(self.store, WORK)).entries:
            machine, _, instance = entry.key.removeprefix(WORK).partition("/")
            found[machine, instance] = UnitWork.decode(entry.value)
        return found

    @rule(name=st.sampled_from(NAMES), fleet=st.sampled_from(FLEET), aim=st.sampled_from(TargetState))
    def put(self, name: str, fleet: str, aim: TargetState) -> None:
        more = {"w@.service": "\nReplicas=3", "g.service": "\nGlobal=true"}.get(name, "")
        if (more and fleet.startswith("MachineOf")) or (name == "a.service" and fleet.endswith(("a*", "a.service"))):
            fleet = ""
        text = f"[Service]\nExecStart=/bin/x\n[X-Fleet]\n{fleet}{more}\n"
        record = UnitRecord(name, text).aim(aim)
        self.do(self.store.commit([Put(UNIT_RECORDS + name, record.encoded())]))
        self.pass_time(1)

    @rule(name=st.sampled_from(NAMES))
    def destroy(self, name: str) -> None:
        self.do(self.store.commit([Delete(UNIT_RECORDS + name)]))
        self.pass_time(1)

    @rule(number=st.integers(0, 3), seconds=st.sampled_from([1.0, 5.0, 20.0]))
    def cut(self, number: int, seconds: float) -> None:
        """From the network; the probes end its connection on both sides."""
        machine = self.machines[number]
        if machine.is_on and not machine.is_cut:
            machine.is_cut = True
            self.pass_time(PROBES - 1)
            machine.away_since = self.loop.now  # its own probes are a second quicker
            self.pass_time(1)
            self.do(self._lose(machine))
        self.pass_time(seconds)

    async def _lose(self, machine: LifeMachine) -> None:
        since = machine.away_since
        machine.lose(self.loop.now)
        machine.away_since = since

    @rule(number=st.integers(0, 3))
    def heal(self, number: int) -> None:
        self.machines[number].is_cut = False
        self.pass_time(1)

    @rule(number=st.integers(0, 3))
    def power_off(self, number: int) -> None:
        if self.machines[number].is_on:
            self.do(self._off(self.machines[number]))
        self.pass_time(7)

    async def _off(self, machine: LifeMachine) -> None:
        machine.power_off(self.loop.now)

    @rule(number=st.integers(0, 3))
    def power_on(self, number: int) -> None:
        self.machines[number].is_on = True
        self.machines[number].away_since = self.loop.now
        self.pass_time(1)

    @rule(number=st.integers(0, 1), seconds=st.sampled_from([0.5, 8.0, 40.0]))
    def lose_server(self, number: int, seconds: float) -> None:
        self.servers[number].stop()
        self.pass_time(seconds)

    @rule(number=st.integers(0, 1))
    def start_server(self, number: int) -> None:
        if not self.servers[number].running:
            self.do(self._start(self.servers[number]))
        self.pass_time(2)

    async def _start(self, server: LifeServer) -> None:
        server.start()

    @rule(number=st.integers(0, 3), drained=st.booleans())
    def drain(self, number: int, drained: bool) -> None:
        key = DRAINS + self.machines[number].name
        self.do(self.store.commit([Put(key, json.dumps({"why": "disk"}).encode()) if drained else Delete(key)]))
        self.pass_time(1)

    @rule()
    def when_all_is_well_every_unit_runs_once_where_it_belongs(self) -> None:
        for number in range(2):
            self.start_server(number)
        for machine in self.machines:
            machine.is_cut, machine.is_on = False, True
            self.do(self.store.commit([Delete(DRAINS + machine.name)]))
        self.pass_time(SETTLED)
        leaders = [server for server in self.servers if server.scheduler.leads]
        assert len(leaders) == 1
        picture = leaders[0].scheduler.picture
        work = self.work()
        assert picture.work == work and picture.lost == {}
        assert {(m.name, i) for m in self.machines for i in m.had} == set(work), "a machine has what is not its own"
        for machine in self.machines:
            assert machine.server is not None
            for instance, epoch in machine.units.items():
                given = work[machine.name, instance]
                assert (given.target, given.epoch) == (TargetState.LAUNCHED, epoch)
        for name, record in picture.records.items():
            for each in record.instances():
                placed = [key for key in work if key[1] == each.name]
                assert placed or picture.why_not(name), f"{each.name} is nowhere, for no reason"

    def teardown(self) -> None:
        if hasattr(self, "servers"):
            for machine in self.machines:
                self.do(self._off(machine))
            for server in self.servers:
                server.stop()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.do(asyncio.sleep(0))
        self.loop.close()


FleetLife.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestFleetLife = FleetLife.TestCase


@pytest.fixture
def life() -> Iterator[FleetLife]:
    made = FleetLife()
    made.begin()
    yield made
    made.teardown()


def owner(life: FleetLife, instance: str) -> int:
    (machine,) = [machine for machine, name in life.work() if name == instance]
    return MACHINES_OF.index(machine[0])


def running(life: FleetLife, instance: str) -> list[int]:
    return [n for n, machine in enumerate(life.machines) if instance in machine.units]


def test_what_says_stop_is_never_there_twice_and_what_does_not_stays(life: FleetLife) -> None:
    life.put("a.service", "WhenPartitioned=stop", TargetState.LAUNCHED)
    life.put("b.service", "MachineOf=a.service", TargetState.LAUNCHED)
    first = owner(life, "a.service")
    life.cut(first, 20.0)  # each step of it looks whether there are two
    assert owner(life, "a.service") == owner(life, "b.service") != first
    assert running(life, "a.service") == [owner(life, "a.service")]
    assert running(life, "b.service") == sorted([first, owner(life, "b.service")]), "nothing stops by itself"
    life.heal(first)
    assert running(life, "b.service") == [owner(life, "b.service")]


def test_a_machine_whose_power_is_lost_is_given_up_in_time(life: FleetLife) -> None:
    life.put("a.service", "", TargetState.LAUNCHED)
    first = owner(life, "a.service")
    life.do(life._off(life.machines[first]))
    began = life.loop.now
    while owner(life, "a.service") == first:
        life.pass_time(TICK)
    assert life.loop.now - began <= 8.0


@pytest.mark.parametrize("seconds", [3.0, 60.0, 600.0])
def test_all_servers_away_and_back_move_nothing(life: FleetLife, seconds: float) -> None:
    for name in ("a.service", "b.service", "w@.service"):
        life.put(name, "", TargetState.LAUNCHED)
    before, epochs = life.work(), [dict(machine.units) for machine in life.machines]
    for number in (0, 1):
        life.lose_server(number, 0.5)
    life.pass_time(seconds)
    assert [machine.units for machine in life.machines] == epochs
    for number in (0, 1):
        life.start_server(number)
    life.pass_time(SETTLED)
    assert life.work() == before
    assert [machine.units for machine in life.machines] == epochs


def test_most_machines_away_at_once_are_waited_for(life: FleetLife) -> None:
    for name in ("a.service", "b.service", "w@.service"):
        life.put(name, "", TargetState.LAUNCHED)
    before = life.work()
    for number in (0, 1, 2):
        life.machines[number].is_cut = True
        life.do(life._lose(life.machines[number]))
    life.pass_time(60)
    assert life.work() == before
    life.pass_time(60)
    assert {machine[0] for machine, _ in life.work()} == {"4"}


def test_a_leader_that_is_lost_is_followed(life: FleetLife) -> None:
    (leader,) = [n for n, server in enumerate(life.servers) if server.scheduler.leads]
    life.lose_server(leader, 8.0)
    assert life.servers[1 - leader].scheduler.leads
    life.put("a.service", "", TargetState.LAUNCHED)
    assert running(life, "a.service") == [owner(life, "a.service")]
