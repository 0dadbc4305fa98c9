"""Which etcd may run beside which: the rules of an upgrade of the store, member by member.

etcd goes up one minor version at a time, and every member has the new one before any goes further. A store speaks the
lowest minor of its members; when all have the higher one it speaks that, and a member of the lower one cannot come back
(etcd's own documentation, "Upgrading etcd"). Other patches of one minor may be mixed as one likes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orlop.errors import BadInput


@dataclass(frozen=True, order=True)
class EtcdVersion:
    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> EtcdVersion:
        """As etcd says it, `3.5.16`, or Debian, `3.5.16-4`. Raises BadInput."""
        found = re.match(r"(\d{1,4})\.(\d{1,4})\.(\d{1,6})(?![\d.])", text, re.ASCII)
        if found is None:
            raise BadInput(f"{text[:40]!r} is not a version of etcd")
        return cls(*map(int, found.groups()))

    @property
    def line(self) -> tuple[int, int]:
        """What upgrades go by."""
        return self.major, self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def upgrade_trouble(members: Iterable[EtcdVersion], target: EtcdVersion) -> str:
    """Why a member must not go to `target` now; empty when it may. `members`: what all run now, itself among them."""
    lines = sorted({member.line for member in members})
    if not lines:
        return ""
    low, high = lines[0], lines[-1]
    if target.line < low:
        return f"the store speaks {_said(low)} by now, and etcd cannot go back to {target}"
    following = (low[0], low[1] + 1)
    if target.line <= following:
        return ""
    if target.line[0] != low[0]:
        return f"etcd {target} is of another major version than the members' {_said(low)}"
    if high > low and target.line == (high[0], high[1] + 1):
        return f"not all members have etcd {_said(high)} yet: {target} comes after that"
    return f"etcd goes up one minor version at a time: from {_said(low)} to {_said(following)}, not to {target}"


def _said(line: tuple[int, int]) -> str:
    return f"{line[0]}.{line[1]}"
