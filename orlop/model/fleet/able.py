"""May this unit run on this machine? The one owner of that question.

    Room          a machine and what is placed on it, with what is left of it
    suits         is the machine of the right kind for the unit, and are its neighbours?
    fits          is there enough left of it?

Both say why not, in words that end up in `orlop unit explain`; empty when nothing is in the way. fleet's order: the
machine's id, metadata, peers, conflicts, replaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orlop.model.fleet.globs import matches
from orlop.model.fleet.requirements import Requirements

SHORT = 8  # digits of a machine's name, which fleet took for the whole


@dataclass(frozen=True)
class FleetMachine:
    """`cpu`: thousandths of a core; `memory`: bytes. `closed`: why it gets no new units; `leaving`: why it must give up
    those that it has (but for global ones); both empty when it works.
    """

    machine: str
    host: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    cpu: int = 0
    memory: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)
    closed: str = ""
    leaving: str = ""

    @property
    def called(self) -> str:
        return self.host or self.machine[:SHORT]


@dataclass(frozen=True)
class UnitInstance:
    """What is placed. `unit`: whose text it has; `service`: the template that it is an instance of, "" for none."""

    name: str
    unit: str
    needs: Requirements
    service: str = ""


class Room:
    """A machine with the instances that are placed on it. Invariant: what is used is the sum of what they need."""

    def __init__(self, machine: FleetMachine) -> None:
        self.machine = machine
        self.units: dict[str, UnitInstance] = {}
        self.cpu = self.memory = 0
        self.ports: dict[str, str] = {}
        self.resources: Counter[str] = Counter()
        self.services: Counter[str] = Counter()
        self.touchy: dict[str, UnitInstance] = {}  # those with Conflicts or Replaces of their own

    @property
    def rank(self) -> tuple[int, str]:
        """fleet's order of machines: the fewest units first."""
        return len(self.units), self.machine.machine

    def add(self, instance: UnitInstance) -> None:
        self._count(instance, 1)
        self.units[instance.name] = instance
        self.ports |= dict.fromkeys(instance.needs.ports, instance.name)
        if instance.needs.conflicts or instance.needs.replaces:
            self.touchy[instance.name] = instance

    def remove(self, name: str) -> UnitInstance:
        instance = self.units.pop(name)
        self._count(instance, -1)
        self.touchy.pop(name, None)
        for port in instance.needs.ports:
            if self.ports.get(port) == name:
                del self.ports[port]
        return instance

    def _count(self, instance: UnitInstance, by: int) -> None:
        needs = instance.needs
        self.cpu += by * needs.cpu
        self.memory += by * needs.memory
        for resource, count in needs.resources:
            self.resources[resource] += by * count
        if instance.service:
            self.services[instance.service] += by


def is_kind(needs: Requirements, machine: FleetMachine) -> str:
    """Why the machine can never run it, whoever its neighbours are."""
    if needs.machine and needs.machine not in (machine.machine, machine.machine[:SHORT]):
        return f"it is not MachineID={needs.machine}"
    for key, values in needs.metadata:
        if machine.metadata.get(key) not in values:
            has = f"{key}={machine.metadata[key]}" if key in machine.metadata else f"no {key}"
            return f"it has {has}, not {' or '.join(f'{key}={value}' for value in sorted(values))}"
    return ""


def suits(instance: UnitInstance, room: Room, *, displaces: bool = True) -> str:
    """Why it may not be beside what is there. `displaces`: units that it replaces would make way."""
    needs = instance.needs
    for peer in needs.peers:
        if peer not in room.units:
            return f"{peer} is not placed on it"
    if other := _conflicting(instance, room):
        return other
    for made_way in displaced(instance, room):
        if made_way.needs.is_global:
            return f"{made_way.name} is for every machine, and cannot make way"
        if not displaces:
            return f"{made_way.name} would have to make way"
    return ""


def _conflicting(instance: UnitInstance, room: Room) -> str:
    """Whichever of the two says so. Plain loops: this is where placing spends its time."""
    for pattern in instance.needs.conflicts:
        for name in room.units:
            if matches(pattern, name) and name != instance.name:
                return f"{instance.name} conflicts with {name}"
    for other in room.touchy.values():
        for pattern in other.needs.conflicts:
            if matches(pattern, instance.name) and other.name != instance.name:
                return f"{other.name} conflicts with {instance.name}"
        if other.needs.replaces and replaces(other, instance):
            return f"{other.name} there replaces {instance.name}"
    return ""


def displaced(instance: UnitInstance, room: Room) -> Iterator[UnitInstance]:
    """Those that would have to go elsewhere."""
    if instance.needs.replaces:
        yield from (other for other in room.units.values() if replaces(instance, other))


def replaces(one: UnitInstance, other: UnitInstance) -> bool:
    """When each replaces the other, neither does: else they would take turns for ever."""
    return (
        one.name != other.name
        and any(matches(pattern, other.name) for pattern in one.needs.replaces)
        and not any(matches(pattern, one.name) for pattern in other.needs.replaces)
    )


def fits(instance: UnitInstance, room: Room) -> str:
    """Why there is not enough left. The instance itself must not be in the room."""
    needs, machine = instance.needs, room.machine
    if needs.cpu and room.cpu + needs.cpu > machine.cpu:
        return f"it has {_cores(machine.cpu - room.cpu)} cores left, {_cores(needs.cpu)} are needed"
    if needs.memory and room.memory + needs.memory > machine.memory:
        free = _megabytes(machine.memory - room.memory)
        return f"it has {free} of memory left, {_megabytes(needs.memory)} are needed"
    for port in sorted(needs.ports):
        if port in room.ports:
            return f"port {port} is taken by {room.ports[port]}"
    for resource, count in needs.resources:
        if (left := machine.resources.get(resource, 0) - room.resources[resource]) < count:
            return f"it has {left} {resource} left, {count} are needed"
    if needs.max_per_machine and room.services[instance.service] >= needs.max_per_machine and instance.service:
        return f"it has {needs.max_per_machine} of {instance.service} already"
    return ""


def _cores(thousandths: int) -> str:
    return f"{thousandths / 1000:g}"


def _megabytes(count: int) -> str:
    return f"{count / (1 << 20):.0f}M"
