"""Is a history of a register linearizable? A checker that knows nothing of the store, and imports nothing of it.

A history is what clients saw: each operation with the moment it was asked for, the moment it was answered, and the
answer. It is linearizable when every operation can be given one moment between the two, so that a single register that
does them one after the other in the order of those moments gives all the same answers (Herlihy and Wing, 1990). Of
several registers it is so exactly when each register's is: they are checked one by one.

How: Wing and Gong's search (1993) in Lowe's form (2017): walk the events in time; take an operation whose call has been
seen as the next one, if the register allows its answer; go back when an answer is met whose operation was not taken. A
pair of (operations taken, value) that was seen before is not looked at again.

An operation without an answer (`end` is None) may have happened at any moment after it was asked for, or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_STEPS = 2_000_000


class Kind(StrEnum):
    READ = "read"
    WRITE = "write"
    CAS = "cas"


@dataclass(frozen=True)
class Operation:
    """`value`: what was read, or is written; `expected` and `done`: of a cas, what it needed and whether it happened.
    None as a value is "nothing is there". `client` tells whose it was, for people.
    """

    client: str
    kind: Kind
    value: str | None
    start: float
    end: float | None
    expected: str | None = None
    done: bool | None = None

    def after(self, now: str | None) -> tuple[bool, str | None]:
        """Whether the register may give this answer when it holds `now`, and what it holds then."""
        match self.kind:
            case Kind.READ:
                return now == self.value, now
            case Kind.WRITE:
                return True, self.value
            case Kind.CAS:
                if self.done is False:
                    return now != self.expected, now
                return now == self.expected, self.value


class TooHard(Exception):
    """The search was given up: the history says neither."""


@dataclass(frozen=True)
class Finding:
    """`is_linearizable`; when it is not, `stuck` has the operations at the furthest place the search came to."""

    is_linearizable: bool
    stuck: tuple[Operation, ...] = ()


class _Event:
    """A call or an answer in the list of what is still to be placed; `answer` is a call's own, None for never."""

    __slots__ = ("after", "answer", "before", "op")

    def __init__(self, op: int, answer: _Event | None = None) -> None:
        self.op, self.answer = op, answer
        self.before: _Event | None = None
        self.after: _Event | None = None

    def lift(self) -> None:
        for event in (self, self.answer):
            if event is not None:
                assert event.before is not None
                event.before.after = event.after
                if event.after is not None:
                    event.after.before = event.before

    def unlift(self) -> None:
        for event in (self.answer, self):  # in the other order than they were lifted
            if event is not None:
                assert event.before is not None
                event.before.after = event
                if event.after is not None:
                    event.after.before = event


def check(history: Iterable[Operation], initial: str | None = None) -> Finding:
    """Of one register. Raises TooHard after MOST_STEPS."""
    # a read without an answer says nothing, and changes nothing
    ops = [op for op in history if not (op.kind is Kind.READ and op.end is None)]
    head, calls = _events(ops)
    taken, value, place, steps, furthest = 0, initial, head.after, 0, (0, head.after)
    stack: list[tuple[_Event, str | None]] = []
    seen: set[tuple[int, str | None]] = set()
    left = sum(op.end is not None for op in ops)
    while left:
        steps += 1
        if steps > MOST_STEPS:
            raise TooHard(f"{len(ops)} operations were not decided within {MOST_STEPS} steps")
        if place is not None and place in calls:
            allowed, new = ops[place.op].after(value)
            if allowed and (key := (taken | 1 << place.op, new)) not in seen:
                seen.add(key)
                stack.append((place, value))
                taken, value = key
                left -= place.answer is not None
                place.lift()
                place = head.after
                if len(stack) > furthest[0]:
                    furthest = (len(stack), place)
            else:
                place = place.after
            continue
        # an answer whose operation was not taken, or the end: the last that was taken was the wrong one
        if not stack:
            return Finding(False, _around(ops, furthest[1], calls))
        call, value = stack.pop()
        taken &= ~(1 << call.op)
        left += call.answer is not None
        call.unlift()
        place = call.after
    return Finding(True)


def _events(ops: Sequence[Operation]) -> tuple[_Event, set[_Event]]:
    """The list, behind a head that is no event; and which of it are calls."""
    timed: list[tuple[float, int, _Event]] = []
    calls = set()
    for number, op in enumerate(ops):
        answer = None
        if op.end is not None:
            assert op.end >= op.start
            answer = _Event(number)
            timed.append((op.end, 1, answer))  # of one moment the calls come first: they may have met
        call = _Event(number, answer)
        calls.add(call)
        timed.append((op.start, 0, call))
    head = last = _Event(-1)
    for _, _, event in sorted(timed, key=lambda each: each[:2]):
        last.after, event.before = event, last
        last = event
    return head, calls


def _around(ops: Sequence[Operation], place: _Event | None, calls: set[_Event]) -> tuple[Operation, ...]:
    found: list[Operation] = []
    while place is not None and len(found) < 8:
        if place in calls:
            found.append(ops[place.op])
        place = place.after
    return tuple(found)
