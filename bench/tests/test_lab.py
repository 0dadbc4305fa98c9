from __future__ import annotations

from bench.figures import Row
from bench.lab import FIGURES, text


def test_the_table_says_what_is_reached() -> None:
    values = {"boot": 50.0, "save": 1.0, "restore": 4.0, "restore_of_boot": 0.08}
    lines = text([Row(figure, values[figure.key], None) for figure, _ in FIGURES if figure.key in values]).splitlines()
    assert lines[0].split()[-2:] == ["50.0", "s"]
    assert lines[1].split()[-4:] == ["≤", "6.0", "s", "yes"]
    assert lines[2].split()[-4:] == ["≤", "3.0", "s", "NO"]
    assert lines[3].split()[-4:] == ["0.080", "≤", "0.1", "yes"]


def test_each_figure_has_a_key_of_its_own() -> None:
    keys = [figure.key for figure, _ in FIGURES]
    assert len(set(keys)) == len(keys)
