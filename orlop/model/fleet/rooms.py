"""All machines with what is placed on them, in the order in which they are tried; and which of them is best for a unit.

Cost: the first machine that cannot be beaten ends the search, so most units look at a few machines only. What depends
on the kind of machine alone is worked out once for all units that ask for the same.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator

from orlop.model.fleet.able import FleetMachine, Room, UnitInstance, displaced, fits, is_kind, suits
from orlop.model.fleet.globs import matches
from orlop.model.fleet.requirements import OF_MACHINES, Requirements

Kind = tuple[str, tuple[tuple[str, frozenset[str]], ...]]  # what `is_kind` goes by
Taste = tuple[int, int]  # unmet wishes, how many of its template are there already: lower is better


class Rooms:
    """`out`: instances that made way and may not make others do so, as long as one decision takes."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.out: set[str] = set()
        self._order: list[tuple[int, str]] = []
        self._at_services: defaultdict[str, Counter[str]] = defaultdict(Counter)  # template → machine → how many
        self._eligible: dict[Kind, frozenset[str]] = {}
        self._values: dict[tuple[Kind, str], frozenset[str]] = {}

    def __iter__(self) -> Iterator[Room]:
        """The fewest units first, as fleet."""
        return (self.rooms[machine] for _, machine in self._order)

    def set(self, machine: FleetMachine) -> bool:
        """Whether it is otherwise than before."""
        room = self.rooms.get(machine.machine)
        if room is None:
            room = self.rooms[machine.machine] = Room(machine)
            insort(self._order, room.rank)
        elif room.machine == machine:
            return False
        room.machine = machine
        self._forget_kinds()
        return True

    def forget(self, machine: str) -> None:
        """It must be empty."""
        self._order.remove(self.rooms.pop(machine).rank)
        self._forget_kinds()

    def put(self, room: Room, instance: UnitInstance) -> None:
        self._order.pop(bisect_left(self._order, room.rank))
        room.add(instance)
        insort(self._order, room.rank)
        if instance.service:
            self._at_services[instance.service][room.machine.machine] += 1

    def take(self, room: Room, name: str) -> UnitInstance:
        self._order.pop(bisect_left(self._order, room.rank))
        instance = room.remove(name)
        insort(self._order, room.rank)
        if instance.service:
            at = self._at_services[instance.service]
            at[room.machine.machine] -= 1
            if not at[room.machine.machine]:
                del at[room.machine.machine]
        return instance

    def of_kind(self, needs: Requirements) -> frozenset[str]:
        """The machines of the kind that it asks for."""
        kind = needs.machine, needs.metadata
        found = self._eligible.get(kind)
        if found is None:
            machines = (room.machine for room in self.rooms.values())
            found = self._eligible[kind] = frozenset(m.machine for m in machines if not is_kind(needs, m))
        return found

    def refused(self, instance: UnitInstance, room: Room) -> str:
        """Why it cannot be placed there; empty when it can."""
        machine = room.machine
        return (
            machine.leaving
            or machine.closed
            or is_kind(instance.needs, machine)
            or suits(instance, room, displaces=instance.name not in self.out)
            or fits(instance, room)
        )

    def all_can_go(self, instance: UnitInstance, room: Room) -> bool:
        """Whether those that would make way have another machine, on which nobody makes way for them."""
        return all(self._could_go(other, room.machine.machine) for other in displaced(instance, room))

    def _could_go(self, other: UnitInstance, but: str) -> bool:
        rooms = (self.rooms[machine] for machine in self.of_kind(other.needs) if machine != but)
        return any(not self.refused(other, room) and not suits(other, room, displaces=False) for room in rooms)

    def best(self, instance: UnitInstance) -> Room | None:
        """The machine it runs best on, of those it may run on."""
        eligible = self.of_kind(instance.needs)
        if not eligible:
            return None
        ideal = self._ideal(instance, eligible)
        found: tuple[Taste, Room] | None = None
        for _, machine in self._order:
            if machine not in eligible:
                continue
            room = self.rooms[machine]
            if self.refused(instance, room) or not self.all_can_go(instance, room):
                continue
            taste = self.taste(instance, room)
            if taste == ideal:
                return room
            if found is None or taste < found[0]:
                found = taste, room
        return found[1] if found else None

    def taste(self, instance: UnitInstance, room: Room) -> Taste:
        """What counts before how much the machine has to do."""
        needs, spread = instance.needs, _spread(instance)
        unmet = sum(room.machine.metadata.get(key) != value for key, value in needs.prefer)
        if needs.prefer_with and not _any(needs.prefer_with, room, instance.name):
            unmet += 1
        if needs.avoid and _any(needs.avoid, room, instance.name):
            unmet += 1
        if not spread:
            return unmet, 0
        return unmet, self._counts(instance.service, spread)[_value(room.machine, spread)]

    def _ideal(self, instance: UnitInstance, eligible: frozenset[str]) -> Taste:
        """The best that any machine could be: the first machine that is so, in order, need not be compared."""
        spread = _spread(instance)
        if not spread:
            return 0, 0
        counts = self._counts(instance.service, spread)
        kind = (instance.needs.machine, instance.needs.metadata), spread
        values = self._values.get(kind)
        if values is None:
            values = self._values[kind] = frozenset(_value(self.rooms[m].machine, spread) for m in eligible)
        return 0, 0 if len(counts) < len(values) else min(counts[value] for value in values)

    def _counts(self, service: str, spread: str) -> Counter[str]:
        """How many of the template there are at each value of the key."""
        at = self._at_services[service]
        if spread == OF_MACHINES:
            return at
        counts: Counter[str] = Counter()
        for machine, count in at.items():
            counts[_value(self.rooms[machine].machine, spread)] += count
        return counts

    def _forget_kinds(self) -> None:
        self._eligible.clear()
        self._values.clear()


def out_of_the_way(instance: UnitInstance, room: Room) -> list[str]:
    """Whose going makes room for it: units of lower priority, as few and as low as can be; empty when nobody's does."""
    lower = sorted(
        (other.needs.priority, name)
        for name, other in room.units.items()
        if other.needs.priority < instance.needs.priority
        and not other.needs.is_global
        and name not in instance.needs.peers
    )
    if not lower or suits(instance, room, displaces=False):
        return []
    out: list[UnitInstance] = []
    for _, name in lower:
        if not fits(instance, room):
            break
        out.append(room.remove(name))
    enough = not fits(instance, room)
    for other in list(reversed(out)):  # the highest first: who need not go after all
        room.add(other)
        if enough and fits(instance, room):
            room.remove(other.name)
        else:
            out.remove(other)
    for other in out:
        room.add(other)
    return [other.name for other in out]


def _spread(instance: UnitInstance) -> str:
    """Over what; replicas spread over machines unless they say otherwise."""
    if not instance.service:
        return ""
    return instance.needs.spread or (OF_MACHINES if instance.needs.replicas else "")


def _value(machine: FleetMachine, spread: str) -> str:
    return machine.machine if spread == OF_MACHINES else machine.metadata.get(spread, "")


def _any(patterns: tuple[str, ...], room: Room, but: str) -> bool:
    return any(matches(pattern, name) for name in room.units if name != but for pattern in patterns)
