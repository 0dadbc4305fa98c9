"""How long one try of a write may take: short where writes are quick, patient where they are slow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orlop.store.etcd.client import LEAST_SECONDS, MOST_SECONDS, TryTime


def after(*seconds: float) -> TryTime:
    made = TryTime()
    for each in seconds:
        made.took(each)
    return made


def test_a_quick_store_is_left_soon_and_a_slow_one_is_waited_for() -> None:
    assert TryTime().of(0) == LEAST_SECONDS
    assert after(*[0.005] * 50).of(0) == LEAST_SECONDS
    assert 0.7 < after(*[0.1] * 50).of(0) < 0.81
    assert after(*[0.6] * 50).of(0) == MOST_SECONDS


def test_one_slow_write_does_not_make_it_patient() -> None:
    assert after(*[0.005] * 50, 0.25).of(0) < 0.5
    assert after(*[0.6] * 50, *[0.005] * 40).of(0) == LEAST_SECONDS  # nor does a time that is over


def test_after_the_leader_is_gone_there_are_several_tries_in_the_time_of_an_election() -> None:
    spent = [sum(after(0.005).of(n) for n in range(count)) for count in range(1, 6)]
    assert spent[2] < 0.8 and spent[3] < 1.1


@given(seconds=st.lists(st.floats(0, 5), max_size=30), tries=st.integers(0, 60))
def test_it_stays_within_its_bounds_and_grows_with_each_try(seconds: list[float], tries: int) -> None:
    made = after(*seconds)
    times = [made.of(n) for n in range(tries + 2)]
    assert all(LEAST_SECONDS <= each <= MOST_SECONDS for each in times)
    assert all(one <= other for one, other in pairwise(times))
