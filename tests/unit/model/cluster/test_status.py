from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.cluster.environment import MemberOptions, environment
from orlop.model.cluster.member import Member
from orlop.model.cluster.names import Role
from orlop.model.cluster.status import ClusterStatus, MemberStatus, lines, parse, text

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)
numbers = st.integers(0, 1 << 50)
members = st.builds(
    MemberStatus,
    st.just("") | words,
    words,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    numbers,
    numbers,
    numbers,
    st.lists(words, max_size=2).map(tuple),
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda m: m.replace(microsecond=0)
)
statuses = st.builds(
    ClusterStatus,
    words,
    st.sampled_from(Role),
    words,
    moments,
    st.booleans(),
    words,
    st.integers(0, 5),
    st.lists(members, max_size=3).map(tuple),
    st.integers(0, 3),
    st.none() | moments,
)


@given(statuses)
def test_status_is_read_as_it_was_written(status: ClusterStatus) -> None:
    assert parse(text(status).encode()) == status
    assert list(lines(status, status.at))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"schema": 2}'])
def test_what_is_not_a_status_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        parse(raw)


def test_old_status_says_that_it_is_old() -> None:
    status = ClusterStatus("demo", Role.SERVER, "m", NOW, True, "3 of 3 members answer")
    assert not any("has not looked since" in line for line in lines(status, NOW + timedelta(seconds=29)))
    assert any("has not looked since" in line for line in lines(status, NOW + timedelta(seconds=31)))


def test_member_that_does_not_answer_is_not_said_to_be_caught_up() -> None:
    status = ClusterStatus("demo", Role.SERVER, "m", NOW, False, "w", 3, (MemberStatus("n2-0", "10.0.0.2"),))
    (line,) = (line for line in lines(status, NOW) if "n2-0" in line)
    assert line.endswith("follower, does not answer")
    assert json.loads(text(status))["members"][0]["answers"] is False


def test_first_member_makes_a_store_of_itself_alone() -> None:
    made = environment(MemberOptions("demo", "n1-0", "10.0.0.1"))
    assert made["ETCD_INITIAL_CLUSTER"] == "n1-0=https://10.0.0.1:2380"
    assert made["ETCD_INITIAL_CLUSTER_STATE"] == "new"
    assert made["ETCD_CLIENT_CERT_AUTH"] == made["ETCD_PEER_CLIENT_CERT_AUTH"] == "true"


def test_member_that_joins_names_all_others_and_itself_once() -> None:
    others = (
        Member(1, "n1-0", "https://10.0.0.1:2380"),
        Member(2, "", "https://10.0.0.2:2380", is_learner=True),  # itself, as it was added
    )
    made = environment(MemberOptions("demo", "n2-0", "10.0.0.2", others, joins=True))
    assert made["ETCD_INITIAL_CLUSTER"] == "n2-0=https://10.0.0.2:2380,n1-0=https://10.0.0.1:2380"
    assert made["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
