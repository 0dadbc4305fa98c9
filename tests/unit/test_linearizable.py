"""The checker itself: histories that must pass, histories that must fail, and small ones against a search by force."""

from __future__ import annotations

import random
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import linearizable
from tests.linearizable import Kind, Operation, TooHard, check


def read(value: str | None, start: float, end: float | None) -> Operation:
    return Operation("c", Kind.READ, value, start, end)


def write(value: str, start: float, end: float | None) -> Operation:
    return Operation("c", Kind.WRITE, value, start, end)


def cas(expected: str | None, value: str, start: float, end: float | None, done: bool | None = True) -> Operation:
    return Operation("c", Kind.CAS, value, start, end, expected, done)


GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "one after the other": [write("a", 0, 1), read("a", 2, 3), write("b", 4, 5), read("b", 6, 7)],
    "nothing is there yet": [read(None, 0, 1), write("a", 2, 3)],
    "a read meets a write, and sees it": [write("a", 0, 10), read("a", 1, 2), read("a", 3, 4)],
    "a read meets a write, and does not see it": [write("a", 0, 10), read(None, 1, 2), read("a", 3, 4)],
    "two writes that meet, in any order": [write("a", 0, 10), write("b", 1, 9), read("a", 11, 12), read("a", 13, 14)],
    "a write without an answer that happened": [write("a", 0, None), read(None, 1, 2), read("a", 3, 4)],
    "a write without an answer that never did": [write("a", 0, None), read(None, 1, 2), read(None, 3, 4)],
    "a write without an answer that happened late": [
        write("a", 0, None), write("b", 1, 2), read("b", 3, 4), read("a", 5, 6),
    ],
    "a cas that was first": [cas(None, "a", 0, 1), cas("a", "b", 2, 3), read("b", 4, 5)],
    "a cas that came too late": [write("a", 0, 1), cas(None, "b", 2, 3, False), read("a", 4, 5)],
    "one of two that meet": [cas(None, "a", 0, 9), cas(None, "b", 1, 8, False), read("a", 10, 11)],
    "a cas without an answer that happened": [cas(None, "a", 0, None, None), read("a", 5, 6)],
    "a read without an answer says nothing": [write("a", 0, 1), read(None, 2, None), read("a", 3, 4)],
}  # fmt: skip
BAD: dict[str, list[Operation]] = {
    "a stale read": [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],
    "a lost write": [write("a", 0, 1), read(None, 2, 3)],
    "a value that nobody wrote": [write("a", 0, 1), read("x", 2, 3)],
    "a read that goes back": [write("a", 0, 10), read("a", 1, 2), read(None, 3, 4)],
    "two that see two writes in two orders": [
        write("a", 0, 10), write("b", 0, 10), read("a", 11, 12), read("b", 13, 14),
    ],
    "a split brain: both cas are accepted": [cas(None, "a", 0, 9), cas(None, "b", 1, 8)],
    "a cas that had nothing against it": [cas(None, "a", 0, 1, False), read(None, 2, 3)],
    "a write without an answer, seen and gone again": [write("a", 0, None), read("a", 1, 2), read(None, 3, 4)],
    "a write from the future": [read("a", 0, 1), write("a", 2, 3)],
    "a cas without an answer, seen though it never fitted": [
        write("a", 0, 1), cas("x", "b", 2, None, None), read("b", 3, 4),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_what_one_register_can_do(history: list[Operation]) -> None:
    assert check(history).is_linearizable


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_what_no_register_does(history: list[Operation]) -> None:
    finding = check(history)
    assert not finding.is_linearizable and finding.stuck


def by_force(history: list[Operation]) -> bool:
    """Every choice of those without an answer, in every order that time allows."""
    sure = [op for op in history if op.end is not None]
    unsure = [op for op in history if op.end is None and op.kind is not Kind.READ]
    for count in range(len(unsure) + 1):
        for some in combinations(unsure, count):
            for order in permutations([*sure, *some]):
                if _in_time(order) and _answers(order):
                    return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.end is not None and later.end < earlier.start
        for n, earlier in enumerate(order)
        for later in order[n + 1 :]
    )


def _answers(order: tuple[Operation, ...]) -> bool:
    value: str | None = None
    for op in order:
        allowed, value = op.after(value)
        if not allowed:
            return False
    return True


VALUES = st.sampled_from(["a", "b"])


@st.composite
def operations(draw: Any) -> Operation:
    start = draw(st.integers(0, 8))
    end = draw(st.one_of(st.none(), st.integers(start, 9)))
    kind = draw(st.sampled_from(list(Kind)))
    if kind is Kind.READ:
        return read(draw(st.one_of(st.none(), VALUES)), start, end)
    if kind is Kind.WRITE:
        return write(draw(VALUES), start, end)
    done = draw(st.booleans()) if end is not None else None
    return cas(draw(st.one_of(st.none(), VALUES)), draw(VALUES), start, end, done)


@settings(max_examples=400, deadline=None)
@given(history=st.lists(operations(), max_size=5))
def test_it_finds_what_a_search_by_force_finds(history: list[Operation]) -> None:
    assert check(history).is_linearizable == by_force(history)


def simulated(seed: int, clients: int, count: int) -> list[Operation]:
    """What clients of a true register see: each operation happens at one moment within its time; some get no answer."""
    chance, value, history = random.Random(seed), None, []
    pending = []
    for client in range(clients):
        now = 0.0
        for n in range(count):
            start = now + chance.random()
            moment = start + chance.random()
            now = moment + chance.random()
            pending.append((moment, start, now, client, f"{client}-{n}"))
    last: dict[int, str | None] = {}
    for moment, start, end, client, name in sorted(pending):
        kind = chance.choice(list(Kind))
        has_answer = chance.random() > 0.02
        at = end if has_answer else None
        if kind is Kind.READ:
            last[client] = value
            history.append(Operation(f"{client}", kind, value, start, at))
        elif kind is Kind.WRITE:
            value = name
            history.append(Operation(f"{client}", kind, name, start, at))
        else:
            expected = last.get(client)
            done = value == expected
            value = name if done else value
            history.append(Operation(f"{client}", kind, name, start, at, expected, done if has_answer else None))
        assert start <= moment <= end
    return history


@pytest.mark.parametrize("seed", range(6))
def test_long_histories_of_a_true_register_pass_and_one_stale_read_is_found(seed: int) -> None:
    history = simulated(seed, clients=5, count=150)
    assert check(history).is_linearizable
    chance = random.Random(seed)
    reads = [n for n, op in enumerate(history) if op.kind is Kind.READ and op.end is not None and n > 100]
    spoiled = list(history)
    number = chance.choice(reads)
    op = history[number]
    old = next(each.value for each in history if each.kind is Kind.WRITE and each.end is not None)
    assert op.value != old  # it was overwritten long before
    spoiled[number] = Operation(op.client, Kind.READ, old, op.start, op.end)
    assert not check(spoiled).is_linearizable


def test_it_says_when_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizable, "MOST_STEPS", 100)
    with pytest.raises(TooHard, match="operations were not decided"):
        check(simulated(1, 5, 100))
