"""What the machine test says when a boot became dearer, and that its figures are kept by one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.lab.counted.cost import Cost, Phase
from tests.machines import boot_cost


def costs(first: float, later: float) -> dict[str, Cost]:
    return {name: Cost({"kernel": Phase(all_of_it, 1.0)}) for name, all_of_it in (("first", first), ("later", later))}


@pytest.mark.parametrize(
    ("first", "later", "dearer"),
    [
        (1000, 800, ""),
        (1029, 823, ""),
        (700, 500, ""),
        (1031, 800, "first"),
        (1000, 825, "later"),
        (2000, 2000, "first and later"),
    ],
)
def test_three_percent_are_allowed(tmp_path: Path, first: float, later: float, dearer: str) -> None:
    kept = tmp_path / "boot-cost.json"
    boot_cost.record(costs(1000, 800), kept)
    said = boot_cost.trouble(costs(first, later), kept)
    assert said.partition("\n")[0].rpartition(": ")[2] == dearer
    assert ("CHANGELOG.md" in said and boot_cost.COMMAND in said) == bool(dearer)


def test_new_figures_are_kept_only_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD", "1")  # which keeps how long sessions take
    assert not boot_cost.is_recording()
    monkeypatch.setenv("RECORD", boot_cost.WORD)
    assert boot_cost.is_recording()
