"""Snapshots that a server takes by itself: when one is due, what a file is called, and which are not kept any more.

    20261201T120000Z-r51-37216fc2.snapshot     when, at which revision of the store, by whose machine

What is newest is said by the revision, which only grows, and not by the time: a clock that was years ahead for an hour
would else make its snapshots the newest for years, and those taken after it would be the first to go. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orlop.model.cluster.member import MACHINE_DIGITS
from orlop.model.cluster.names import SNAPSHOT_SUFFIX

RETRY = timedelta(minutes=5)  # after one that could not be taken
LATE = 2  # times `every`: then something is wrong with them
_NAME = re.compile(
    rf"(\d{{8}}T\d{{6}}Z)-r(\d{{1,19}})-([0-9a-f]{{{MACHINE_DIGITS}}}){re.escape(SNAPSHOT_SUFFIX)}", re.ASCII
)
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Schedule:
    """One every so often, of which `keep` are kept."""

    every: timedelta = timedelta(hours=6)
    keep: int = 28


@dataclass(frozen=True)
class SnapshotName:
    at: datetime
    revision: int
    machine: str

    def __str__(self) -> str:
        machine = self.machine[:MACHINE_DIGITS]
        return f"{self.at.astimezone(UTC).strftime(_TIME)}-r{self.revision}-{machine}{SNAPSHOT_SUFFIX}"

    @classmethod
    def parse(cls, text: str) -> SnapshotName | None:
        """None for what is called otherwise, which is left alone."""
        if not (found := _NAME.fullmatch(text)):
            return None
        try:
            return cls(datetime.strptime(found[1], _TIME).replace(tzinfo=UTC), int(found[2]), found[3])
        except ValueError:
            return None


def parsed(names: Iterable[str]) -> list[SnapshotName]:
    """Those that are snapshots, the newest first."""
    found = [name for text in names if (name := SnapshotName.parse(text))]
    return sorted(found, key=lambda name: (name.revision, name.at), reverse=True)


def superfluous(names: Iterable[str], keep: int) -> list[str]:
    """What may go; never the newest."""
    return [str(name) for name in parsed(names)[max(1, keep) :]]


def due(schedule: Schedule, last: datetime | None, tried: datetime | None, now: datetime) -> bool:
    """`last`: when the newest was taken; `tried`: when it failed since then. A time that is still to come is none: the
    clock was set back.
    """
    if tried is not None and timedelta() <= now - tried < RETRY:
        return False
    return last is None or last > now or now - last >= schedule.every
