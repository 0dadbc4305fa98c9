"""The table says what was measured and nothing else."""

from __future__ import annotations

import json

import pytest

from bench.figures import FIGURES, Row, rows, show, table

BY_KEY = {figure.key: figure for figure in FIGURES}


@pytest.mark.parametrize(
    ("key", "orlop", "peer", "ratio", "reached"),
    [
        ("payload", 128e6, 256e6, 0.5, True),
        ("payload", 128e6 + 1, None, None, False),
        ("payload", None, 280e6, None, None),
        ("setuid", 0, 12, 0, True),
        ("setuid", 1, 0, None, False),
        ("answering", 7, 10, 0.7, True),
        ("answering", 7.1, 10, 0.71, False),
        ("answering", 7, None, None, None),
        ("processes", 9, 18, 0.5, None),
    ],
)
def test_ratio_and_target(
    key: str, orlop: float | None, peer: float | None, ratio: float | None, reached: bool | None
) -> None:
    row = Row(BY_KEY[key], orlop, peer)
    assert row.ratio == (None if ratio is None else pytest.approx(ratio))
    assert row.reached is reached


def test_only_what_was_measured_is_shown_in_the_fixed_order() -> None:
    found = rows({"answering": 10.0, "payload": 1e6, "cold_up": None}, {"answering": 20.0, "memory_used": 3e8})
    assert [row.figure.key for row in found] == ["payload", "answering", "memory_used"]


def test_a_figure_that_nobody_knows_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="wrong"):
        rows({"wrong": 1.0}, {})


def test_the_table_is_aligned_and_names_targets() -> None:
    text = table(rows({"payload": 99e6, "answering": 30.0, "setuid": 0}, {"payload": 150e6, "answering": 40.0}))
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "99.0 MB" in lines[1]
    assert "≤ 128.0 MB" in lines[1]
    assert lines[1].endswith("yes")
    assert "≤ 0 " in lines[2]
    assert "≤ 0.7 × peer" in lines[3]
    assert lines[3].endswith("NO")


def test_json_holds_bare_values() -> None:
    row = rows({"answering": 30.0}, {"answering": 40.0})[0]
    assert json.loads(json.dumps(row.json())) == {
        "figure": "answering",
        "title": "firmware to container answering",
        "unit": "s",
        "orlop": 30.0,
        "peer": 40.0,
        "ratio": 0.75,
        "target": {"at_most": 0.7, "of": "ratio"},
        "reached": False,
    }


def test_units() -> None:
    assert [show(1234567, "bytes"), show(1.26, "s"), show(250, ""), show(None, "s")] == ["1.2 MB", "1.3 s", "250", "–"]
