"""When a machine may reboot into a staged update.

    immediate   at once
    window      inside a weekly window: on these days, from this time on, for so long, in that time zone
    off         never by itself; whoever administers the machine reboots it

In every strategy somebody who is logged in delays the reboot for a while, once. Nothing here reads a clock.

Invariant: a window opens at its wall-clock time in its zone and stays open for its length in real time. On the day a
clock goes forward over the start, it opens at the moment it would have had without the change; on the day a clock goes
back, it opens the first time that hour is reached, and once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from orlop.errors import BadInput
from orlop.model.settings.update import DAYS_OF_WEEK

LOGIN_DELAY = timedelta(minutes=10)


@dataclass(frozen=True)
class Immediate:
    pass


@dataclass(frozen=True)
class Off:
    pass


@dataclass(frozen=True)
class Window:
    """`days` count from 0, Monday; `zone` is a name of the time zone database."""

    days: frozenset[int]
    start: time
    length: timedelta
    zone: ZoneInfo

    @classmethod
    def of(cls, *, days: Iterable[str], start: time, minutes: int, zone: str) -> Window:
        """From settings (orlop.model.settings.update): ("sat", "sun"), 22:30, 60, "Europe/Berlin". No days means every
        day. Raises BadInput where the system lacks a zone that it should have.
        """
        try:
            where = ZoneInfo(zone)
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise BadInput(f"this system has no time zone {zone!r}", hint="use UTC") from None
        numbers = frozenset(map(DAYS_OF_WEEK.index, days)) or frozenset(range(7))
        return cls(numbers, start, timedelta(minutes=minutes), where)

    def opened(self, now: datetime) -> datetime | None:
        """When the window that is open at `now` opened, or None."""
        return next((s for s in self._starts(now) if s <= now < s + self.length), None)

    def opens(self, now: datetime) -> datetime:
        """The next moment after `now` at which a window opens."""
        return min(s for s in self._starts(now) if s > now)

    def _starts(self, now: datetime) -> list[datetime]:
        """Every start from a week and a day before `now` until a week and a day after it, in UTC."""
        here = now.astimezone(self.zone).date()
        days = (here + timedelta(days=n) for n in range(-8, 9))
        return [
            datetime.combine(day, self.start, tzinfo=self.zone).astimezone(UTC)
            for day in days
            if day.weekday() in self.days
        ]


Strategy = Immediate | Window | Off


@dataclass(frozen=True)
class May:
    """Whether the machine may reboot; if not, `again` is when to ask next (None: not by itself), `reason` says why.

    `logins`: somebody who is logged in is the only thing it waits for.
    """

    now: bool
    reason: str
    again: datetime | None = None
    logins: bool = False


def may_reboot(
    strategy: Strategy, now: datetime, *, sessions: int, since: datetime | None, delay: timedelta = LOGIN_DELAY
) -> May:
    """`sessions` is how many people are logged in, `since` when the reboot was first wanted in spite of them."""
    match strategy:
        case Off():
            return May(now=False, reason="the reboot strategy is off: reboot the machine to finish the update")
        case Window() as window:
            if window.opened(now) is None:
                at = window.opens(now)
                return May(now=False, reason=f"the next reboot window opens {at:%Y-%m-%d %H:%M} UTC", again=at)
            because = "inside the reboot window"
        case _:
            because = "the reboot strategy is immediate"
    if not sessions:
        return May(now=True, reason=because)
    until = (since or now) + delay
    who = "somebody is" if sessions == 1 else f"{sessions} people are"
    if now < until:
        waiting = f"{who} logged in: waiting until {until.astimezone(UTC):%H:%M:%S} UTC"
        return May(now=False, reason=waiting, again=until, logins=True)
    return May(now=True, reason=f"{because}, and {who} logged in still")
