from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.cluster.certificates import MEMBER_LIFE, Life, alternative_names
from orlop.model.cluster.names import machine_of, url

BEGINS = datetime(2026, 11, 28, tzinfo=UTC)
LIFE = Life(BEGINS, BEGINS + MEMBER_LIFE)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (-9 * 365, "clock was set back"),
        (0, ""),
        (29, ""),
        (30, "a third of its life is over"),
        (89, "a third of its life is over"),
        (90, "it ended at"),
        (9 * 365, "it ended at"),
    ],
)
def test_certificate_is_made_anew_long_before_its_end_and_whenever_it_is_not_valid(days: int, said: str) -> None:
    due = LIFE.due(BEGINS + timedelta(days=days))
    assert said in due
    assert bool(due) is bool(said)


@given(st.datetimes(timezones=st.just(UTC)))
def test_certificate_that_is_not_due_is_valid_for_long(now: datetime) -> None:
    assert LIFE.due(now) or (LIFE.begins <= now and LIFE.ends - now >= MEMBER_LIFE * 2 / 3)


def test_names_and_addresses_of_a_certificate_are_told_apart() -> None:
    names = alternative_names(["10.77.0.11", "n1", "fd77::11", "n1"])
    assert names == "DNS:localhost,IP:127.0.0.1,IP:::1,IP:10.77.0.11,DNS:n1,IP:fd77::11"


def test_addresses_of_ipv6_stand_in_brackets() -> None:
    assert url("fd77::1", 2379) == "https://[fd77::1]:2379"
    assert url("n1", 2379) == "https://n1:2379"


def test_machine_is_known_by_its_id_whatever_space_is_around_it() -> None:
    assert machine_of("0123456789abcdef0123456789abcdef\n") == machine_of("0123456789abcdef0123456789abcdef")
    assert machine_of("0123456789abcdef0123456789abcdef") != machine_of("0123456789abcdef0123456789abcdee")
