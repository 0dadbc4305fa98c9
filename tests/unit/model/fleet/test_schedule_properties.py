"""Whatever happens: no constraint is broken, nothing is promised twice, a decision is final, only what must moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orlop.model.fleet.able import FleetMachine, UnitInstance, is_kind
from orlop.model.fleet.explain import explain
from orlop.model.fleet.globs import matches
from orlop.model.fleet.requirements import Requirements
from orlop.model.fleet.schedule import FleetScheduler

NAMES = [f"{letter}{number}.service" for letter in "abc" for number in (1, 2, 3)] + [f"r@{n}.service" for n in range(5)]
MACHINES = ["1", "2", "3", "4"]
PATTERNS = ["a*", "b1.*", "?2.service", "r@*", "c[12].service"]
PAIRS = [("region", "eu"), ("region", "us"), ("disk", "ssd")]


@st.composite
def machines(draw: st.DrawFn, name: str) -> FleetMachine:
    keys = draw(st.dictionaries(st.sampled_from(["region", "disk"]), st.sampled_from(["eu", "us", "ssd"]), max_size=2))
    closed, leaving = draw(st.sampled_from([("", "")] * 6 + [("cordoned", ""), ("", "drained")]))
    cpu, gpu = draw(st.sampled_from([1000, 2000, 4000])), draw(st.integers(0, 2))
    return FleetMachine(name * 32, name, keys, cpu, 4 << 30, {"gpu": gpu}, closed, leaving)


@st.composite
def needs(draw: st.DrawFn, name: str) -> Requirements:
    found = Requirements(
        cpu=draw(st.sampled_from([0, 0, 500, 1000])),
        memory=draw(st.sampled_from([0, 1 << 30])),
        ports=draw(st.sampled_from([frozenset(), frozenset({"80/tcp"})])),
        resources=draw(st.sampled_from([(), (("gpu", 1),)])),
        priority=draw(st.sampled_from([10, 100, 100, 200])),
        prefer=draw(st.sampled_from([(), (("disk", "ssd"),)])),
        avoid=draw(st.sampled_from([(), ("a*",)])),
        prefer_with=draw(st.sampled_from([(), ("b*",)])),
        spread=draw(st.sampled_from(["", "region", "machine"])),
        max_per_machine=draw(st.sampled_from([0, 0, 1, 2])),
    )
    kind = draw(st.sampled_from(["plain", "plain", "conflicts", "global", "peers", "replaces", "machine", "metadata"]))
    pair = draw(st.sampled_from(PAIRS))
    changes: dict[str, Requirements] = {
        "plain": found,
        "conflicts": replace(found, conflicts=(draw(st.sampled_from(PATTERNS)),)),
        "global": replace(found, is_global=True),
        "peers": replace(found, peers=(draw(st.sampled_from(NAMES)),)),
        # only what comes later in the alphabet: fleet's circles of three are another test's
        "replaces": replace(found, replaces=tuple(p for p in PATTERNS[:1] if name[0] in "bc")),
        "machine": replace(found, machine=draw(st.sampled_from(MACHINES)) * 8),
        "metadata": replace(found, metadata=((pair[0], frozenset({pair[1]})),)),
    }
    return changes[kind]


@st.composite
def instances(draw: st.DrawFn, name: str) -> UnitInstance:
    return UnitInstance(name, name, draw(needs(name)), "r@.service" if name.startswith("r@") else "")


def check(scheduler: FleetScheduler) -> None:
    """Written without the code that places: what the rules say, looked at from outside."""
    seen: Counter[str] = Counter()
    for room in scheduler.rooms.rooms.values():
        here, machine = list(room.units.values()), room.machine
        assert sum(unit.needs.cpu for unit in here) <= machine.cpu
        assert sum(unit.needs.memory for unit in here) <= machine.memory
        ports = [port for unit in here for port in unit.needs.ports]
        assert len(ports) == len(set(ports)) and set(room.ports) == set(ports)
        used = Counter(dict.fromkeys(machine.resources, 0))
        for unit in here:
            used.update(dict(unit.needs.resources))
        assert all(count <= machine.resources.get(name, 0) for name, count in used.items())
        assert not machine.leaving or all(unit.needs.is_global for unit in here)
        for unit in here:
            seen[unit.name] += not unit.needs.is_global
            assert is_kind(unit.needs, machine) == ""
            assert all(peer in room.units for peer in unit.needs.peers)
            others = [other for other in here if other.name != unit.name]
            assert not [o for o in others for pattern in unit.needs.conflicts if matches(pattern, o.name)]
            cap, mates = unit.needs.max_per_machine, [o for o in here if o.service and o.service == unit.service]
            # whoever came later with a larger cap may stand beside it: its own cap is what counts when it is placed
            assert not cap or not unit.service or len(mates) <= max(o.needs.max_per_machine or 99 for o in mates)
    assert max(seen.values(), default=0) <= 1


def rebuilt(scheduler: FleetScheduler, names: Sequence[str]) -> FleetScheduler:
    """As a new leader makes it: everything told again, what is placed adopted."""
    made = FleetScheduler()
    for room in scheduler.rooms.rooms.values():
        made.machine(room.machine)
    for name in names:
        if (instance := scheduler.wanted(name)) is not None:
            made.want(instance)
    for name, machine in sorted(scheduler.placed):
        assert made.adopt(name, machine)
    return made


class ClusterLife(RuleBasedStateMachine):
    """Machines come, change and go; units come, change and go."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = FleetScheduler()
        self.ledger: set[tuple[str, str]] = set()  # what a store that was told every change has

    @rule(machine=st.sampled_from(MACHINES).flatmap(machines))
    def machine(self, machine: FleetMachine) -> None:
        self.scheduler.machine(machine)

    @rule(name=st.sampled_from(MACHINES))
    def gone(self, name: str) -> None:
        self.scheduler.forget_machine(name * 32)

    @rule(instance=st.sampled_from(NAMES).flatmap(instances))
    def want(self, instance: UnitInstance) -> None:
        self.scheduler.want(instance)

    @rule(name=st.sampled_from(NAMES))
    def unwant(self, name: str) -> None:
        self.scheduler.unwant(name)

    @rule()
    def decide(self) -> None:
        for change in self.scheduler.decide():
            assert change.why
            if change.was:
                self.ledger.remove((change.instance.name, change.was))
            if change.to:
                self.ledger.add((change.instance.name, change.to))
        assert self.ledger == set(self.scheduler.placed), "what was told is not what is so"
        check(self.scheduler)

    @precondition(lambda self: not self.scheduler._look)
    @rule()
    def a_new_leader_changes_nothing(self) -> None:
        if self.scheduler._suspects or self.scheduler._fresh:
            return
        assert rebuilt(self.scheduler, NAMES).decide() == []

    @precondition(lambda self: not self.scheduler._look)
    @rule()
    def what_waits_is_refused_everywhere(self) -> None:
        for name in self.scheduler.waiting:
            instance = self.scheduler.wanted(name)
            assert instance is not None
            assert [v.machine.host for v in explain(self.scheduler.rooms, instance) if not v.refused] == []

    @invariant()
    def what_is_placed_is_wanted(self) -> None:
        assert {name for name, _ in self.scheduler.placed} <= {n for n in NAMES if self.scheduler.wanted(n)}
        assert [room.rank for room in self.scheduler.rooms] == sorted(
            room.rank for room in self.scheduler.rooms.rooms.values()
        )


