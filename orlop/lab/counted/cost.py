"""What a boot cost until its container answered, phase by phase, and whether that is more than it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orlop.errors import BadInput
from orlop.machines.counter import Course

MILLION = 1e6


@dataclass(frozen=True)
class Phase:
    """`instructions` in millions; `seconds` of the machine's clock, which also counts what it waited."""

    instructions: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """The phases of one boot by name, in their order (borders.PHASES)."""

    phases: Mapping[str, Phase]

    @property
    def instructions(self) -> float:
        """Of the whole boot, in millions."""
        return sum(phase.instructions for phase in self.phases.values())

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases.values())

    def json(self) -> dict[str, float]:
        """Millions of instructions by phase."""
        return {name: round(phase.instructions, 1) for name, phase in self.phases.items()}


def cost(course: Course, zero: float, borders: Mapping[str, float]) -> Cost:
    """`zero`: when the machine's own clock was 0, on that of the course; `borders`: on the machine's own."""
    phases, before, done = {}, 0.0, 0.0
    for name, at in borders.items():
        clock = zero + at
        executed = course.instructions(clock) / MILLION
        phases[name] = Phase(executed - done, clock - before)
        before, done = clock, executed
    return Cost(phases)


def parse(raw: object) -> dict[str, float]:
    """What `Cost.json` gave. Raises BadInput."""
    if not isinstance(raw, dict) or not raw or not all(isinstance(v, int | float) for v in raw.values()):
        raise BadInput(f"this is not a table of millions of instructions: {raw!r}")
    return {str(name): float(value) for name, value in raw.items()}


def is_dearer(now: Mapping[str, float], before: Mapping[str, float], allowed: float) -> bool:
    """Whether a boot costs more than what was kept, by more than this share of it."""
    return sum(now.values()) > sum(before.values()) * (1 + allowed)


def difference(now: Mapping[str, float], before: Mapping[str, float]) -> str:
    """Both, phase by phase, in millions of instructions: for who has to find what became dearer."""
    names = [*before, *(name for name in now if name not in before)]
    lines = [_line(name, now.get(name, 0.0), before.get(name, 0.0)) for name in names]
    whole = _line("to the answer", sum(now.values()), sum(before.values()))
    return "\n".join([f"{'':14}{'now':>9}{'kept':>9}{'more':>9}", *lines, whole])


def _line(name: str, now: float, before: float) -> str:
    share = f"{now / before - 1:+9.1%}" if before else ""
    return f"{name:14}{now:9.0f}{before:9.0f}{now - before:+9.0f}{share}"
