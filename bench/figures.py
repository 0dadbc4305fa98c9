"""The table: each figure with its unit, both values, their ratio, its target and whether it is reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["bytes", "s", "ms", "instructions", ""]


@dataclass(frozen=True)
class FigureTarget:
    """At most `limit`; of the value itself, or of its ratio to the peer's."""

    limit: float
    of_ratio: bool = False


@dataclass(frozen=True)
class Figure:
    """One line of the table; `key` names it in the JSON."""

    key: str
    title: str
    unit: Unit
    target: FigureTarget | None = None


# What is measured, in the order it is shown. The targets are this stage's; a smaller value is always the better one.
FIGURES = (
    Figure("payload", "payload (usr + verity + UKI)", "bytes", FigureTarget(128e6)),
    Figure("image_raw", "image, raw", "bytes"),
    Figure("image_zstd", "image, zstd", "bytes"),
    Figure("executables", "executables on PATH", "", FigureTarget(205)),
    Figure("setuid", "setuid and setgid files", "", FigureTarget(0)),
    Figure("interpreters", "interpreters but sh", "", FigureTarget(0)),
    Figure("cold_up", "cold `make up`", "s", FigureTarget(480)),
    Figure("warm_build", "rebuild after a config change", "s", FigureTarget(60)),
    Figure("firmware", "boot: firmware", "s"),
    Figure("loader", "boot: loader", "s"),
    Figure("kernel", "boot: kernel", "s"),
    Figure("initrd", "boot: initrd", "s"),
    Figure("configuration", "  of it: the configuration", "s", FigureTarget(1.5)),
    Figure("userspace", "boot: userspace", "s"),
    Figure("answering", "firmware to container answering", "s", FigureTarget(0.7, of_ratio=True)),
    Figure("cpu", "host processor time until then", "s"),
    Figure("first_boot", "guest instructions until then", "instructions", FigureTarget(0.75, of_ratio=True)),
    Figure("later_boot", "  of a later boot", "instructions", FigureTarget(0.75, of_ratio=True)),
    Figure("memory_used", "idle memory used", "bytes", FigureTarget(135e6)),
    Figure("processes", "idle processes", ""),
)


@dataclass(frozen=True)
class Row:
    figure: Figure
    orlop: float | None
    peer: float | None

    @property
    def ratio(self) -> float | None:
        """Orlop's value in parts of the peer's."""
        return self.orlop / self.peer if self.orlop is not None and self.peer else None

    @property
    def reached(self) -> bool | None:
        """None without a target, or without what it needs."""
        if self.figure.target is None:
            return None
        value = self.ratio if self.figure.target.of_ratio else self.orlop
        return None if value is None else value <= self.figure.target.limit

    def json(self) -> dict[str, Any]:
        target = self.figure.target
        return {
            "figure": self.figure.key,
            "title": self.figure.title,
            "unit": self.figure.unit,
            "orlop": self.orlop,
            "peer": self.peer,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "target": None
            if target is None
            else {"at_most": target.limit, "of": "ratio" if target.of_ratio else "value"},
            "reached": self.reached,
        }


def rows(orlop: Mapping[str, float | None], peer: Mapping[str, float | None]) -> list[Row]:
    """The figures that were measured on either side, in the table's order. A key of none of them is a defect."""
    unknown = (orlop.keys() | peer.keys()) - {figure.key for figure in FIGURES}
    assert not unknown, f"not figures: {unknown}"
    made = (Row(figure, orlop.get(figure.key), peer.get(figure.key)) for figure in FIGURES)
    return [row for row in made if row.orlop is not None or row.peer is not None]


def table(found: Sequence[Row]) -> str:
    """The rows as text, columns aligned."""
    head = ("", "Orlop", "peer", "ratio", "target", "reached")
    lines = [head, *(_cells(row) for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *numbers])


def _cells(row: Row) -> tuple[str, ...]:
    unit, target = row.figure.unit, row.figure.target
    if target is None:
        limit = ""
    else:
        limit = "≤ " + (f"{target.limit:g} × peer" if target.of_ratio else show(target.limit, unit))
    mark = {None: "" if target is None else "not measured", True: "yes", False: "NO"}[row.reached]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.figure.title, show(row.orlop, unit), show(row.peer, unit), ratio, limit, mark)


def show(value: float | None, unit: Unit) -> str:
    if value is None:
        return "–"
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    if unit == "s":
        return f"{value:.1f} s"
    if unit == "ms":
        return f"{value:.0f} ms"
    if unit == "instructions":
        return f"{value / 1e9:.2f} G"
    return f"{value:g}"
