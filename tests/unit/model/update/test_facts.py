from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.update.boot import Uki
from orlop.model.update.facts import Facts, reconcile
from orlop.model.update.state import (
    Available,
    Blessed,
    Booted,
    Checking,
    Failed,
    Fetching,
    Healthy,
    Idle,
    Rebooting,
    Reverted,
    Staged,
    State,
    Target,
    Verifying,
)
from orlop.model.words.version import Version

V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
H1, H2, H3 = ("11" * 32, "22" * 32, "33" * 32)
T1, T2, T3 = Target(V1, H1), Target(V2, H2), Target(V3, H3)


def facts(running: Version, other: Version | None, *ukis: Uki) -> Facts:
    hashes = {V1: H1, V2: H2, V3: H3, None: ""}
    return Facts(running, hashes[running], other, hashes[other], tuple(u.name for u in ukis))


ROLLBACK = replace(T2, why="rollback")
STAGED = facts(V1, V2, Uki(V1), Uki.fresh(V2))
FAILED = facts(V1, V2, Uki(V1), Uki(V2, 0, 3))
TRYING = facts(V2, V1, Uki(V1), Uki(V2, 2, 1))
LAST_TRY = facts(V2, V1, Uki(V1), Uki(V2, 0, 3))
PROVEN = facts(V2, V1, Uki(V1), Uki(V2))
ALONE = facts(V2, None, Uki(V2, 2, 1))
FIRST_OF_ALL = facts(V1, V2, Uki(V1, 2, 1), Uki.fresh(V2))  # staged while the only version had not proven itself
BARE = facts(V1, None, Uki(V1))


@pytest.mark.parametrize(
    ("state", "seen", "becomes"),
    [
        (Idle(), BARE, Idle()),
        (Idle(), PROVEN, Idle()),
        (Staged(T2), STAGED, Staged(T2)),
        (Rebooting(T2, V1), STAGED, Staged(T2)),
        (Rebooting(T2, V1), TRYING, Booted(T2, V1)),
        (Rebooting(T2, V1), LAST_TRY, Booted(T2, V1)),
        (Rebooting(T2, V1), PROVEN, Blessed(T2)),
        (Staged(T2), TRYING, Booted(T2, None)),
        (Booted(T2, V1), TRYING, Booted(T2, V1)),
        (Healthy(T2, V1), PROVEN, Blessed(T2)),
        (Staged(T2), BARE, Available(T2)),
        (Rebooting(T2, V1), facts(V1, V2, Uki(V1)), Available(T2)),
        # the journal was lost
        (Idle(), STAGED, Staged(T2)),
        (Idle(), TRYING, Booted(T2, None)),
        (Checking(), LAST_TRY, Booted(T2, None)),
        (Idle(), facts(V2, V1, Uki.fresh(V1), Uki(V2)), Idle()),  # an older one that nothing starts
        # the journal fell behind
        (Booted(T2, V1), facts(V3, V2, Uki(V2), Uki(V3, 2, 1)), Booted(T3, None)),
        (Booted(T2, None), facts(V3, V2, Uki(V2, 9, 3), Uki(V3, 2, 1)), Booted(T3, None)),
        (Failed(T2, "x"), facts(V3, V2, Uki(V2, 9, 3), Uki(V3, 2, 1)), Booted(T3, None)),
        (
            Booted(replace(T2, why="pull-back"), V3),
            facts(V3, V2, Uki(V2, 0, 3), Uki(V3, 0, 1)),
            Reverted(replace(T2, why="pull-back"), f"{V2} did not become healthy"),
        ),
        (Staged(T2), facts(V3, V2, Uki(V2), Uki(V3)), Idle()),
        (Staged(ROLLBACK), facts(V3, V2, Uki(V2), Uki(V3)), Idle()),  # V3 is not denied: it ended long ago
        (Fetching(T2), TRYING, Booted(T2, None)),
        (Fetching(T2), PROVEN, Idle()),
        *((kind(T1), facts(V2, None, Uki(V2)), Idle()) for kind in (Available, Fetching, Verifying, Staged)),
        (Verifying(replace(T1, why="pull-back")), PROVEN, Verifying(replace(T1, why="pull-back"))),
        (Fetching(replace(T1, why="named")), PROVEN, Fetching(replace(T1, why="named"))),
        (Fetching(T2), STAGED, Staged(T2)),
        (Verifying(T2), STAGED, Staged(T2)),
        (Fetching(T2), BARE, Fetching(T2)),
        (Available(T3), STAGED, Available(T3)),  # it replaces what is staged
        (Available(T3), TRYING, Booted(T2, None)),  # but not what has yet to prove itself
        (Failed(T2, "x"), TRYING, Failed(T2, "x")),
        (Failed(T2, "x"), FAILED, Reverted(T2, "x")),
        # nothing to go back to
        (Failed(T2, "x"), ALONE, Failed(T2, "x")),
        (Failed(T2, "x"), PROVEN, Blessed(T2)),  # mended, and a later boot of it was good
        (Idle(), ALONE, Booted(T2, None)),
        (Fetching(T3), ALONE, Fetching(T3)),
        (Idle(), FIRST_OF_ALL, Staged(T2)),
        (Verifying(T2), FIRST_OF_ALL, Staged(T2)),
        (Idle(), facts(V1, V2, Uki(V1, 2, 1), Uki(V2, 0, 3)), Booted(T1, None)),
    ],
)
def test_the_disk_decides(state: State, seen: Facts, becomes: State) -> None:
    found, _ = reconcile(state, seen)
    assert found == becomes


