"""Who may do what: the table, and what it never allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.cluster.access import PEOPLE, RIGHTS, Access, Caller, Right, refusal

MACHINES = st.text("0123456789abcdef", min_size=32, max_size=32)


def test_every_right_is_somebodys_and_every_role_has_one() -> None:
    assert set(RIGHTS) == set(Right)
    assert all(RIGHTS.values())
    assert set().union(*RIGHTS.values()) == set(Access)


@given(own=MACHINES, other=MACHINES, right=st.sampled_from(Right))
def test_a_machine_has_rights_on_itself_alone(own: str, other: str, right: Right) -> None:
    machine = Caller(Access.MACHINE, own, "certificate")
    may = not refusal(machine, right, other)
    assert may == (own == other and Access.MACHINE in RIGHTS[right])


@given(access=st.sampled_from(PEOPLE), right=st.sampled_from(Right), machine=MACHINES)
def test_people_have_no_rights_of_machines(access: Access, right: Right, machine: str) -> None:
    who = Caller(access, machine, "certificate")  # even one that is called like a machine
    assert (not refusal(who, right, machine)) == (access in RIGHTS[right])
    if Access.MACHINE in RIGHTS[right]:
        assert refusal(who, right, machine)


@pytest.mark.parametrize("right", Right)
def test_nobody_may_nothing(right: Right) -> None:
    assert "not known" in refusal(None, right)


def test_words() -> None:
    viewer = Caller(Access.VIEWER, "eve", "bearer token")
    assert refusal(viewer, Right.EXPEL) == "viewer eve may not expel machines: that is for admin"
    machine = Caller(Access.MACHINE, "1" * 32, "certificate")
    assert refusal(machine, Right.REPORT, "2" * 32).endswith(f"only for itself, not for machine {'2' * 32}")
