from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.release.rollout import PLANS, WHOLE, Rollout, Wave, parse_waves, position, waves_trouble
from tests.unit.model.release.channels import HOUR, NOW, rollouts, v

SECOND = timedelta(seconds=1)
FIVE = Rollout(NOW, (Wave(60, 10_000), Wave(240, 100_000), Wave(480, 300_000), Wave(600, 700_000), Wave(720, WHOLE)))


@pytest.mark.parametrize(
    ("hours", "share"), [(-1, 0), (0, 0), (0.5, 0.005), (1, 0.01), (2.5, 0.055), (4, 0.1), (8, 0.3), (12, 1), (99, 1)]
)
def test_the_share_grows_along_straight_lines(hours: float, share: float) -> None:
    assert FIVE.share(NOW + hours * HOUR) == pytest.approx(share)


@pytest.mark.parametrize(
    ("at", "hours", "wave"), [(0, 0, 1), (0.005, 0.5, 1), (0.01, 1, 2), (0.2, 6, 3), (0.85, 11, 5)]
)
def test_a_position_is_reached_on_the_line(at: float, hours: float, wave: int) -> None:
    reached = FIVE.reaches(at)
    assert reached is not None
    assert (reached - NOW).total_seconds() == pytest.approx(hours * 3600, abs=1e-3)
    assert FIVE.wave_of(at) == wave


def steepest(rollout: Rollout) -> float:
    """The largest rate of the waves, in shares a second."""
    rates, before = [0.0], Wave(0, rollout.base)
    for wave in rollout.waves:
        rates.append((wave.ppm - before.ppm) / WHOLE / ((wave.minutes - before.minutes) * 60))
        before = wave
    return max(rates)


@given(rollouts(), st.integers(0, 700_000), st.integers(1, 100_000))
def test_there_is_no_cliff(rollout: Rollout, after: int, seconds: int) -> None:
    """What becomes eligible within a time is at most the steepest wave's rate times that time."""
    first = max(rollout.start + timedelta(seconds=rollout.held_seconds), rollout.start) + after * SECOND
    grown = rollout.share(first + seconds * SECOND) - rollout.share(first)
    assert -1e-12 <= grown <= steepest(rollout) * seconds + 1e-9


@given(rollouts(), st.floats(0, 1, exclude_max=True))
def test_share_and_reaches_tell_the_same(rollout: Rollout, at: float) -> None:
    reached = rollout.reaches(at)
    if reached is None:
        assert rollout.share(NOW + 10_000 * HOUR) <= at
        assert rollout.wave_of(at) == 0 or at * WHOLE < rollout.base
    else:
        assert rollout.share(reached - SECOND) <= at + 1e-9
        assert rollout.share(reached + SECOND) >= at - 1e-9


@given(rollouts(), st.integers(0, 500_000), st.integers(0, 500_000))
def test_resuming_goes_on_where_it_stood(rollout: Rollout, stood: int, later: int) -> None:
    halted = rollout.halt(NOW)
    again = halted.resume(NOW + stood * SECOND)
    if rollout.start <= NOW:
        assert again.share(NOW + stood * SECOND) == pytest.approx(rollout.share(NOW))
        assert again.share(NOW + (stood + later) * SECOND) == pytest.approx(rollout.share(NOW + later * SECOND))
        assert halted.share(NOW + later * SECOND) == pytest.approx(rollout.share(NOW))


@given(rollouts(), st.sampled_from(sorted(PLANS)))
def test_other_waves_begin_at_the_share_that_was_reached(rollout: Rollout, plan: str) -> None:
    changed = rollout.changed(PLANS[plan][0], NOW)
    assert not waves_trouble(changed.waves, changed.base)
    if rollout.start <= NOW:
        assert changed.share(NOW) == pytest.approx(rollout.share(NOW), abs=1e-6)
    else:
        assert changed.start == rollout.start


@given(st.binary(min_size=16, max_size=32), st.integers(0, 50))
def test_a_position_is_below_one_and_reshuffled_by_version(secret: bytes, n: int) -> None:
    assert 0 <= position(secret, v(n)) < 1
    assert position(secret, v(n)) != position(secret, v(n + 1))


def test_positions_are_spread_evenly() -> None:
    found = sorted(position(n.to_bytes(16, "big"), v(1)) for n in range(10_000))
    assert max(abs(p - n / 10_000) for n, p in enumerate(found)) < 0.02


def test_a_position_is_the_documented_hash() -> None:
    # printf 'secret20261201.1' | sha256sum begins with these 8 bytes
    assert position(b"secret", v(1)) == pytest.approx(int("e8de38660ad442d3", 16) / 2**64)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_every_plan_is_smooth_and_whole(name: str) -> None:
    waves, _ = PLANS[name]
    assert waves_trouble(waves) == ""
    assert waves[-1].ppm == WHOLE
    assert parse_waves(name) == waves


def test_waves_as_a_person_writes_them() -> None:
    assert parse_waves("0.5:0.1,72:100") == (Wave(30, 1000), Wave(4320, WHOLE))


@pytest.mark.parametrize(
    "text",
    ["", "soon", "1", "1:2:3", "0:100", "4:10,4:20", "4:10,8:10", "8:10,4:20", "1:101", "1:nan", "inf:1", "99999:100"],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a valid plan of waves") as e:
        parse_waves(text)
    assert "default" in e.value.hint
