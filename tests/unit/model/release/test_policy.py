# ruff: noqa: E501
from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.release.channel import Channel, PullBack
from orlop.model.release.policy import Answer, Go, Machine, Stay, Wait, answer, named, span
from orlop.model.release.rollout import WHOLE, Rollout, Wave, position
from tests.unit.model.release.channels import DONE, HOUR, NOW, SECRET, channel, channels, entry, moments, reasons, v

ON_ONE = Machine(v(1), "stable", SECRET)
LATER = Rollout(NOW + 10 * HOUR, (Wave(60, WHOLE),))
NEVER = Rollout(NOW - HOUR, ())
BACK = PullBack(v(1), "loses files", DONE)


def shown(found: Answer) -> str:
    kind = type(found).__name__.lower()
    return kind if isinstance(found, Stay) else f"{kind} {found.version.number}"


TABLE: list[tuple[str, Channel, Machine, str, str]] = [
    ("nothing on the channel", channel(), ON_ONE, "stay", "the channel has no version for x86-64 yet"),
    ("the newest runs", channel(entry(1)), ON_ONE, "stay", "running 20261201.1, the newest"),
    ("newer than the channel", channel(entry(0)), ON_ONE, "stay", "newer than all the channel has"),
    ("a newer one", channel(entry(1), entry(2)), ON_ONE, "go 2", "going from 20261201.1 to 20261201.2"),
    ("the newest of several", channel(entry(2), entry(3)), ON_ONE, "go 3", "to 20261201.3"),
    ("unknown to the channel", channel(entry(5)), ON_ONE, "go 5", ""),
    ("the newest is not yet here", channel(entry(2), entry(3, LATER)), ON_ONE, "go 2", ""),
    ("none is here yet", channel(entry(2, LATER)), ON_ONE, "wait 2", "reaches this machine in about"),
    ("not among the chosen", channel(entry(2, NEVER)), ON_ONE, "stay", "rolled out to 0% of the machines"),
    ("another architecture", channel(entry(2, arches=("arm64",))), ON_ONE, "stay", "no version for x86-64"),
    ("halted", channel(entry(2, DONE.halt(NOW), halt="crashes")), ON_ONE, "stay", r"20261201.2 is halted \(crashes\)"),
    ("halted, one before", channel(entry(2), entry(3, DONE.halt(NOW), halt="crashes")), ON_ONE, "go 2", ""),
    ("floor", channel(entry(2, floor="new keys"), entry(3)), ON_ONE, "go 2", ""),
    ("two floors", channel(entry(2, floor="a"), entry(3, floor="b"), entry(4)), ON_ONE, "go 2", ""),
    ("past the floor", channel(entry(2, floor="new keys"), entry(3)), replace(ON_ONE, current=v(2)), "go 3", ""),
    ("one before the floor is no detour", channel(entry(2), entry(3, floor="a"), entry(4)), ON_ONE, "go 3", ""),
    ("floor not yet here", channel(entry(2, LATER, floor="new keys"), entry(3)), ON_ONE, "wait 2", ""),
    ("floor halted", channel(entry(2, DONE.halt(NOW), floor="new keys", halt="bad"), entry(3)), ON_ONE, "stay",
     "20261201.2: new keys.*20261201.2 is halted"),
    ("floor denied", channel(entry(2, floor="new keys"), entry(3)), replace(ON_ONE, denied=frozenset([v(2)])), "stay",
     "20261201.2 is on this machine's deny list"),
    ("dead end", channel(entry(1, dead_end="no way on"), entry(2)), ON_ONE, "stay", r"is a dead end \(no way on\)"),
    ("dead end ahead is taken", channel(entry(2, dead_end="no way on")), ON_ONE, "go 2", ""),
    ("hold", channel(entry(2)), replace(ON_ONE, hold="until Monday"), "stay", r"updates are held \(until Monday\)"),
    ("pin", channel(entry(2), entry(3)), replace(ON_ONE, pin=v(2)), "go 2", ""),
    ("pinned here", channel(entry(2)), replace(ON_ONE, pin=v(1)), "stay", "pinned to 20261201.1"),
    ("pinned below", channel(entry(0), entry(1)), replace(ON_ONE, pin=v(0)), "stay", "running 20261201.1"),
    ("denied", channel(entry(2)), replace(ON_ONE, denied=frozenset([v(2)])), "stay", "deny list"),
    ("denied, one before", channel(entry(2), entry(3)), replace(ON_ONE, denied=frozenset([v(3)])), "go 2", ""),
    ("pulled back, ahead", channel(entry(1), entry(2, pull_back=BACK)), ON_ONE, "stay", r"was pulled back \(loses files\)"),
    ("pulled back, runs", channel(entry(1), entry(2, pull_back=BACK)), replace(ON_ONE, current=v(2)), "go 1",
     "going back to 20261201.1"),
    ("pulled back, a cure is here", channel(entry(1), entry(2, pull_back=BACK), entry(3)), replace(ON_ONE, current=v(2)),
     "go 3", ""),
    ("pulled back, the cure comes later", channel(entry(1), entry(2, pull_back=BACK), entry(3, LATER)),
     replace(ON_ONE, current=v(2)), "go 1", ""),
    ("pulled back, later", channel(entry(1), entry(2, pull_back=replace(BACK, rollout=LATER))),
     replace(ON_ONE, current=v(2)), "wait 1", "goes back to 20261201.1 in about"),
    ("pulled back later than the cure", channel(entry(1), entry(2, pull_back=replace(BACK, rollout=replace(LATER,
     start=NOW + 90 * HOUR))), entry(3, LATER)), replace(ON_ONE, current=v(2)), "wait 3", ""),
    ("pulled back and held", channel(entry(1), entry(2, pull_back=BACK)), replace(ON_ONE, current=v(2), hold="no"), "stay",
     r"was pulled back \(loses files\), but updates are held \(no\)"),
    ("pulled back to what is denied", channel(entry(1), entry(2, pull_back=BACK)),
     replace(ON_ONE, current=v(2), denied=frozenset([v(1)])), "stay", "deny list"),
    ("pulled back dead end", channel(entry(1), entry(2, pull_back=BACK, dead_end="x")), replace(ON_ONE, current=v(2)), "go 1", ""),
    ("below the secure minimum", channel(entry(1), entry(2), minimum=2), ON_ONE, "go 2", "below the secure minimum 20261201.2"),
    ("of a group with its own waves", channel(entry(2, LATER, groups=(("canary", DONE),))), replace(ON_ONE, group="canary"),
     "go 2", ""),
    ("of a group without", channel(entry(2, LATER, groups=(("canary", DONE),))), replace(ON_ONE, group="web"), "wait 2", ""),
]  # fmt: skip