ClusterLife.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestClusterLife = ClusterLife.TestCase


@settings(max_examples=60, deadline=None)
@given(st.tuples(*map(machines, MACHINES)), st.tuples(*map(instances, NAMES)), st.randoms(use_true_random=False))
def test_the_order_in_which_it_is_told_does_not_matter(
    all_machines: tuple[FleetMachine, ...], units: tuple[UnitInstance, ...], shuffled: st.DataObject
) -> None:
    found = []
    for _ in range(2):
        scheduler = FleetScheduler()
        told: list[FleetMachine | UnitInstance] = [*all_machines, *units]
        shuffled.shuffle(told)  # type: ignore[attr-defined]
        for each in told:
            if isinstance(each, FleetMachine):
                scheduler.machine(each)
            else:
                scheduler.want(each)
        scheduler.decide()
        found.append(sorted(scheduler.placed))
    assert found[0] == found[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 500, 1000]), min_size=1, max_size=14), st.integers(2, 4))
def test_only_what_a_lost_machine_had_moves(cpus: list[int], count: int) -> None:
    scheduler = FleetScheduler()
    for name in MACHINES[:count]:
        scheduler.machine(FleetMachine(name * 32, name, {}, 4000, 4 << 30))
    for number, cpu in enumerate(cpus):
        scheduler.want(UnitInstance(f"u{number}.service", "", Requirements(cpu=cpu)))
    scheduler.decide()
    had = {name for name, machine in scheduler.placed if machine[0] == "1"}
    scheduler.machine(FleetMachine("1" * 32, "1", {}, 4000, 4 << 30, {}, "", "lost"))
    assert {change.instance.name for change in scheduler.decide()} == had
    scheduler.machine(FleetMachine("1" * 32, "1", {}, 4000, 4 << 30))
    assert all(not change.was for change in scheduler.decide())
