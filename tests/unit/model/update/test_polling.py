"""When machines ask: together they are a flat line, whatever went before."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orlop.model.update.polling import LONGEST, LONGEST_ASKED, SPREAD, bounded, due, first, following

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EVERY = timedelta(minutes=5)
HOUR = timedelta(hours=1)
chances = st.floats(0, 1, exclude_max=True)


def test_ten_thousand_machines_after_a_power_cut() -> None:
    """In no second do more than three times the average come, and within the hour the line is flat."""
    rng = random.Random(1)
    seconds = [0] * 3600
    for _ in range(10_000):
        at = first(NOW, SPREAD, rng.random())
        while (second := int((at - NOW).total_seconds())) < len(seconds):
            seconds[second] += 1
            at = following(at, EVERY, rng.random())
    average = 10_000 / EVERY.total_seconds()
    assert max(seconds) <= 3 * average
    last = [sum(seconds[at : at + 60]) / 60 for at in range(2700, 3600, 60)]
    assert 0.8 * average <= min(last) <= max(last) <= 1.2 * average


def test_without_an_answer_the_pauses_grow_up_to_an_hour() -> None:
    pauses = [following(NOW, EVERY, 0.5, failures=n) - NOW for n in (0, 1, 2, 3, 4, 5, 99)]
    assert pauses == [EVERY, EVERY, 2 * EVERY, 4 * EVERY, 8 * EVERY, LONGEST, LONGEST]
    assert following(NOW, 2 * HOUR, 0.5, failures=9) == NOW + 2 * HOUR  # never more often than when it answers


@given(chances, st.integers(0, 10**6), st.none() | st.integers(-10, 10**9))
def test_every_pause_is_bounded_and_what_was_planned_is_not_due_before(
    chance: float, failures: int, asked: int | None
) -> None:
    wish = None if asked is None else timedelta(seconds=asked)
    at = following(NOW, EVERY, chance, failures=failures, asked=wish)
    assert EVERY * 0.8 <= at - NOW <= LONGEST_ASKED * 1.2
    assert wish is None or at - NOW >= min(wish, LONGEST_ASKED)
    assert not due(at, NOW)
    assert due(at, at)


def test_a_changed_clock_does_not_stop_checks() -> None:
    assert due(None, NOW)
    assert due(NOW + timedelta(days=900), NOW)
    assert not due(NOW + HOUR, NOW)
    assert bounded(timedelta(days=30)) == LONGEST_ASKED
    assert bounded(-HOUR) == timedelta()
