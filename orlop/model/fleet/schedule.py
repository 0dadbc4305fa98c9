"""Which unit runs on which machine: all of a cluster, kept in memory, changed by what happens, asked what to do.

    FleetScheduler.machine, want, adopt, …   what is so now, told as it changes
    FleetScheduler.decide                    what should become otherwise, with reasons

Rules, strongest first:
- Nothing is placed where `able` says no, and nothing is promised twice.
- What runs stays where it is, as long as it may: only what must go is moved.
- Who is placed first: higher priority, then the name. Where: fewest unmet wishes, then evenly spread, then the fewest
  units, then the machine's name, as fleet.
- When nothing has room, units of lower priority make way, as few and as low as can be.

Lifetime: a leader's term. Deterministic: the same things told in any order and then decided about at once give the same
placement. Cost: what has changed, not what there is; nothing when nothing has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from orlop.model.fleet.able import FleetMachine, Room, UnitInstance, displaced, fits, is_kind, suits
from orlop.model.fleet.rooms import Rooms, out_of_the_way


@dataclass(frozen=True)
class PlacementChange:
    """An instance goes from a machine to another; "" is none. `why` is a sentence for who asks later."""

    instance: UnitInstance
    was: str
    to: str
    why: str


class FleetScheduler:
    def __init__(self) -> None:
        self.rooms = Rooms()
        self._wanted: dict[str, UnitInstance] = {}
        self._globals: dict[str, UnitInstance] = {}
        self._at: dict[str, str] = {}
        self._waiting: set[str] = set()
        self._suspects: set[str] = set()
        self._fresh: set[str] = set()  # machines at which global units are to be looked at again
        self._look = False  # something has changed since those that wait were last tried
        self._followers: defaultdict[str, set[str]] = defaultdict(set)
        self._why: dict[str, str] = {}  # it was taken from where it was
        self._changes: dict[tuple[str, str], PlacementChange] = {}

    # what is so

    def machine(self, machine: FleetMachine) -> None:
        """It is there, or is otherwise than it was."""
        if self.rooms.set(machine):
            self._suspects |= self.rooms.rooms[machine.machine].units.keys()
            self._fresh.add(machine.machine)
            self._look = True

    def forget_machine(self, machine: str) -> None:
        """It is in the cluster no more; what it had is placed elsewhere."""
        room = self.rooms.rooms.get(machine)
        if room is None:
            return
        for name in list(room.units):
            self._take(name, room, "its machine is in the cluster no more")
        self.rooms.forget(machine)
        self._fresh.discard(machine)
        self._look = True

    def want(self, instance: UnitInstance) -> None:
        """It is to run; what it needs may be other than before."""
        known = self._wanted.get(instance.name)
        if known == instance:
            return
        if known is not None and known.needs.is_global != instance.needs.is_global:
            self.unwant(instance.name)
            known = None
        for peer in known.needs.peers if known is not None else ():
            self._followers[peer].discard(instance.name)
        for peer in instance.needs.peers:
            self._followers[peer].add(instance.name)
        self._wanted[instance.name] = instance
        if instance.needs.is_global:
            self._globals[instance.name] = instance
            self._fresh |= self.rooms.rooms.keys()
        elif instance.name not in self._at:
            self._waiting.add(instance.name)
        for machine in self.where(instance.name) if known is not None else ():
            room = self.rooms.rooms[machine]
            self.rooms.take(room, instance.name)
            self.rooms.put(room, instance)
            self._suspects.add(instance.name)
        self._look = True

    def unwant(self, name: str) -> None:
        """It is to run nowhere."""
        instance = self._wanted.get(name)
        if instance is None:
            return
        for machine in self.where(name):
            self._take(name, self.rooms.rooms[machine], "it is not wanted any more")
            self._fresh.add(machine)
        for peer in instance.needs.peers:
            self._followers[peer].discard(name)
        del self._wanted[name]
        self._globals.pop(name, None)
        self._waiting.discard(name)
        self._suspects.discard(name)
        self._why.pop(name, None)
        self._look = True

    def adopt(self, name: str, machine: str) -> bool:
        """It is placed there already; whether that could be: it is wanted, not placed, and the machine is known."""
        instance, room = self._wanted.get(name), self.rooms.rooms.get(machine)
        if instance is None or room is None or name in room.units or name in self._at:
            return False
        self._put(room, instance)
        self._suspects.add(name)
        return True

    def mirror(self, name: str, machine: str, *, there: bool) -> None:
        """Another one's decision: it is placed there, or is not any more. Nothing is decided about it here."""
        instance, room = self._wanted.get(name), self.rooms.rooms.get(machine)
        if instance is None or room is None or (name in room.units) == there:
            return
        for before in [machine] if not there else self.where(name) if not instance.needs.is_global else []:
            self.rooms.take(self.rooms.rooms[before], name)
            self._at.pop(name, None)
        if there:
            self._put(room, instance)

    def where(self, name: str) -> list[str]:
        """The machines that it is placed on, in order."""
        if name in self._globals:
            return sorted(machine for machine, room in self.rooms.rooms.items() if name in room.units)
        return [self._at[name]] if name in self._at else []

    def has(self, name: str, machine: str) -> bool:
        """Whether it is placed on that machine."""
        room = self.rooms.rooms.get(machine)
        return room is not None and name in room.units

    def wanted(self, name: str) -> UnitInstance | None:
        return self._wanted.get(name)

    @property
    def waiting(self) -> list[str]:
        return sorted(self._waiting)

    @property
    def placed(self) -> Iterator[tuple[str, str]]:
        """(instance, machine), global ones on each of theirs."""
        return ((name, machine) for machine, room in self.rooms.rooms.items() for name in room.units)

    # what should be otherwise

    def decide(self) -> list[PlacementChange]:
        """What to change: who goes, before who comes in its place. Afterwards it counts as done."""
        while self._look or self._suspects or self._fresh:
            self._look = False
            self._leave()
            self._spread_globals()
            self._fill()
        self.rooms.out.clear()
        made, self._changes = self._changes, {}
        changes = [change for _, change in sorted(made.items()) if change.was != change.to]
        return sorted(changes, key=lambda change: not change.was)

    def _leave(self) -> None:
        """Let go of what may not stay where it is; its followers are looked at in their turn."""
        while self._suspects:
            suspects, self._suspects = self._suspects, set()
            for name in sorted(suspects, key=lambda name: (self._wanted[name].needs.priority, name)):
                for machine in self.where(name):
                    room = self.rooms.rooms[machine]
                    if why := self._may_not_stay(self._wanted[name], room):
                        self._take(name, room, why)
                        self._fresh.add(machine)

    def _may_not_stay(self, instance: UnitInstance, room: Room) -> str:
        """One that is only closed keeps what it has; global units stay on one that all others leave."""
        if room.machine.leaving and not instance.needs.is_global:
            return room.machine.leaving
        room.remove(instance.name)
        why = is_kind(instance.needs, room.machine) or suits(instance, room) or fits(instance, room)
        room.add(instance)
        return why

    def _spread_globals(self) -> None:
        """Each is decided about for each machine alone, as in fleet."""
        fresh, self._fresh = self._fresh, set()
        for machine in sorted(fresh):
            room = self.rooms.rooms[machine]
            for name, instance in sorted(self._globals.items()):
                if name not in room.units and not self.rooms.refused(instance, room):
                    self._place_at(room, instance, "it is for every machine that may run it")

    def _fill(self) -> None:
        """Place what waits; each that is placed may be what others waited for."""
        again = sorted(self._waiting, key=self._turn)
        while again:
            placed = [name for name in again if name in self._waiting and self._place(self._wanted[name])]
            followers = {follower for name in placed for follower in self._followers.get(name, ())}
            again = sorted(followers & self._waiting, key=self._turn)

    def _turn(self, name: str) -> tuple[int, str]:
        return -self._wanted[name].needs.priority, name

    def _place(self, instance: UnitInstance) -> bool:
        room = self.rooms.best(instance)
        why = "it suits best" if instance.needs.has_taste or instance.needs.replicas else "it has the fewest units"
        if room is None:
            room, why = self._preempted(instance), "units of lower priority made way"
        if room is None:
            return False
        for other in list(displaced(instance, room)):
            self._makes_way(other.name, room, f"{instance.name} takes its place")
        self._place_at(room, instance, self._why.pop(instance.name, "") or why)
        return True

    def _preempted(self, instance: UnitInstance) -> Room | None:
        """A machine on which units of lower priority made way."""
        found: tuple[tuple[int, int, tuple[int, str]], Room, list[str]] | None = None
        eligible = self.rooms.of_kind(instance.needs) if instance.name not in self.rooms.out else ()
        for room in self.rooms:
            if room.machine.machine not in eligible or room.machine.closed or room.machine.leaving:
                continue
            if out := out_of_the_way(instance, room):
                key = (max(room.units[name].needs.priority for name in out), len(out), room.rank)
                if found is None or key < found[0]:
                    found = key, room, out
        if found is None:
            return None
        for name in found[2]:
            self._makes_way(name, found[1], f"{instance.name} has a higher priority")
        return found[1]

    def _makes_way(self, name: str, room: Room, why: str) -> None:
        self._take(name, room, why)
        self.rooms.out.add(name)
        self._fresh.add(room.machine.machine)

    # each change

    def _place_at(self, room: Room, instance: UnitInstance, why: str) -> None:
        self._put(room, instance)
        key = instance.name, room.machine.machine if instance.needs.is_global else ""
        before = self._changes.get(key)
        self._changes[key] = PlacementChange(instance, before.was if before else "", room.machine.machine, why)

    def _put(self, room: Room, instance: UnitInstance) -> None:
        self.rooms.put(room, instance)
        self._waiting.discard(instance.name)
        if not instance.needs.is_global:
            self._at[instance.name] = room.machine.machine

    def _take(self, name: str, room: Room, why: str) -> None:
        """From where it is; unless it is global it waits from now on, and whoever follows it is looked at."""
        instance, machine = self.rooms.take(room, name), room.machine.machine
        self._suspects |= {follower for follower in self._followers.get(name, ()) if self.where(follower)}
        if not instance.needs.is_global:
            del self._at[name]
            self._waiting.add(name)
            self._why[name] = why
        key = name, machine if instance.needs.is_global else ""
        before = self._changes.get(key)
        self._changes[key] = PlacementChange(instance, before.was if before else machine, "", why)
        self._look = True
