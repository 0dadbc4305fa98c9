from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.cluster.snapshots import RETRY, Schedule, SnapshotName, due, superfluous

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOURS = [NOW - timedelta(hours=n) for n in range(30)]
SIX = Schedule(timedelta(hours=6), 3)
MACHINE = "37216fc2"
NAMES = st.builds(
    SnapshotName,
    st.integers(0, 1 << 32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.integers(0, 10**15),
    st.just(MACHINE),
)


@given(NAMES)
def test_name_says_when_at_which_revision_and_whose(name: SnapshotName) -> None:
    assert SnapshotName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text", ["", "a.snapshot", "20261301T000000Z-r1-37216fc2.snapshot", "20261201T000000Z-r1-37216fc2.snapshot.part"]
)
def test_other_file_is_none_and_left_alone(text: str) -> None:
    assert SnapshotName.parse(text) is None
    assert superfluous([text] * 5, 1) == []


@pytest.mark.parametrize(
    ("last", "tried", "expected"),
    [
        (None, None, True),
        (HOURS[5], None, False),
        (HOURS[6], None, True),
        (None, NOW - RETRY / 2, False),
        (None, NOW - RETRY, True),
        (NOW + timedelta(days=900), None, True),  # it was taken while the clock was ahead
        (None, NOW + timedelta(days=900), True),
    ],
)
def test_one_is_due(last: datetime | None, tried: datetime | None, expected: bool) -> None:
    assert due(SIX, last, tried, NOW) == expected


@given(st.lists(NAMES, max_size=20, unique_by=lambda n: n.revision), st.integers(1, 10))
def test_the_newest_stay_by_what_they_hold_and_not_by_the_clock(names: list[SnapshotName], keep: int) -> None:
    gone = set(superfluous([str(name) for name in names], keep))
    stay = {name.revision for name in names if str(name) not in gone}
    assert stay == set(sorted((name.revision for name in names), reverse=True)[:keep])