@pytest.mark.parametrize(("one", "machine", "wanted", "reason"), [t[1:] for t in TABLE], ids=[t[0] for t in TABLE])
def test_the_answer(one: Channel, machine: Machine, wanted: str, reason: str) -> None:
    found = answer(one, machine, NOW)
    assert shown(found) == wanted, found.reason
    assert re.search(reason, found.reason), found.reason
    assert found.insecure == (one.minimum_secure is not None and machine.current < one.minimum_secure)


def test_the_sentence_of_one_who_waits() -> None:
    waves = tuple(Wave(240 * n, 200_000 * n) for n in range(1, 6))
    secret = next(s for n in range(10_000) if abs(position(s := n.to_bytes(8, "big"), v(2)) - 0.5) < 0.001)
    found = answer(channel(entry(2, Rollout(NOW - 3 * HOUR, waves))), replace(ON_ONE, secret=secret), NOW)
    assert isinstance(found, Wait)
    assert found.reason == "on stable; 20261201.2 reaches this machine in about 7 h, wave 3 of 5"
    assert (found.wave, found.waves) == (3, 5)


def test_a_document_of_another_channel_is_refused() -> None:
    with pytest.raises(BadInput, match="the machine is on channel beta"):
        answer(channel(), replace(ON_ONE, channel="beta"), NOW)


