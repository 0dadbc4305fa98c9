"""Two machines of one identity are noticed, and one machine alone never is called two."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.cluster.boots import LATE, MOST, BootCopy, BootVerdict, KnownBoots, judge
from orlop.model.cluster.machine import AWAY

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
A, B, C = ("a" * 36, "b" * 36, "c" * 36)
HALF = timedelta(seconds=30)


class Heard:
    """What a server knows, as reports come."""

    def __init__(self) -> None:
        self.known: KnownBoots | None = None
        self.now = NOW

    def report(self, boot: str, after: timedelta = HALF, address: str = "10.0.0.1") -> BootVerdict:
        self.now += after
        verdict = judge(self.known, boot, address, self.now)
        self.known = KnownBoots.read(verdict.known.text())
        assert self.known == verdict.known
        return verdict


def test_a_machine_that_reboots_is_one() -> None:
    heard = Heard()
    for boot in (A, A, B, B, C, C):
        assert heard.report(boot) == BootVerdict(heard.known)  # type: ignore[arg-type]
    assert heard.known is not None
    assert heard.known.before == (B, A) and not heard.known.copies


def test_what_was_said_before_a_boot_and_arrives_late_is_nothing() -> None:
    heard = Heard()
    heard.report(A)
    heard.report(B)
    late = heard.report(A, LATE)
    assert late.is_late and not late.refused and not late.news
    assert heard.report(B) == BootVerdict(heard.known)  # type: ignore[arg-type]


def test_a_copy_is_refused_and_the_first_goes_on() -> None:
    heard = Heard()
    heard.report(A)
    heard.report(B, timedelta(seconds=10), "10.0.0.9")
    found = heard.report(A, LATE + timedelta(seconds=1))
    assert not found.refused
    assert found.news == "two machines have this identity, at 10.0.0.1 and 10.0.0.9; the latter is refused"
    assert heard.known is not None
    assert heard.known.doubled(heard.now) == "another one with its identity runs at 10.0.0.9, boot bbbbbbbb"
    refused = heard.report(B, address="10.0.0.9")
    assert "another machine with this identity runs, at 10.0.0.1" in refused.refused and not refused.news
    assert not heard.report(A).refused
    assert heard.known.doubled(heard.now + AWAY + HALF) == ""  # the copy is off


def test_the_other_one_is_let_in_when_the_first_is_gone_and_it_boots() -> None:
    heard = Heard()
    for boot in (A, B, A, A):
        heard.report(boot, timedelta(seconds=31))
    assert heard.report(B).refused
    assert not heard.report(C).refused  # the first is off: to be seen only by its silence
    for _ in range(5):
        assert not heard.report(C).refused


def test_a_copy_that_boots_again_and_again_is_refused_again_and_again() -> None:
    heard = Heard()
    heard.report(A)
    for n in range(MOST * 3):
        heard.report(f"{n:036}", timedelta(seconds=31))
        assert not heard.report(A, timedelta(seconds=31)).refused
        assert heard.report(f"{n:036}").refused
    assert heard.known is not None
    assert len(heard.known.copies) <= MOST and len(heard.known.before) <= MOST


@given(reports=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=40))
def test_one_machine_alone_is_never_refused(reports: list[tuple[bool, int]]) -> None:
    """It reboots when it wants to; the last report of the boot before may come after the first of the next."""
    heard, boots = Heard(), (f"{n:036}" for n in itertools.count())
    boot, before = next(boots), ""
    heard.report(boot)
    for reboots, seconds in reports:
        if reboots:
            boot, before = next(boots), boot
        verdict = heard.report(boot, timedelta(seconds=seconds))
        assert not verdict.refused and not verdict.news
        if reboots:
            assert not heard.report(before, timedelta(seconds=min(seconds, 30))).refused
            assert not heard.report(boot, timedelta(0)).refused


@given(turns=st.lists(st.sampled_from([0, 1]), min_size=8, max_size=60), pause=st.integers(24, 36))
def test_of_two_exactly_one_is_refused_soon(turns: list[int], pause: int) -> None:
    """Each reports every half minute; who comes first in each round does not matter."""
    heard, taken = Heard(), []
    for first in turns:
        verdicts = {}
        for each in (first, 1 - first):
            verdicts[each] = heard.report((A, B)[each], timedelta(milliseconds=pause * 500), f"10.0.0.{each}")
        taken.append([not verdicts[0].refused, not verdicts[1].refused])
    assert all(any(both) for both in taken)  # never both
    assert all(sum(both) == 1 for both in taken[4:])
    assert len({tuple(both) for both in taken[4:]}) == 1  # and always the same one


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b'{"schema": 2}', KnownBoots(A, NOW, "x", (), (BootCopy(B, "y", NOW),)).text()[:-2] + b"}"],
)
def test_what_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        KnownBoots.read(raw)
