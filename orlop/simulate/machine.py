"""What the machine would be: the result of a simulation, as values."""

from __future__ import annotations

import hashlib
import posixpath
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from orlop.node.config import stops
from orlop.simulate.accounts import SimulatedGroup, SimulatedUser, groups, users
from orlop.simulate.changes import RootChange, changes
from orlop.simulate.plan import SimulationPlan
from orlop.simulate.snapshot import PathKind, RootEntry, Snapshot, file_text
from orlop.simulate.units import Unit, units

T = TypeVar("T")


@dataclass(frozen=True)
class ProgramOutput:
    """What programs of the real system said of the machine. `units`: systemctl, about those to enable; `verify`:
    systemd-analyze; `quadlet`: podman; `absent`: the units that are to be enabled and are nowhere.
    """

    units: str = ""
    verify: str = ""
    quadlet: str = ""
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SimulatedMachine:
    """`factory` is the root as the image alone makes it, `root` what the config made of it; `generated`: the units that
    are made at boot; `system`: the image's /usr.
    """

    name: str
    image: str
    factory: Snapshot
    root: Snapshot
    plan: SimulationPlan
    generated: Snapshot = field(default_factory=dict)
    system: Snapshot = field(default_factory=dict)
    said: ProgramOutput = field(default_factory=ProgramOutput)

    @cached_property
    def files(self) -> Snapshot:
        """All files that the machine starts with."""
        return ChainMap(dict(self.root), dict(self.generated), dict(self.system))

    @cached_property
    def changes(self) -> list[RootChange]:
        return changes(self.factory, self.root)

    @cached_property
    def units(self) -> list[Unit]:
        return units(self.files, self.changes, self.said.absent)

    @property
    def notes(self) -> list[str]:
        """What systemd said about the units to enable, beside what it did."""
        return [line for line in self.said.units.splitlines() if not line.startswith(("Created", "Removed"))]

    @cached_property
    def users(self) -> dict[str, tuple[SimulatedUser | None, SimulatedUser | None]]:
        return compared(users(self.factory), users(self.root))

    @cached_property
    def groups(self) -> dict[str, tuple[SimulatedGroup | None, SimulatedGroup | None]]:
        return compared(groups(self.factory), groups(self.root))


def compared(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, tuple[T | None, T | None]]:
    """Name → (before, after), of those that differ."""
    names = sorted({*before, *after})
    return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}


def with_sources(root: Mapping[str, RootEntry], plan: SimulationPlan) -> dict[str, RootEntry]:
    """The root, in which files whose contents are elsewhere say so."""
    return {
        path: replace(entry, source=plan.sources[path]) if path in plan.sources else entry
        for path, entry in root.items()
    }


def with_dropins(root: Mapping[str, RootEntry]) -> dict[str, RootEntry]:
    """The root with what a machine writes beside the units of containers: time to stop (orlop.node.config.stops)."""
    top, units_at = f"/{stops.QUADLETS}/", f"/{stops.UNITS}/"
    made = dict(root)
    for path, text in stops.dropins({p.removeprefix(top): file_text(root, p) for p in root if p.startswith(top)})[
        0
    ].items():
        raw, file = text.encode(), units_at + path
        made.setdefault(posixpath.dirname(file), RootEntry(posixpath.dirname(file), PathKind.FOLDER, 0o755, 0, 0))
        made[file] = RootEntry(
            file, PathKind.FILE, 0o644, 0, 0, len(raw), digest=hashlib.sha256(raw).hexdigest(), data=raw
        )
    return made
