"""Boots counted in guest instructions, Orlop's and the peer's in turns: figures that need no quiet computer.

How they are counted is in orlop/lab/counted. Two rounds show whether the figures hold still: they must agree within
2 %, and the table says by how much they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from bench.docs import write_between
from orlop.lab.counted.boot import first_and_later
from orlop.lab.counted.borders import PHASES
from orlop.lab.counted.cost import MILLION, Cost, Phase
from orlop.lab.images import LabImage
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB = "bench-counted"
ROUNDS = 2
AGREE = 0.02
BEGIN, END = "<!-- counted boots: written by --docs -->", "<!-- end of counted boots -->"


@dataclass
class Counted:
    """The boots of one system, one of each kind a round."""

    first: list[Cost] = field(default_factory=list)
    later: list[Cost] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, list[Cost]]:
        """By the figure's name in the bench's table."""
        return {"first_boot": self.first, "later_boot": self.later}

    def values(self) -> dict[str, float | None]:
        """Its lines in the bench's table."""
        return {key: mean_cost(costs).instructions * MILLION for key, costs in self.kinds.items()}

    def json(self) -> dict[str, Any]:
        """Each boot by phase, as `Phase` has it."""
        return {key: [asdict(cost)["phases"] for cost in costs] for key, costs in self.kinds.items()}


def in_turns(ws: Workspace, steps: Steps, images: Mapping[str, LabImage]) -> dict[str, Counted]:
    """Boot each system twice, ROUNDS times. `images`: by the system's name; "orlop" judges its boots."""
    counted = {name: Counted() for name in images}
    for number in range(1, ROUNDS + 1):
        for name, image in images.items():
            with steps.step(f"Counting {number} of {ROUNDS}: {name}"):
                first, later = first_and_later(ws, steps, image, LAB, is_judged=name == "orlop")
                counted[name].first.append(first)
                counted[name].later.append(later)
    return counted


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean, phase by phase. Boots of one system have the same phases."""
    phases = [cost.phases for cost in costs]
    return Cost(
        {
            name: Phase(mean(boot[name].instructions for boot in phases), mean(boot[name].seconds for boot in phases))
            for name in phases[0]
        }
    )


def spread(costs: Sequence[Cost]) -> float:
    """By how much the dearest boot is over the cheapest, as a share."""
    totals = [cost.instructions for cost in costs]
    return max(totals) / min(totals) - 1


def facts(counted: Mapping[str, Counted]) -> dict[str, Any]:
    """Whether the figures hold still, for the end of the bench's table."""
    if not counted:
        return {}
    most = max(spread(costs) for system in counted.values() for costs in system.kinds.values())
    found: dict[str, Any] = {"counted boots differ by at most": f"{most:.1%}"}
    if most > AGREE:
        found["counted boots"] = f"they should differ by {AGREE:.0%} at most: something in a boot is left to chance"
    return found


def table(counted: Mapping[str, Counted]) -> str:
    """What a boot does, in order, and what it costs: Markdown, a line a phase."""
    systems = list(counted.values())
    columns = {
        f"{name}, {kind}": costs
        for kind, all_costs in (("first boot", [s.first for s in systems]), ("later boot", [s.later for s in systems]))
        for name, costs in zip(counted, all_costs, strict=True)
    }
    means = [mean_cost(costs) for costs in columns.values()]
    rows = [["phase", "what it does", *columns], ["---"] * (2 + len(columns))]
    rows += [[name, what, *(_cell(cost.phases.get(name)) for cost in means)] for name, what in PHASES.items()]
    rows.append(["**in all**", "", *(_cell(Phase(cost.instructions, cost.seconds)) for cost in means)])
    rows.append(
        [f"{len(systems[0].first)} runs differ by", "", *(f"{spread(costs):.1%}" for costs in columns.values())]
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(phase: Phase | None) -> str:
    return f"{phase.instructions / 1000:.2f} G, {phase.seconds:.1f} s" if phase else ""


def write_docs(page: Path, text: str) -> None:
    """Put the text where the page has the last one. Raises BadInput when it has no place for it."""
    write_between(page, BEGIN, END, text)
