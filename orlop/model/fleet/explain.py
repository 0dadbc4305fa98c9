"""Why a unit is where it is, or nowhere: every machine's verdict on it."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.model.fleet.able import FleetMachine, Room, UnitInstance, displaced, fits, is_kind, suits
from orlop.model.fleet.rooms import Rooms, out_of_the_way

_MOST_REASONS, _MOST_NAMES = 4, 3


@dataclass(frozen=True)
class MachineVerdict:
    """What a machine is to an instance: `refused` says why it cannot run it, else `rank` is its place, from 1."""

    machine: FleetMachine
    refused: str = ""
    rank: int = 0
    has_it: bool = False


def explain(rooms: Rooms, instance: UnitInstance) -> list[MachineVerdict]:
    """Of all machines: the best first, those that cannot run it last. It need not be wanted."""
    able: list[tuple[object, Room, bool]] = []
    refused: list[MachineVerdict] = []
    for room in rooms:
        has_it = instance.name in room.units
        kept = room.remove(instance.name) if has_it else None
        why = _refused(rooms, instance, room, has_it=has_it)
        key = rooms.taste(instance, room), room.rank
        if kept is not None:
            room.add(kept)
        if why:
            refused.append(MachineVerdict(room.machine, why, has_it=has_it))
        else:
            able.append((key, room, has_it))
    able.sort(key=lambda found: found[0])  # type: ignore[arg-type,return-value]
    ranked = [MachineVerdict(room.machine, "", rank, has_it) for rank, (_, room, has_it) in enumerate(able, 1)]
    return ranked + sorted(refused, key=lambda verdict: verdict.machine.machine)


def _refused(rooms: Rooms, instance: UnitInstance, room: Room, *, has_it: bool) -> str:
    if has_it and not room.machine.leaving:  # one that is only closed keeps what it has
        return is_kind(instance.needs, room.machine) or suits(instance, room) or fits(instance, room)
    why = rooms.refused(instance, room)
    if not why and not rooms.all_can_go(instance, room):
        out = ", ".join(other.name for other in displaced(instance, room))
        return f"{out} would have to make way, and nothing else can run it"
    is_open = not (room.machine.leaving or room.machine.closed or is_kind(instance.needs, room.machine))
    if why and is_open and out_of_the_way(instance, room):
        return ""  # units of lower priority would make way
    return why


def summary(verdicts: list[MachineVerdict]) -> str:
    """Why nothing can run it, in one sentence; empty when something can."""
    if not verdicts:
        return "there is no machine in the cluster that offers itself"
    if any(not verdict.refused for verdict in verdicts):
        return ""
    reasons: dict[str, list[str]] = {}
    for verdict in verdicts:
        reasons.setdefault(verdict.refused, []).append(verdict.machine.called)
    parts = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    said = "; ".join(f"{_these(hosts)}: {why}" for why, hosts in parts[:_MOST_REASONS])
    more = f"; and {len(parts) - _MOST_REASONS} reasons more" if len(parts) > _MOST_REASONS else ""
    return f"no machine can run it: {said}{more}"


def _these(hosts: list[str]) -> str:
    return ", ".join(sorted(hosts)) if len(hosts) <= _MOST_NAMES else f"{len(hosts)} machines"
