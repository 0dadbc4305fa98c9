"""Figures that are measured one after the other in a scene, each able to use those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from bench.figures import Figure, Row
from orlop.steps import Steps


class Measured(Protocol):
    """`values`: what was found so far, by key."""

    steps: Steps
    values: dict[str, float]

    def clear(self) -> None:
        """Leave nothing behind, whatever is there."""
        ...


S = TypeVar("S", bound=Measured)


def measure_all(scene: S, figures: Iterable[tuple[Figure, Callable[[S], float]]]) -> list[Row]:
    """Every figure, once; whatever happens, nothing is left."""
    rows: list[Row] = []
    scene.clear()  # left by a run that was killed
    try:
        for figure, function in figures:
            with scene.steps.step(figure.title.strip()):
                scene.values[figure.key] = function(scene)
            rows.append(Row(figure, scene.values[figure.key], None))
    finally:
        scene.clear()
    return rows