def test_the_secret_is_not_shown() -> None:
    assert "kkk" not in repr(ON_ONE)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    return Machine(
        v(draw(st.integers(0, 20))),
        "stable",
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.sampled_from(["x86-64", "arm64"])),
        draw(st.sampled_from(["", "canary", "web"])),
        draw(st.none() | st.integers(0, 20).map(v)),
        draw(st.just("") | st.just("") | reasons),
        draw(st.frozensets(st.integers(0, 20).map(v), max_size=3)),
    )


@given(channels(), machines(), moments)
def test_a_machine_goes_down_only_when_it_is_told_to(one: Channel, machine: Machine, now: datetime) -> None:
    found = answer(one, machine, now)
    own = one.entry(machine.current)
    if isinstance(found, Go | Wait) and found.version < machine.current:
        assert own is not None
        assert own.pull_back is not None
        assert found.version == own.pull_back.to
    if isinstance(found, Go):
        target = one.entry(found.version)
        assert target is not None
        assert target.image(machine.arch) is not None
        assert found.version != machine.current
        assert found.version not in machine.denied
        assert not machine.hold
        assert (found.why == "pull-back") == (found.version < machine.current)
        if found.why == "newer":
            assert target.pull_back is None
            assert not target.halt
            assert not any(
                e.floor and machine.current < e.version < found.version for e in one.entries if e.image(machine.arch)
            )
            assert machine.pin is None or found.version <= machine.pin
    assert found.reason
    assert "\n" not in found.reason


@given(channels(), machines(), moments, st.integers(0, 1_000_000))
def test_who_may_have_a_version_keeps_it(one: Channel, machine: Machine, now: datetime, later: int) -> None:
    first = answer(one, machine, now)
    second = answer(one, machine, now + timedelta(seconds=later))
    if isinstance(first, Go):
        assert isinstance(second, Go)
        assert second.version >= first.version or first.why == "pull-back"
    if isinstance(first, Stay):
        assert second == first or (isinstance(second, Stay) and "rolled out to" in second.reason)


@given(channels(), machines())
def test_who_waits_is_answered_when_it_was_said(one: Channel, machine: Machine) -> None:
    first = answer(one, machine, NOW)
    if not isinstance(first, Wait):
        return
    then = answer(one, machine, first.at + timedelta(milliseconds=1))
    assert isinstance(then, Go)
    assert then.version == first.version or then.version > machine.current


@given(channels(), machines())
def test_every_machine_comes_to_rest(one: Channel, machine: Machine) -> None:
    """Following the answers a machine ends up staying: there is no circle of updates."""
    machine = replace(machine, hold="")
    end = NOW + timedelta(days=3650)
    been = [machine.current]
    while isinstance(found := answer(one, machine, end), Go):
        assert found.version not in been
        been.append(found.version)
        machine = replace(machine, current=found.version)


NAMED: list[tuple[Channel, int, str]] = [
    (channel(entry(2)), 3, "has no 20261201.3 for x86-64"),
    (channel(entry(1), entry(2, pull_back=BACK)), 2, "was pulled back: loses files"),
    (channel(entry(0), entry(2), minimum=2), 0, "is below the secure minimum of channel stable"),
    (channel(entry(2, floor="new keys"), entry(3)), 3, "must pass through 20261201.2"),
]


@pytest.mark.parametrize(("one", "number", "message"), NAMED)
def test_a_name_is_refused_with_its_reason(one: Channel, number: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as e:
        named(one, ON_ONE, v(number))
    assert e.value.hint


def test_by_name_a_machine_may_go_down_and_ahead_of_its_wave() -> None:
    one = channel(entry(0), entry(2, LATER))
    assert named(one, ON_ONE, v(0)).why == "named"
    assert named(one, ON_ONE, v(2)).index == "stable/20261201.2.x86-64.index.json"


@pytest.mark.parametrize(("seconds", "text"), [(-5, "1 s"), (0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"),
                                               (7 * 3600 + 60, "7 h"), (47.6 * 3600, "48 h"), (86400 * 3, "3 days")])  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text
