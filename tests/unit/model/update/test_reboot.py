from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.update.reboot import Immediate, Off, Window, may_reboot

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(days: str = "", start: str = "02:30", minutes: int = 60, zone: str = BERLIN) -> Window:
    return Window.of(days=days.split(), start=time.fromisoformat(start), minutes=minutes, zone=zone)


@pytest.mark.parametrize(
    ("found", "now", "is_open"),
    [
        (window(), "2026-12-01T01:29:59", False),
        (window(), "2026-12-01T01:30:00", True),  # 02:30 in Berlin's winter
        (window(), "2026-12-01T02:29:59", True),
        (window(), "2026-12-01T02:30:00", False),
        (window(), "2026-07-01T00:30:00", True),  # 02:30 in its summer
        (window("tue"), "2026-12-01T02:00:00", True),  # a Tuesday
        (window("mon"), "2026-12-01T02:00:00", False),
        (window("mon", "23:30", 120), "2026-12-01T00:00:00", True),  # begun on Monday
        (window("sun", "23:00", 24 * 60 * 7), "2026-12-05T00:00:00", True),
        # the clock goes from 02:00 to 03:00 on 2026-03-29: 02:30 is not, the window opens at 01:30 UTC
        (window(), "2026-03-29T01:29:59", False),
        (window(), "2026-03-29T01:30:00", True),
        (window(), "2026-03-29T02:30:00", False),
        # it goes from 03:00 to 02:00 on 2026-10-25: 02:30 is twice, the window opens once, at 00:30 UTC
        (window(), "2026-10-25T00:30:00", True),
        (window(), "2026-10-25T01:29:59", True),
        (window(), "2026-10-25T01:30:00", False),
    ],
)
def test_when_a_window_is_open(found: Window, now: str, is_open: bool) -> None:
    assert (found.opened(at(now)) is not None) == is_open


@given(
    st.integers(0, 17 * 365 * 86400).map(lambda s: at("2020-01-01T00:00:00") + timedelta(seconds=s)),
    st.sets(st.sampled_from(["mon", "wed", "sun"]), min_size=1),
    st.sampled_from(["00:00", "02:30", "23:59"]),
    st.integers(1, 600),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_the_next_opening_is_the_first_moment_that_is_open(
    now: datetime, days: set[str], start: str, minutes: int, zone: str
) -> None:
    found = window(" ".join(days), start, minutes, zone)
    opens = found.opens(now)
    assert now < opens <= now + timedelta(days=8, hours=1)
    assert found.opened(opens) == opens
    before = found.opened(opens - timedelta(seconds=1))
    assert before is None or before < opens


def test_a_zone_that_the_system_lacks_is_named() -> None:
    with pytest.raises(BadInput, match="this system has no time zone 'Middle/Earth'"):
        window(zone="Middle/Earth")


def test_the_strategies() -> None:
    now = at("2026-12-01T12:00:00")
    assert may_reboot(Immediate(), now, sessions=0, since=None).now
    assert not may_reboot(Off(), now, sessions=0, since=None).now
    closed = may_reboot(window(), now, sessions=0, since=None)
    assert (closed.now, closed.again) == (False, at("2026-12-02T01:30:00"))
    assert closed.reason == "the next reboot window opens 2026-12-02 01:30 UTC"


def test_somebody_who_is_logged_in_delays_it_once() -> None:
    now = at("2026-12-01T12:00:00")
    first = may_reboot(Immediate(), now, sessions=2, since=None)
    assert (first.now, first.logins, first.again) == (False, True, now + timedelta(minutes=10))
    later = may_reboot(Immediate(), now + timedelta(minutes=9), sessions=1, since=now)
    assert not later.now and later.again == first.again
    assert may_reboot(Immediate(), now + timedelta(minutes=10), sessions=1, since=now).now
