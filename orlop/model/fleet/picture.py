"""The whole of a fleet as the store has it, told entry by entry, and what the store should have instead.

    FleetPicture.tell        one entry of the store, as it is now
    FleetPicture.decide      what to write: work that is given, taken, or otherwise than it was

It turns entries into what the scheduler knows, and its decisions into entries. Everything that it decides by is in the
store, so whoever is told the same decides the same; only how long a machine has been away is its owner's business
(`orlop.control.scheduler`), who writes it down as lost. Pure.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from orlop.errors import BadInput
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import DRAINS, LOST, MACHINES, OFFERS, PRESENCE, SEEN, UNIT_RECORDS, WORK
from orlop.model.fleet.able import FleetMachine
from orlop.model.fleet.explain import MachineVerdict, explain, summary
from orlop.model.fleet.records import MachineOffer, SeenUnit, SeenUnits, TargetState, UnitRecord, UnitWork
from orlop.model.fleet.schedule import FleetScheduler
from orlop.model.fleet.unitfile import FleetFile, parse

PREFIXES = (UNIT_RECORDS, WORK, OFFERS, SEEN, PRESENCE, LOST, DRAINS, MACHINES)


@dataclass(frozen=True)
class WorkChange:
    """What becomes of a key of work; `work` None: it goes."""

    machine: str
    instance: str
    work: UnitWork | None

    @property
    def key(self) -> str:
        return f"{WORK}{self.machine}/{self.instance}"


class FleetPicture:
    """`mirrors`: it follows what another one decides, and never decides itself."""

    def __init__(self, *, mirrors: bool = False) -> None:
        self._mirrors = mirrors
        self.scheduler = FleetScheduler()
        self.records: dict[str, UnitRecord] = {}
        self.work: dict[tuple[str, str], UnitWork] = {}  # (machine, instance)
        self._of: defaultdict[str, set[str]] = defaultdict(set)  # machine → instances it has work of
        self._at: defaultdict[str, set[str]] = defaultdict(set)  # instance → machines with work of it
        self.seen: dict[str, SeenUnits] = {}
        self.machines: dict[str, MachineRecord] = {}
        self.offers: dict[str, MachineOffer] = {}
        self.present: dict[str, str] = {}  # to which server it is connected
        self.lost: dict[str, str] = {}
        self.drains: dict[str, str] = {}
        self.defects: dict[str, str] = {}  # entries that could not be read, and why: a newer server's, or damage
        self._instances: dict[str, list[str]] = {}  # of each unit
        self._owner: dict[str, str] = {}  # of each instance: its unit
        self._check: set[tuple[str, str]] = set()  # work that may have to be written
        self._held: set[str] = set()  # units of which instances wait for others to be well with the new text
        self._tell_by: dict[str, Callable[[str, bytes | None], None]] = {
            UNIT_RECORDS: self._unit,
            WORK: self._work,
            OFFERS: self._offer,
            SEEN: self._seen,
            PRESENCE: self._presence,
            LOST: self._lost,
            DRAINS: self._drain,
            MACHINES: self._machine,
        }

    def tell(self, key: str, value: bytes | None) -> None:
        """What a key has now; None: it is gone. What cannot be read counts as gone, and is in `defects`."""
        for prefix in PREFIXES:
            if key.startswith(prefix):
                self.defects.pop(key, None)
                try:
                    self._tell_by[prefix](key.removeprefix(prefix), value)
                except (BadInput, ValueError) as e:
                    self.defects[key] = str(e)
                    self._tell_by[prefix](key.removeprefix(prefix), None)

    def hash_of(self, unit: str) -> str:
        return self.file_of(unit).hash

    def file_of(self, unit: str) -> FleetFile:
        return parse(self.records[unit].text)

    # each kind of entry

    def _unit(self, name: str, value: bytes | None) -> None:
        record = UnitRecord.decode(value) if value is not None else None
        made = list(record.instances()) if record is not None else []
        for instance in set(self._instances.pop(name, [])) - {each.name for each in made}:
            self._no_more(instance, name)
        if record is None:
            self.records.pop(name, None)
        else:
            self.records[name] = record
        for each in made:
            # an instance of its own comes before one of a template's
            if self._owner.get(each.name, name) == name or each.unit == each.name:
                self._owner[each.name] = name
                self.scheduler.want(each)
                self._check |= {(machine, each.name) for machine in self.scheduler.where(each.name)}
                self._mirror((machine, each.name) for machine in self._at.get(each.name, ()))
        if made:
            self._instances[name] = [each.name for each in made if self._owner[each.name] == name]

    def _no_more(self, instance: str, unit: str) -> None:
        if self._owner.get(instance) == unit:
            del self._owner[instance]
            self._check |= {(machine, instance) for machine in self.scheduler.where(instance)}
            self.scheduler.unwant(instance)

    def _work(self, place: str, value: bytes | None) -> None:
        machine, _, instance = place.partition("/")
        self._set_work(machine, instance, None if value is None else UnitWork.decode(value))
        self._check.add((machine, instance))
        self._mirror([(machine, instance)])

    def _mirror(self, places: Iterable[tuple[str, str]]) -> None:
        for machine, instance in list(places) if self._mirrors else ():
            self.scheduler.mirror(instance, machine, there=(machine, instance) in self.work)

    def _set_work(self, machine: str, instance: str, work: UnitWork | None) -> None:
        _set(self.work, (machine, instance), work)
        if work is not None:
            self._at[instance].add(machine)
            self._of[machine].add(instance)
        else:
            self._at[instance].discard(machine)
            self._of[machine].discard(instance)

    def _offer(self, machine: str, value: bytes | None) -> None:
        _set(self.offers, machine, None if value is None else MachineOffer.decode(value))
        self._look(machine)

    def _seen(self, machine: str, value: bytes | None) -> None:
        _set(self.seen, machine, None if value is None else SeenUnits.decode(value))
        held, self._held = self._held, set()
        for unit in held & self.records.keys():
            self._check |= {(at, each) for each in self.instances(unit) for at in self._at.get(each, ())}

    def _presence(self, machine: str, value: bytes | None) -> None:
        _set(self.present, machine, None if value is None else str(json.loads(value).get("server", "?")))
        self._look(machine)

    def _lost(self, machine: str, value: bytes | None) -> None:
        _set(self.lost, machine, None if value is None else str(json.loads(value)["why"]))
        self._look(machine)

    def _drain(self, machine: str, value: bytes | None) -> None:
        _set(self.drains, machine, None if value is None else str(json.loads(value)["why"]))
        self._look(machine)

    def _machine(self, machine: str, value: bytes | None) -> None:
        _set(self.machines, machine, None if value is None else MachineRecord.read(value))
        self._look(machine)

    def _look(self, name: str) -> None:
        """What the scheduler is to know of a machine."""
        record, offer = self.machines.get(name), self.offers.get(name)
        if record is None or offer is None:
            self._check |= {(name, instance) for instance in self._of[name]}
            self.scheduler.forget_machine(name)
            return
        is_new = name not in self.scheduler.rooms.rooms
        leaving = self.lost.get(name, "") or (f"it is drained: {self.drains[name]}" if name in self.drains else "")
        closed = f"it is cordoned: {record.cordoned}" if record.cordoned else ""
        if name not in self.present and not closed:
            closed = "it is not connected to the cluster"
        self.scheduler.machine(
            FleetMachine(
                name, record.host, offer.metadata, offer.cpu, offer.memory, offer.resources, closed, leaving
            )
        )  # fmt: skip
        if is_new:
            self._mirror((name, instance) for instance in self._of[name])

    # what to do

    def adopt(self) -> None:
        """Take what the store has for what is so: once, when all of it was told."""
        for machine, instance in sorted(self.work):
            self.scheduler.adopt(instance, machine)
        self._check |= self.work.keys()

    def decide(self, epoch: int) -> list[WorkChange]:
        """What is to be written, who goes before who comes. `epoch`: of what is new."""
        reasons = {}
        order: dict[tuple[str, str], None] = {}
        for change in self.scheduler.decide():
            for machine in filter(None, (change.was, change.to)):
                order[machine, change.instance.name] = None
            reasons[change.to, change.instance.name] = change.why
        check, self._check = self._check, set()
        changes = []
        for machine, instance in [*order, *sorted(check - order.keys())]:
            has = self.work.get((machine, instance))
            wants = self._wanted(instance, has, epoch, reasons.get((machine, instance), ""))
            if not self.scheduler.has(instance, machine):
                wants = None
            if wants != has:
                changes.append(WorkChange(machine, instance, wants))
                self._set_work(machine, instance, wants)
        return changes

    def _wanted(self, instance: str, has: UnitWork | None, epoch: int, why: str) -> UnitWork | None:
        unit = self._owner.get(instance)
        if unit is None:
            return None
        record = self.records[unit]
        if has is not None and not _is_fresh(has, record) and not self._has_turn(record, instance):
            self._held.add(unit)
            return replace(has, target=record.target)
        return UnitWork(
            unit, record.hash, record.target, has.epoch if has else epoch, record.restarts,
            has.why if has else why[:2000],
        )  # fmt: skip

    def _has_turn(self, record: UnitRecord, instance: str) -> bool:
        """Whether an instance may have a new text, or be started again: of replicas one after another does, each when
        those before it are well with it; first those that are not well now. So a text that fails stops at its first.
        """
        if record.needs.replicas < 2:
            return True
        waiting = []
        for number, each in enumerate(self.instances(record.name)):
            for machine, work in self.where(each):
                if not _is_fresh(work, record):
                    waiting.append((self._is_well(each, machine, work), number, each))
                elif not self._is_well(each, machine, work):
                    return False
        return min(waiting)[2] == instance

    def _is_well(self, instance: str, machine: str, work: UnitWork) -> bool:
        """Whether its machine has done what it was told, and it runs, if it is to."""
        seen = self.states(instance, machine)
        if seen is None or (seen.hash, seen.restarts, seen.target) != (work.hash, work.restarts, work.target):
            return False
        return seen.active == "active" if work.target is TargetState.LAUNCHED else seen.load == "loaded"

    # what to say

    def instances(self, unit: str) -> list[str]:
        """What is to run for a unit; global ones count once."""
        return self._instances.get(unit, [])

    def where(self, instance: str) -> list[tuple[str, UnitWork]]:
        """The machines that are to run it."""
        return [(machine, self.work[machine, instance]) for machine in sorted(self._at.get(instance, ()))]

    def of_machine(self, machine: str) -> list[tuple[str, UnitWork]]:
        """What it is to run."""
        return [(instance, self.work[machine, instance]) for instance in sorted(self._of.get(machine, ()))]

    def states(self, instance: str, machine: str) -> SeenUnit | None:
        """How the machine last saw it, if that was under the present epoch."""
        seen, work = self.seen.get(machine), self.work.get((machine, instance))
        found = seen.units.get(instance) if seen is not None else None
        return found if found is not None and work is not None and found.epoch == work.epoch else None

    def explain(self, unit: str) -> Iterator[tuple[str, list[MachineVerdict]]]:
        """Of each instance of a unit, of an inactive one as if it were wanted: what every machine is to it."""
        record = self.records[unit]
        for instance in record.as_if_wanted().instances():
            yield instance.name, explain(self.scheduler.rooms, instance)

    def why_not(self, unit: str) -> str:
        """Why nothing can run a unit that is wanted, in a sentence; empty when all of it is placed or could be."""
        for name, verdicts in self.explain(unit):
            if not any(verdict.has_it for verdict in verdicts) and (why := summary(verdicts)):
                return why if name == unit else f"{name}: {why}"
        return ""


def _is_fresh(work: UnitWork, record: UnitRecord) -> bool:
    """Whether a machine is told to run the present text, restarted as often as it is wished."""
    return (work.hash, work.restarts) == (record.hash, record.restarts)


def _set(where: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    if value is None:
        where.pop(key, None)
    else:
        where[key] = value
