"""What is done about a machine that breaks while it runs, long after its boot was good.

The machine looks after itself (os/mkosi.extra/usr/lib/orlop/watch) and names what is wrong now by the kinds of
`orlop.model.update.blame`. For each there is one remedy that is known to help, or none:

    nobody     it is said, and mended by a person or by what is around the machine
    restart    the unit is started again, by who noticed
    reboot     what is kept in memory alone goes, and a file system is checked: decided here, done by the engine

Invariant: a remedy is about the machine, never about the version. It denies nothing and leaves no version: the machine
comes back in what it would have started anyway. And it is not repeated for ever: a machine reboots itself for one only
when it has run for a while, so what a reboot does not mend costs no more than one reboot in that time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orlop.model.update.blame import KINDS, kind_of
from orlop.model.update.reboot import Off, Strategy, may_reboot


class Remedy(StrEnum):
    NOBODY = "nobody"
    RESTART = "restart"
    REBOOT = "reboot"


@dataclass(frozen=True)
class Cure:
    """`danger`: data are at risk until it is done, so that windows and locks are not waited for."""

    remedy: Remedy
    danger: bool = False


_NOBODY = Cure(Remedy.NOBODY)
CURES = dict.fromkeys(KINDS, _NOBODY) | {
    "storage": Cure(Remedy.REBOOT, danger=True),  # the initrd checks /var and mends it
    "podman": Cure(Remedy.REBOOT),  # what it remembers of this boot goes
    "system": Cure(Remedy.RESTART),
    "agent": Cure(Remedy.RESTART),
}
# how long a machine must have run before it reboots itself for what is wrong
UP_IN_DANGER = timedelta(minutes=10)
UP = timedelta(hours=6)
LASTS = timedelta(minutes=5)  # that something must have been wrong, where no data are at risk


@dataclass(frozen=True)
class Trouble:
    """`what` is `KIND` or `KIND:ABOUT`; `lasted` is for how long it has been seen."""

    what: str
    reason: str
    lasted: timedelta = timedelta()

    @property
    def cure(self) -> Cure:
        return CURES.get(kind_of(self.what), _NOBODY)


@dataclass(frozen=True)
class Repair:
    """A reboot that would mend something. `reason` is a part of a sentence."""

    reason: str
    danger: bool


def wanted(troubles: Iterable[Trouble], up: timedelta) -> Repair | None:
    """Whether a reboot would mend what is wrong on a machine that has run for so long; the most urgent reason first."""
    for danger in (True, False):
        for trouble in troubles:
            if trouble.cure != Cure(Remedy.REBOOT, danger):
                continue
            if up >= (UP_IN_DANGER if danger else UP) and (danger or trouble.lasted >= LASTS):
                return Repair(trouble.reason, danger)
    return None


@dataclass(frozen=True)
class When:
    """Whether to reboot for it now, and why, or why not; `locked`: only with the reboot lock."""

    now: bool
    reason: str
    locked: bool = False


def when(repair: Repair, strategy: Strategy, now: datetime, sessions: int) -> When:
    """Who turned reboots off is asked for one, whatever is at risk: a file system with errors is read-only by then."""
    if isinstance(strategy, Off):
        return When(False, f"{repair.reason}; the reboot strategy is off: reboot this machine")
    if repair.danger:
        return When(True, f"{repair.reason}: rebooting at once, data are at risk")
    may = may_reboot(strategy, now, sessions=sessions, since=None)
    return When(may.now, f"{repair.reason}; a reboot mends it: {may.reason}", locked=True)
