from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.update import state as update
from orlop.model.update.state import KINDS, State, Target, WrongState
from orlop.model.words.version import Version

V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
TARGET = Target(V2, "ab" * 32)
STATES: dict[str, State] = {
    "idle": update.Idle(),
    "checking": update.Checking(),
    "available": update.Available(TARGET),
    "fetching": update.Fetching(TARGET),
    "verifying": update.Verifying(TARGET),
    "staged": update.Staged(TARGET),
    "rebooting": update.Rebooting(TARGET, V1),
    "booted": update.Booted(TARGET, V1),
    "healthy": update.Healthy(TARGET, V1),
    "blessed": update.Blessed(TARGET),
    "failed": update.Failed(TARGET, "x"),
    "reverted": update.Reverted(TARGET, "x"),
    "denylisted": update.Denylisted(TARGET, "x"),
}
NEWER = Target(V3, "cd" * 32)
TRANSITIONS: dict[Callable[..., State], tuple[tuple[Any, ...], str, str]] = {
    update.check: ((), "idle", "checking"),
    update.nothing: ((), "checking", "idle"),
    update.found: ((TARGET,), "checking", "available"),
    update.replace: ((NEWER,), "available fetching verifying staged booted healthy failed reverted", "available"),
    update.fetch: ((), "available verifying", "fetching"),
    update.fetched: ((), "fetching", "verifying"),
    update.stage: ((), "verifying", "staged"),
    update.drop: ((), "checking available fetching verifying staged", "idle"),
    update.reboot: ((V1,), "staged", "rebooting"),
    update.stayed: ((), "rebooting", "staged"),
    update.unstaged: ((), "staged rebooting", "available"),
    update.booted: ((), "staged rebooting", "booted"),
    update.healthy: ((), "booted failed", "healthy"),
    update.bless: ((), "healthy", "blessed"),
    update.fail: (("x",), "booted healthy", "failed"),
    update.revert: (("x",), "staged rebooting booted healthy failed", "reverted"),
    update.denylist: ((), "reverted", "denylisted"),
    update.excuse: ((), "reverted", "idle"),
    update.settle: ((), "blessed denylisted", "idle"),
}


# names, not str(function): where it lies in memory differs between the processes that share the tests
@pytest.mark.parametrize("origin", STATES)
@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda transition: transition.__name__)
def test_a_transition_starts_from_its_origins_and_from_no_other(transition: Callable[..., State], origin: str) -> None:
    arguments, origins, result = TRANSITIONS[transition]
    if origin in origins.split():
        assert update.name_of(transition(STATES[origin], *arguments)) == result
    else:
        with pytest.raises(WrongState, match=f"while {origin}"):
            transition(STATES[origin], *arguments)


def test_every_state_is_here_and_can_be_reached() -> None:
    assert {type(s) for s in STATES.values()} == set(KINDS)
    reached = {"idle"}
    for _ in STATES:
        reached |= {to for _, origins, to in TRANSITIONS.values() if reached & set(origins.split())}
    assert reached == set(STATES)


def test_only_what_is_newer_or_named_replaces() -> None:
    with pytest.raises(WrongState, match="which is newer"):
        update.replace(update.Staged(TARGET), Target(V1, "ab" * 32))
    named = Target(V1, "ab" * 32, "named")
    assert update.replace(update.Staged(TARGET), named) == update.Available(named)


@pytest.mark.parametrize("state", STATES.values(), ids=update.name_of)
def test_a_state_is_read_back(state: State) -> None:
    assert update.from_json(update.to_json(state)) == state


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_what_is_no_state_is_refused(values: object) -> None:
    with pytest.raises(BadInput):
        update.from_json(values)


def test_a_state_without_its_fields_is_refused() -> None:
    with pytest.raises(BadInput, match=r"state\.version is missing"):
        update.from_json({"is": "staged"})
    with pytest.raises(BadInput, match=r"state\.is is 'flying', must be one of"):
        update.from_json({"is": "flying"})


@pytest.mark.parametrize(
    ("tried", "running", "state"),
    [
        (False, False, update.Staged(TARGET)),
        (True, False, update.Reverted(TARGET, "why", ("a",))),
        (False, True, update.Booted(TARGET, None)),
        (True, True, update.Booted(TARGET, None)),
    ],
)
def test_what_the_journal_lost_is_read_from_the_disk(tried: bool, running: bool, state: State) -> None:
    assert update.lost(TARGET, tried=tried, running=running, reason="why", failed=("a",)) == state


def test_what_is_lost_without_a_reason_has_none() -> None:
    assert update.lost(TARGET, tried=True, running=False) == update.Reverted(TARGET, "", ())
    assert update.lost(TARGET, tried=False, running=False) == update.Staged(TARGET)


def test_why_a_boot_failed_goes_with_it() -> None:
    failed = update.fail(update.Booted(TARGET, V1), "why", ("a", "b"))
    assert failed == update.Failed(TARGET, "why", ("a", "b"))
    assert update.revert(failed, "it went back") == update.Reverted(TARGET, "it went back", ("a", "b"))
    assert update.healthy(failed) == update.Healthy(TARGET, None)
    assert update.healthy(update.Booted(TARGET, V1)) == update.Healthy(TARGET, V1)


@pytest.mark.parametrize(
    ("transition", "words"),
    [
        (lambda state: update.reboot(state, V1), "reboot"),
        (update.stayed, "stay"),
        (update.unstaged, "stage again"),
        (update.booted, "boot the new version"),
        (update.healthy, "call the boot healthy"),
        (lambda state: update.fail(state, ""), "call the boot failed"),
        (update.bless, "bless"),
        (update.denylist, "deny the version"),
        (update.excuse, "excuse the version"),
        (update.settle, "settle"),
    ],
)
def test_what_cannot_be_done_is_said(transition: Callable[[State], State], words: str) -> None:
    with pytest.raises(WrongState) as caught:
        transition(update.Checking())
    assert words in str(caught.value) and "checking" in str(caught.value)
