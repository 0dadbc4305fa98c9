from __future__ import annotations

import pytest

from orlop.node.cluster.examine import COMMIT, FSYNC, slowest


def histogram(name: str, *counts: int) -> str:
    bounds = ["0.001", "0.002", "0.004", "+Inf"]
    lines = [f'{name}_bucket{{le="{le}"}} {count}' for le, count in zip(bounds, counts, strict=True)]
    return "\n".join([f"# TYPE {name} histogram", *lines, f"{name}_sum 1.5", f"{name}_count {counts[-1]}", ""])


@pytest.mark.parametrize(
    ("counts", "within"),
    [
        ((100, 100, 100, 100), 0.001),
        ((90, 99, 100, 100), 0.002),
        ((90, 98, 100, 100), 0.004),
        ((0, 0, 50, 100), 0.008),  # longer than the last bound: how much is not known
        ((0, 0, 0, 0), None),
    ],
)
def test_slowest_but_one_of_a_hundred_is_read(counts: tuple[int, ...], within: float | None) -> None:
    assert slowest(histogram(FSYNC, *counts)) == {FSYNC: within, COMMIT: None}


@pytest.mark.parametrize("text", ["", "<html>", f'{FSYNC}_bucket{{le="x"}} 1', f'{FSYNC}_bucket{{le="1"}} 1e+e'])
def test_figures_that_are_none_are_none(text: str) -> None:
    assert slowest(text)[FSYNC] is None
