"""When a machine asks its repository next: often, never together with the others, and less when nobody answers.

There is no server that could tell machines to come later, so each keeps apart from the others by chance. `chance` is a
number from 0 to below 1 that the caller draws; everything else follows from the arguments.

    start        some time within a spread, or the interval when that is shorter: after a power cut, ten thousand
                 machines do not come in one second
    answered     the interval, give or take a fifth
    no answer    the interval, doubled with each failure in a row, up to an hour; so who comes back after months offline
                 is noticed within one
    overloaded   not before the server said (Retry-After), as long as that is no more than four hours

Invariant: a moment that is further away than any of this can make it comes of a clock that was changed, and counts as
now.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SPREAD = timedelta(minutes=3)
JITTER = 0.2
LONGEST = timedelta(hours=1)
LONGEST_ASKED = timedelta(hours=4)  # a server that says more could keep machines from what they need


def first(now: datetime, within: timedelta, chance: float) -> datetime:
    """The first check after a start."""
    return now + within * chance


def following(
    now: datetime, every: timedelta, chance: float, *, failures: int = 0, asked: timedelta | None = None
) -> datetime:
    """The check after one that has just ended; `failures` in a row, 0 when it was answered.

    `asked` is how long the server wants to be left alone.
    """
    pause = every if failures < 2 else max(every, min(every * 2 ** min(failures - 1, 20), LONGEST))
    pause *= 1 - JITTER + 2 * JITTER * chance
    if asked is not None:
        pause = max(pause, bounded(asked) * (1 + JITTER * chance))
    return now + pause


def bounded(asked: timedelta) -> timedelta:
    """How long a server that asks for so long is left alone."""
    return min(max(asked, timedelta()), LONGEST_ASKED)


def due(at: datetime | None, now: datetime) -> bool:
    """Whether a check planned for `at` is to be made now; None is at once."""
    return at is None or now >= at or at - now > LONGEST_ASKED * (1 + JITTER)
