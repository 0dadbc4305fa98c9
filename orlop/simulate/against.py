"""Two simulated machines, one against the other: from what `other` would be to what `this` would be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from orlop.simulate import show
from orlop.simulate.accounts import groups, users
from orlop.simulate.changes import RootChange, changes, unified
from orlop.simulate.machine import SimulatedMachine, compared
from orlop.simulate.units import Unit

SAME = "both make the same machine"


def text(other: SimulatedMachine, this: SimulatedMachine) -> str:
    """What differs, then the text of files that differ as one unified diff."""
    differences = changes(other.root, this.root)
    parts = [
        show.titled("files", show.tree(differences, show.owners(this))),
        show.titled("users", show.accounts(compared(users(other.root), users(this.root)), show.user_line)),
        show.titled("groups", show.accounts(compared(groups(other.root), groups(this.root)), show.group_line)),
        show.titled("units", [_unit(*pair) for pair in _units(other, this).values()]),
        show.titled("kernel arguments", lines(show.kernel_lines(other), show.kernel_lines(this))),
        show.titled(show.FETCHED, lines(*([show.fetch_line(f) for f in m.plan.fetches] for m in (other, this)))),
        show.titled(show.DISKS, lines(other.plan.disks, this.plan.disks)),
    ]
    head = f"{this.name} against {other.name}, on image {this.image}"
    diffs = [diff.rstrip("\n") for change in differences if (diff := _diff(change, other, this))]
    return show.joined([[head], *(parts if any(parts) else [[SAME]]), diffs])


def document(other: SimulatedMachine, this: SimulatedMachine) -> dict[str, Any]:
    """The same for programs; `diff` is null where there is no text to show."""
    differences = changes(other.root, this.root)
    units = _units(other, this)
    return {
        "config": this.name,
        "against": other.name,
        "image": this.image,
        "entries": [{**show.change_document(c), "diff": _diff(c, other, this)} for c in differences],
        "users": show.pairs_document(compared(users(other.root), users(this.root))),
        "groups": show.pairs_document(compared(groups(other.root), groups(this.root))),
        "units": show.pairs_document(units),
        "kernel_arguments": _sides(show.kernel_lines(other), show.kernel_lines(this)),
        "fetches": _sides([asdict(f) for f in other.plan.fetches], [asdict(f) for f in this.plan.fetches]),
        "disks": _sides(other.plan.disks, this.plan.disks),
    }


def lines(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """What is only in one of them, marked: first what went."""
    old, new = list(before), list(after)
    return [f"- {line}" for line in old if line not in new] + [f"+ {line}" for line in new if line not in old]


def _sides(before: Iterable[Any], after: Iterable[Any]) -> dict[str, list[Any]]:
    return {"before": list(before), "after": list(after)}


def _diff(change: RootChange, other: SimulatedMachine, this: SimulatedMachine) -> str | None:
    return unified(change, (other.name, this.name)) or None


def _units(other: SimulatedMachine, this: SimulatedMachine) -> dict[str, tuple[Unit | None, Unit | None]]:
    return compared({u.name: u for u in other.units}, {u.name: u for u in this.units})


def _unit(before: Unit | None, after: Unit | None) -> str:
    if before is None or after is None:
        unit = after or before
        assert unit is not None
        return f"{'+' if after else '-'} {show.unit_line(unit)}"
    return f"~ {show.unit_line(after)} (was: {show.unit_line(before).partition(': ')[2]})"
