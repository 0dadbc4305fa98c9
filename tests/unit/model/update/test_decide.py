from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orlop.model.update import actions as d
from orlop.model.update.boot import Uki
from orlop.model.update.decide import Health, Settings, Snapshot, decide
from orlop.model.update.facts import Facts
from orlop.model.update.memory import ASKED, HELD, KEPT, Denied, Excused, Memory
from orlop.model.update.reboot import Immediate, Off
from orlop.model.update.state import (
    Available,
    Blessed,
    Booted,
    Denylisted,
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

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
T1, T2, T3 = (Target(v, f"{n}{n}" * 32) for n, v in enumerate((V1, V2, V3), 1))
BLESSED = Facts(V2, "22" * 32, None, "", (Uki(V2).name,))
ALONE = replace(BLESSED, names=(Uki(V2, 2, 1).name,))  # unproven, and there is no other
LATER = replace(ALONE, names=(Uki(V2, 1, 2).name,))  # not its first boot
TRYING = replace(ALONE, other=V1, other_hash="11" * 32, names=(Uki(V1).name, *ALONE.names))
LOCKED = Settings(lock=True)
AGAIN = timedelta(minutes=5)


def snapshot(state: State | None = None, facts: Facts = BLESSED, **more: object) -> Snapshot:
    """Just checked, and offered what the state is after, if anything.

    `more` goes into the memory, or the snapshot where it has such a field.
    """
    outer = {k: v for k, v in more.items() if k in ("settings", "health", "sessions", "check_at")}
    inner = {k: v for k, v in more.items() if k not in outer}
    checked = Memory(state or Idle(), offer=getattr(state, "target", None), checked_at=NOW)
    memory = replace(checked, **inner)  # type: ignore[arg-type]
    return Snapshot(NOW, memory, facts, **{"check_at": NOW + AGAIN, **outer})  # type: ignore[arg-type]


def named(target: Target) -> Target:
    return replace(target, why="named")


WELL = Health(True)
OUT = ("network",)
T4 = Target(Version.parse("20261204.1"), "44" * 32)
BACK = replace(T1, why="rollback")
LATER_ON = (Excused(V3, "no DHCP", 1, NOW + AGAIN),)
DENIED = (Denied(V3, "it did not boot", NOW),)


@pytest.mark.parametrize(
    ("s", "action", "reason"),
    [
        (snapshot(check_at=None), d.Check(), "asking"),
        (snapshot(check_at=NOW), d.Check(), "asking"),
        (snapshot(check_at=NOW + timedelta(days=900)), d.Check(), "asking"),  # the clock was wrong
        (snapshot(checked_at=None, check_at=NOW + AGAIN), d.Rest(NOW + AGAIN), "asked for soon"),  # not asked yet
        (snapshot(Staged(T3), offer=None), d.Drop(T3), "it is not offered to this machine any more"),
        (snapshot(Staged(T3), offer=None, failure="no route"), d.Reboot(T3), "rebooting"),  # not known
        (snapshot(Fetching(T3), offer=None, checked_at=None), d.Fetch(T3), "fetching"),  # not asked yet
        (snapshot(Staged(named(T3)), offer=None), d.Reboot(named(T3)), "rebooting"),
        (snapshot(), d.Rest(NOW + AGAIN), "no release is offered"),
        (snapshot(offer=T3), d.Take(T3), "going from 20261202.1 to 20261203.1"),
        (snapshot(offer=T2), d.Rest(NOW + AGAIN), "the version it should"),
        (snapshot(offer=T1), d.Rest(NOW + AGAIN), "older than 20261202.1: staying"),
        (snapshot(offer=replace(T1, why="pull-back")), d.Take(replace(T1, why="pull-back")), "to 20261201.1"),
        (snapshot(offer=T3, denied=DENIED), d.Rest(NOW + AGAIN), "deny list: it did not boot"),
        (snapshot(offer=T3, hold="a fair"), d.Rest(NOW + AGAIN), "updates are held: a fair"),
        (snapshot(Available(T3)), d.Fetch(T3), "fetching 20261203.1"),
        (snapshot(Fetching(T3)), d.Fetch(T3), "fetching"),
        (snapshot(Available(T3), TRYING), d.Rest(), "has yet to prove itself"),
        (snapshot(Available(T3), replace(TRYING, names=(Uki(V1).name,))), d.Rest(), "there would be no way back"),
        (snapshot(Verifying(T3)), d.Stage(T3), "verifying"),
        (snapshot(Available(T3), hold="a fair"), d.Drop(T3), "giving 20261203.1 up: updates are held"),
        (snapshot(Staged(T3), denied=DENIED), d.Drop(T3), "deny list"),
        (snapshot(Staged(named(T3)), denied=DENIED, hold="x"), d.Reboot(named(T3)), "rebooting"),
        (snapshot(Available(T2), replace(BLESSED, running=V1, names=(Uki(V1).name,)), offer=T3), d.Take(T3), "instead"),
        (snapshot(Staged(T3), offer=T2), d.Reboot(T3), "immediate"),
        (snapshot(Staged(named(T1)), offer=T3), d.Reboot(named(T1)), "rebooting"),
        (snapshot(Staged(T3), settings=Settings(Off())), d.Rest(NOW + AGAIN), "strategy is off"),
        (snapshot(Staged(T3), sessions=1), d.Wish(), "somebody is logged in"),
        (snapshot(Staged(T3), settings=LOCKED), d.Lock(), "asking for the reboot lock"),
        (snapshot(Staged(T3), settings=LOCKED, lock=ASKED), d.Lock(), "asking"),
        (snapshot(Staged(T3), settings=LOCKED, lock=KEPT), d.Lock(), "asking"),
        (snapshot(Staged(T3), settings=LOCKED, lock=HELD), d.Reboot(T3), "rebooting"),
        (snapshot(Staged(T3), settings=Settings(Off(), lock=True), lock=HELD), d.Unlock(), "strategy is off"),
        (snapshot(lock=ASKED), d.Unlock(), "giving the reboot lock back"),
        (snapshot(lock=KEPT), d.Rest(NOW + AGAIN), "no release"),
        (snapshot(Rebooting(T3, V2)), d.Rest(), "is rebooting"),
        (snapshot(Booted(T2, V1), TRYING, lock=HELD), d.Rest(), "waiting for its health verdict"),
        (snapshot(Booted(T2, V1), TRYING, health=Health(True)), d.Judge(good=True), "is healthy"),
        (snapshot(Booted(T2, V1), TRYING, health=Health(False, "no network")), d.Judge(good=False), "no network"),
        (snapshot(Healthy(T2, V1), TRYING, health=Health(True), lock=HELD), d.Rest(), "waiting for it to be blessed"),
        (snapshot(Healthy(T2, V1), TRYING, health=Health(False, "late")), d.Judge(good=False), "late"),
        (snapshot(Failed(T2, "no network"), TRYING), d.Revert(T2), "going back from 20261202.1: no network"),
        # it has nothing to go back to: it is replaced instead of left
        (snapshot(Booted(T2, None), ALONE, offer=T3), d.Rest(), "waiting for its health verdict"),
        (snapshot(Booted(T2, None), ALONE, health=Health(False, "web failed")), d.Judge(good=False), "web failed"),
        (snapshot(Booted(T2, None), LATER, offer=T3), d.Take(T3), "to 20261203.1"),
        (snapshot(Failed(T2, "x"), ALONE), d.Rest(NOW + AGAIN), "is not healthy: x; there is no other version"),
        (snapshot(Failed(T2, "x"), ALONE, check_at=NOW), d.Check(), "asking"),
        (snapshot(Failed(T2, "x"), ALONE, failure="y", retry_at=NOW + AGAIN, check_at=NOW), d.Check(), "asking"),
        (snapshot(Failed(T2, "x"), ALONE, offer=T3), d.Take(T3), "going from 20261202.1 to 20261203.1"),
        (snapshot(Failed(T2, "x"), ALONE, offer=T2), d.Rest(NOW + AGAIN), "the next release replaces it"),
        (snapshot(Failed(T2, "x"), ALONE, offer=T3, hold="a fair"), d.Rest(NOW + AGAIN), "held: a fair"),
        (snapshot(Failed(T2, "x"), ALONE, offer=T3, lock=HELD), d.Unlock(), "giving the reboot lock back"),
        (snapshot(Failed(T2, "x"), ALONE, health=Health(True)), d.Judge(good=True), "is healthy"),
        (snapshot(Failed(T2, "x"), ALONE, wish=named(T1), hold="x"), d.Take(named(T1)), "it was asked for"),
        (snapshot(Booted(T2, None), ALONE, wish=named(T1)), d.Take(named(T1)), "it was asked for"),
        (snapshot(Healthy(T2, None), ALONE, health=Health(True), offer=T3), d.Take(T3), "to 20261203.1"),
        (snapshot(Available(T3), ALONE), d.Fetch(T3), "fetching 20261203.1"),
        (snapshot(Available(T3), replace(BLESSED, names=())), d.Fetch(T3), "fetching 20261203.1"),
        # named while another is on trial
        (snapshot(Booted(T2, V1), TRYING, wish=named(T3)), d.Rest(), "waiting for its health verdict"),
        (snapshot(Staged(BACK), TRYING, wish=named(T3)), d.Reboot(BACK), "rolled back by hand"),
        (snapshot(wish=named(T3), check_at=NOW), d.Take(named(T3)), "it was asked for"),
        (snapshot(Staged(T3), wish=named(T1)), d.Take(named(T1)), "it was asked for"),
        # was it to blame?
        (snapshot(Reverted(T3, "it hung"), health=WELL), d.Deny(T3, f"compared with {V2}, which comes up"), "it hung"),
        (snapshot(Reverted(T3, "x", ("agent",))), d.Deny(T3), "x"),
        (snapshot(Reverted(T3, "x", OUT)), d.Rest(NOW + AGAIN), "comparing: waiting for the verdict on 20261202.1"),
        (snapshot(Reverted(T3, "x", OUT), health=WELL), d.Deny(T3, f"compared with {V2}, where network is well"), "x"),
        (snapshot(Reverted(T3, "x", OUT), health=Health(False, "y", OUT)),
         d.Excuse(T3, f"network is bad under {V2} too"), "20261203.1 is not to blame"),
        (snapshot(Reverted(T3, "x", OUT), check_at=NOW), d.Check(), "asking"),
        (snapshot(Reverted(T3, "x", OUT), wish=named(T1)), d.Take(named(T1)), "it was asked for"),
        (snapshot(Reverted(T3, "x", OUT), offer=T4), d.Take(T4), "to 20261204.1"),
        (snapshot(offer=T3, excused=LATER_ON), d.Rest(NOW + AGAIN), "is tried again at 2026-12-01 12:05 UTC: no DHCP"),
        (snapshot(Staged(T3), excused=LATER_ON), d.Drop(T3), "is tried again at"),
        (snapshot(Staged(named(T3)), excused=LATER_ON), d.Reboot(named(T3)), "rebooting"),
        (snapshot(offer=T3, excused=(replace(LATER_ON[0], retry_at=NOW),)), d.Take(T3), "to 20261203.1"),
        (snapshot(offer=T3, excused=(replace(LATER_ON[0], retry_at=NOW + timedelta(days=9)),)), d.Take(T3), "to"),
        (snapshot(Booted(T2, V1), TRYING, health=Health(None, "waits for it")), d.Rest(), "verdict; waits for it"),
        (snapshot(Denylisted(T3, "it hung"), lock=KEPT), d.Settle(), "so that no other machine follows"),
        (snapshot(Blessed(T2), lock=HELD), d.Unlock(), "giving the reboot lock back"),
        (snapshot(Blessed(T2)), d.Settle(), "running 20261202.1"),
        (snapshot(Fetching(T3), failure="no route", retry_at=NOW + timedelta(seconds=9)),
         d.Rest(NOW + timedelta(seconds=9)), "no route; trying again at 12:00:09 UTC"),
        (snapshot(Fetching(T3), failure="x", retry_at=NOW + timedelta(days=900)), d.Fetch(T3), "fetching"),
        # it looks all the same
        (snapshot(Fetching(T3), failure="x", retry_at=NOW + timedelta(hours=4)), d.Rest(NOW + AGAIN), "at 16:00"),
        (snapshot(Fetching(T3), failure="x", retry_at=NOW + timedelta(hours=4), check_at=NOW), d.Check(), "asking"),
        (snapshot(Idle(), failure="x", lock=HELD, retry_at=NOW + AGAIN, check_at=NOW), d.Check(), "asking"),
        (snapshot(Failed(T2, "x"), TRYING, failure="no room", retry_at=NOW + timedelta(hours=1), check_at=NOW),
         d.Rest(NOW + timedelta(hours=1)), "no room"),
    ],
)  # fmt: skip
def test_what_comes_next(s: Snapshot, action: d.Action, reason: str) -> None:
    step = decide(s)
    assert step.action == action
    assert reason in step.reason
    assert decide(s) == step


def test_a_login_delays_the_reboot_once() -> None:
    s = snapshot(Staged(T3), sessions=1, reboot_wanted_at=NOW - timedelta(minutes=9))
    assert decide(s).action == d.Rest(NOW + timedelta(minutes=1))
    assert decide(replace(s, now=NOW + timedelta(minutes=1))).action == d.Reboot(T3)


def test_a_check_that_is_due_comes_before_a_reboot() -> None:
    s = snapshot(Staged(T3), check_at=NOW - timedelta(hours=1), settings=Settings(Immediate()))
    assert decide(s).action == d.Check()
