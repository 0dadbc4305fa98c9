"""What a machine does next about its units: from what it is to run and what it has, tasks with reasons. Pure.

fleet's order: what goes is stopped and removed first, then texts are written, then systemd reads them, then it stops,
then it starts. A unit that ended by itself is not started again here: its own Restart= says what is to happen then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from orlop.errors import BadInput
from orlop.model.fleet import quadlet
from orlop.model.fleet.name import trouble
from orlop.model.fleet.records import TargetState
from orlop.model.fleet.unitfile import SECTION, FleetFile, parse
from orlop.model.words.strict import Fields

MOST_UNITS = 5000
_MOST_TEXT = 1 << 17


@dataclass(frozen=True)
class MachineUnit:
    """A unit that the machine is to run, and what it has to know for that. `cpu`: thousandths of a core; `memory`:
    bytes; both 0 when it asked for none. `stops_alone`: not to run while the machine is cut off.
    """

    name: str
    unit: str
    text: str
    hash: str
    target: TargetState
    epoch: int
    restarts: int = 0
    cpu: int = 0
    memory: int = 0
    stops_alone: bool = False

    @property
    def service(self) -> str:
        """What systemd calls it."""
        return quadlet.service(self.name)

    @property
    def body(self) -> str:
        """The hash of its text but for [X-Fleet], which only the cluster reads: another number of replicas, say, is no
        reason to start it again.
        """
        file = parse(self.text)
        return FleetFile(tuple(option for option in file.options if option.section != SECTION)).hash

    def limits(self) -> str:
        """What is dropped in beside it: its share, and who it is, for a workload that must know its epoch."""
        if not self.service.endswith(".service"):
            return ""
        lines = [f"Environment=ORLOP_UNIT={self.name} ORLOP_EPOCH={self.epoch}"]
        if self.cpu:
            lines.append(f"CPUWeight={max(1, min(10_000, self.cpu // 10))}")
        if self.memory:
            lines.append(f"MemoryMax={self.memory}")
        return "\n".join(["# written by orlop-agent", "[Service]", *lines, ""])


@dataclass(frozen=True)
class UnitHad:
    """What the machine did last about a unit. `body`: the hash of what systemd has of its text."""

    hash: str
    body: str
    limits: str
    target: TargetState
    restarts: int
    epoch: int


class TaskKind(IntEnum):
    """In the order in which they are done."""

    UNLOAD = 0
    LOAD = 1
    STOP = 2
    START = 3
    RESTART = 4


@dataclass(frozen=True)
class UnitTask:
    kind: TaskKind
    name: str
    why: str


def tasks(want: Mapping[str, MachineUnit], have: Mapping[str, UnitHad], *, cut_off: bool = False) -> list[UnitTask]:
    """In order. `cut_off`: the cluster may have given this machine up by now."""
    made = [UnitTask(TaskKind.UNLOAD, name, "it is not this machine's any more") for name in have if name not in want]
    for name, unit in want.items():
        made += _of(unit, have.get(name), _target(unit, cut_off=cut_off))
    return sorted(made, key=lambda task: (task.kind, task.name))


def done(unit: MachineUnit, *, cut_off: bool = False) -> UnitHad:
    """What is had when all its tasks are done."""
    return UnitHad(unit.hash, unit.body, unit.limits(), _target(unit, cut_off=cut_off), unit.restarts, unit.epoch)


def _target(unit: MachineUnit, *, cut_off: bool) -> TargetState:
    return TargetState.LOADED if cut_off and unit.stops_alone else unit.target


def _of(unit: MachineUnit, had: UnitHad | None, target: TargetState) -> list[UnitTask]:
    name, started = unit.name, had is not None and had.target is TargetState.LAUNCHED
    made = []
    if had is None:
        made.append(UnitTask(TaskKind.LOAD, name, "it is new here"))
    elif had.hash != unit.hash:
        made.append(UnitTask(TaskKind.LOAD, name, "its text is another"))
    elif had.limits != unit.limits():
        made.append(UnitTask(TaskKind.LOAD, name, "its share is another"))
    if target is TargetState.LAUNCHED and not started:
        made.append(UnitTask(TaskKind.START, name, "it is wanted started"))
    elif target is TargetState.LAUNCHED and had is not None and (had.body, had.restarts) != (unit.body, unit.restarts):
        why = "its text is another" if had.body != unit.body else "somebody wants it started again"
        made.append(UnitTask(TaskKind.RESTART, name, why))
    elif target is not TargetState.LAUNCHED and started:
        made.append(UnitTask(TaskKind.STOP, name, "it is wanted loaded, not started"))
    return made


def read(answer: Any, before: Mapping[str, MachineUnit] = MappingProxyType({})) -> dict[str, MachineUnit]:
    """What the control API says that this machine is to run; what is held back stays as it was. Raises BadInput."""
    found = {}
    for f in Fields.of("the work of this machine", answer).items("units", MOST_UNITS):
        unit = _unit(f)
        known = before.get(unit.name)
        if f.value("held", bool, default=False) and known is not None and known.epoch == unit.epoch:
            unit = replace(known, target=unit.target)
        found[unit.name] = unit
    return found


def _unit(f: Fields) -> MachineUnit:
    name, text = f.line("name", 256), f.value("text", str)
    if why := trouble(name):
        raise BadInput(f"{name!r} is not a valid name of a unit: {why}")
    if len(text) > _MOST_TEXT:
        raise BadInput(f"the text of {name} has more than {_MOST_TEXT} characters")
    most = 1 << 62
    return MachineUnit(
        name, f.line("unit", 256), text, f.line("hash", 40), TargetState(f.choice("target", *TargetState)),
        f.number("epoch", 0, most), f.number("restarts", 0, most), f.number("cpu", 0, most),
        f.number("memory", 0, most), f.value("stops_alone", bool),
    )  # fmt: skip
