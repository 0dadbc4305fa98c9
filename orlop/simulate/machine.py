"""What the machine would be: the result of a simulation, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from orlop.simulate.accounts import Group, User, groups, users
from orlop.simulate.changes import Change, changes
from orlop.simulate.plan import Plan
from orlop.simulate.snapshot import Entry, Snapshot
from orlop.simulate.units import Unit, units

T = TypeVar("T")
_MISSING = re.compile(r"Unit (\S+) does not exist")


@dataclass(frozen=True)
class Machine:
    """`factory` is the root as the image alone makes it, `root` what the config made of it; `notes`: what systemd said
    about the units to enable; `programs`: what can be run in the image, by its path without /usr.
    """

    name: str
    image: str
    factory: Snapshot
    root: Snapshot
    plan: Plan
    notes: tuple[str, ...] = ()
    programs: frozenset[str] = frozenset()

    @cached_property
    def changes(self) -> list[Change]:
        return changes(self.factory, self.root)

    @cached_property
    def units(self) -> list[Unit]:
        return units(self.root, self.changes, missing=frozenset(_MISSING.findall("\n".join(self.notes))))

    @property
    def doubts(self) -> list[tuple[str, str, str]]:
        """What Ignition takes and the machine will not like: (kind of entry, its name, what is wrong with it)."""
        found = [("unit", u.name, f"there is no unit {u.name} to enable") for u in self.units if u.state == "missing"]
        for before, after in self.users.values():
            shell = after.shell if after else ""
            if after and shell and (before is None or before.shell != shell) and not self._runs(shell):
                found.append(("passwd_user", after.name, f"the shell {shell} of {after.name} is not in the image"))
        return found

    def _runs(self, program: str) -> bool:
        return program.removeprefix("/usr") in self.programs or program in self.root

    @cached_property
    def users(self) -> dict[str, tuple[User | None, User | None]]:
        return compared(users(self.factory), users(self.root))

    @cached_property
    def groups(self) -> dict[str, tuple[Group | None, Group | None]]:
        return compared(groups(self.factory), groups(self.root))


def compared(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, tuple[T | None, T | None]]:
    """Name → (before, after), of those that differ."""
    names = sorted({*before, *after})
    return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}


def with_sources(root: Mapping[str, Entry], plan: Plan) -> dict[str, Entry]:
    """The root, in which files whose contents are elsewhere say so."""
    return {
        path: replace(entry, source=plan.sources[path]) if path in plan.sources else entry
        for path, entry in root.items()
    }