@pytest.mark.parametrize(
    "state", [Staged(T2), Rebooting(T2, V1), Booted(T2, V1), Healthy(T2, V1), Idle(), Fetching(T2)]
)
def test_a_version_whose_tries_are_used_up_has_failed(state: State) -> None:
    found, why = reconcile(state, FAILED)
    assert isinstance(found, Reverted) and found.target == T2
    assert why


def test_a_failure_that_is_known_is_not_found_again() -> None:
    assert reconcile(Idle(), FAILED, frozenset({V2})) == (Idle(), "")


def test_a_rollback_goes_on_while_the_running_version_is_denied() -> None:
    seen = facts(V3, V2, Uki(V2), Uki(V3))
    assert reconcile(Rebooting(ROLLBACK, V3), seen, frozenset({V3}))[0] == Staged(ROLLBACK)


versions = st.sampled_from([V1, V2, V3])
some_facts = st.builds(
    facts, versions, versions | st.none(), st.builds(Uki, versions, st.none() | st.integers(0, 3), st.integers(0, 3))
)


@pytest.mark.parametrize(
    ("seen", "way_back"),
    [
        (BARE, False),
        (TRYING, True),
        (facts(V2, V1, Uki(V2, 2, 1)), False),  # its UKI is gone
        (facts(V2, V1, Uki(V1, 0, 3), Uki(V2, 2, 1)), False),  # it failed
        (facts(V2, V1, Uki(V1, 0, 0), Uki(V2, 2, 1)), True),  # it was set aside
        (facts(V2, V1, Uki(V1, 2, 1), Uki(V2, 2, 1)), True),  # it has not proven itself either
        (FIRST_OF_ALL, False),  # newer, and not tried yet: forward
        (facts(V1, V2, Uki(V1, 2, 1), Uki(V2)), True),
    ],
)
def test_what_can_be_fallen_back_to(seen: Facts, way_back: bool) -> None:
    assert seen.way_back == way_back


states = st.one_of(
    st.just(Idle()), st.just(Checking()),
    *(st.builds(kind, st.sampled_from([T1, T2, T3])) for kind in (Available, Fetching, Verifying, Staged, Blessed)),
    st.builds(Rebooting, st.sampled_from([T2, T3]), st.just(V1)), st.builds(Booted, st.just(T2), st.none()),
)  # fmt: skip


@given(states, some_facts)
def test_whatever_is_remembered_once_is_enough(state: State, seen: Facts) -> None:
    found, _ = reconcile(state, seen)
    again, _ = reconcile(found, seen)
    assert again == found or isinstance(found, Idle | Available)
    if seen.unproven and seen.way_back and not isinstance(found, Blessed | Reverted | Idle):
        assert isinstance(found, Booted | Healthy | Failed | Staged | Available)
