"""What a boot may cost, in millions of guest instructions by phase: boot-cost.json, read and written here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from orlop.lab.counted import cost
from orlop.lab.counted.cost import Cost

KEPT = Path(__file__).with_name("boot-cost.json")
ALLOWED = 0.03  # two boots of one image differ by less than half of that
WORD = "boot-cost"  # what RECORD says to keep new figures
COMMAND = f"make machines T=tests/machines/test_boot_cost.py RECORD={WORD}"


def is_recording() -> bool:
    return os.environ.get("RECORD") == WORD


def record(costs: Mapping[str, Cost], kept: Path = KEPT) -> None:
    kept.write_text(json.dumps({name: found.json() for name, found in costs.items()}, indent=2) + "\n")


def trouble(costs: Mapping[str, Cost], kept: Path = KEPT) -> str:
    """Which boots cost more than was kept, phase by phase, and what to do; "" when none does."""
    before = {name: cost.parse(phases) for name, phases in json.loads(kept.read_text()).items()}
    dearer = [name for name, now in costs.items() if cost.is_dearer(now.json(), before[name], ALLOWED)]
    if not dearer:
        return ""
    tables = [
        f"{name} boot, in millions of guest instructions\n{cost.difference(costs[name].json(), before[name])}"
        for name in dearer
    ]
    return "\n\n".join(
        [
            f"a boot costs more than {ALLOWED:.0%} over what {kept.name} says: {' and '.join(dearer)}",
            *tables,
            f"When that is worth it, keep the new figures with\n    {COMMAND}\n"
            "and add a line to CHANGELOG.md that says what they buy. Else look at what the dearer phases do.",
        ]
    )
