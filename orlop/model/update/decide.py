"""What the update engine does next: a snapshot in, one action with its reason out.

The reason is one sentence for the log, the status and the person who asks why a machine is not updating. `decide` reads
no clock, touches nothing, and has no memory but the snapshot's: called twice with the same snapshot it says the same.
Who calls it performs the action, moves the state by the action's transition, and asks again.

Invariant: an action that writes to the other slot is decided only while the running version is blessed, or has no other
to fall back to; a reboot only with a staged update, inside the strategy, and under the lock when one is configured, but
for a rollback by hand, which waits for nothing; an older version only by hand or by a signed pull-back. From each state
a good release is reached: by itself when it is offered and nobody holds updates, and by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orlop.model.update import polling, repair
from orlop.model.update.actions import (
    Check,
    Deny,
    Drop,
    Excuse,
    Fetch,
    Judge,
    Lock,
    Mend,
    Reboot,
    Rest,
    Revert,
    Settle,
    Stage,
    Step,
    Take,
    Unlock,
    Wish,
)
from orlop.model.update.blame import compare
from orlop.model.update.facts import Facts
from orlop.model.update.memory import ASKED, BY_HAND, FREE, HELD, KEPT, NOW, Memory
from orlop.model.update.reboot import LOGIN_DELAY, Immediate, May, Strategy, may_reboot
from orlop.model.update.repair import Repair
from orlop.model.update.state import (
    Available,
    Blessed,
    Booted,
    Checking,
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


@dataclass(frozen=True)
class Settings:
    """What the machine's configuration says about updates; `first_within` is the spread of the first check."""

    strategy: Strategy = field(default_factory=Immediate)
    login_delay: timedelta = LOGIN_DELAY
    check_every: timedelta = timedelta(minutes=5)
    first_within: timedelta = timedelta()
    lock: bool = False


@dataclass(frozen=True)
class Health:
    """The machine's verdict on this boot: None while there is none, and `reason` is what is waited for then.

    `failed` is what failed, as `orlop.model.update.blame` knows it.
    """

    good: bool | None = None
    reason: str = ""
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """`check_at` is when to ask the catalog next; None is at once. `repair` is a reboot that would mend the machine."""

    now: datetime
    memory: Memory
    facts: Facts
    settings: Settings = Settings()
    health: Health = Health()
    sessions: int = 0
    check_at: datetime | None = None
    repair: Repair | None = None


_CHECK = Step(Check(), "asking whether there is a release for this machine")


def decide(s: Snapshot) -> Step:
    """The next action for the snapshot, whose state agrees with its facts (`orlop.model.update.facts.reconcile`)."""
    memory, state = s.memory, s.memory.state
    looks = isinstance(state, Idle | Checking | Available | Fetching | Verifying | Staged) or _stuck(s)
    if s.repair is not None and s.repair.danger and looks and (step := _mend(s, s.repair)):
        return step
    if memory.retry_at is not None and s.now < memory.retry_at <= s.now + timedelta(days=1):
        if looks and polling.due(s.check_at, s.now):  # what fails may have been replaced, halted or pulled back since
            return _CHECK
        until = min(memory.retry_at, s.check_at or s.now) if looks else memory.retry_at
        return Step(Rest(until), f"{memory.failure}; trying again at {memory.retry_at:%H:%M:%S} UTC")
    if isinstance(state, Idle | Checking | Available | Fetching | Verifying | Staged):
        return _toward(s)
    return _after_reboot(s, state)


def _after_reboot(s: Snapshot, state: Rebooting | Booted | Healthy | Blessed | Failed | Reverted | Denylisted) -> Step:
    memory = s.memory
    match state:
        case Booted(target) | Healthy(target) | Failed(target) if not s.facts.way_back:
            return _judge_the_only(s, state, target)
        case Booted(target) | Healthy(target):
            return _judge(s, target)
        case Failed(target, reason):
            return Step(Revert(target), f"going back from {target.version}: {reason}")
        case Reverted():
            return _compare(s, state)
        case Denylisted(target):
            lock = " and the reboot lock is kept, so that no other machine follows" if memory.lock == KEPT else ""
            return Step(Settle(), f"{target.version} is on the deny list{lock}")
        case Blessed():
            return _settle(s)
        case Rebooting(target):
            return Step(Rest(), f"the machine is rebooting into {target.version}")


def _toward(s: Snapshot) -> Step:
    """Idle, or on the way to a target."""
    memory = s.memory
    if memory.wish is not None and not s.facts.on_trial:
        return _take(s, memory.wish)
    # one that is staged reboots in the same window, and mends as much
    if s.repair is not None and not isinstance(memory.state, Staged) and (step := _mend(s, s.repair)):
        return step
    if memory.lock in (ASKED, HELD) and not isinstance(memory.state, Staged):
        return Step(Unlock(), "no reboot is wanted: giving the reboot lock back")
    if isinstance(memory.state, Staged) and memory.state.target.why == "rollback":
        return _reboot(s, memory.state.target)  # before anybody is asked for anything
    return _asked(s) or _work(s)


def _mend(s: Snapshot, wish: Repair) -> Step | None:
    """A reboot for the machine's sake, which waits for what any other does unless data are at risk."""
    if s.facts.on_trial:
        return None  # it would use up a try: the verdict leads on from there
    when = repair.when(wish, s.settings.strategy, s.now, s.sessions)
    if not when.now:
        return None
    if when.locked and s.settings.lock and s.memory.lock != HELD:
        return Step(Lock(), f"{when.reason}: asking for the reboot lock")
    return Step(Mend(), when.reason)


def _judge(s: Snapshot, target: Target) -> Step:
    version, health = target.version, s.health
    if health.good is None:
        still = f"; {health.reason}" if health.reason else ""
        return Step(Rest(), f"{version} runs: waiting for its health verdict{still}")
    if not health.good:
        return Step(Judge(good=False), f"{version} is not healthy: {health.reason}")
    if isinstance(s.memory.state, Booted | Failed):
        return Step(Judge(good=True), f"{version} is healthy")
    return Step(Rest(), f"{version} is healthy: waiting for it to be blessed")


def _judge_the_only(s: Snapshot, state: State, target: Target) -> Step:
    """What runs has nothing to go back to: it is judged like any other, but replaced instead of left."""
    if s.memory.wish is not None:
        return _take(s, s.memory.wish)
    if not isinstance(state, Failed) or s.health.good:
        step = _judge(s, target)
        uki = s.facts.uki(s.facts.running)
        first = uki is not None and uki.done < 2  # a later boot has waited long enough for a verdict
        if not isinstance(step.action, Rest) or (s.health.good is None and first):
            return step
    if s.memory.lock in (ASKED, HELD):
        return Step(Unlock(), "no reboot is wanted: giving the reboot lock back")
    if asked := _asked(s):
        return asked
    why = f"is not healthy: {state.reason}" if isinstance(state, Failed) else "has yet to be marked as good"
    then = _why_not(s) or "the next release replaces it"
    return Step(Rest(s.check_at), f"{target.version} {why}; there is no other version to go back to: {then}")


def _compare(s: Snapshot, state: Reverted) -> Step:
    """Was the version that was left to blame? Meanwhile another one may take its place."""
    target, running, health = state.target, s.facts.running, s.health
    if s.memory.wish is not None and not s.facts.on_trial:
        return _take(s, s.memory.wish)
    finding = compare(state.failed, running, health.good, health.failed)
    if finding is None:
        back = f"back in {running}: {state.reason}"
        asked = None if s.facts.on_trial else _asked(s)
        return asked or Step(Rest(s.check_at), f"{back}; comparing: waiting for the verdict on {running}")
    if finding.deny:
        return Step(Deny(target, finding.sentence), _joined(state.reason, finding.sentence))
    return Step(Excuse(target, finding.sentence), f"{target.version} is not to blame: {finding.sentence}")


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _stuck(s: Snapshot) -> bool:
    """In a state that may last, and must not keep another version from being taken up."""
    state = s.memory.state
    return isinstance(state, Reverted) or (isinstance(state, Booted | Healthy | Failed) and not s.facts.way_back)


def _settle(s: Snapshot) -> Step:
    if s.memory.lock != FREE:
        return Step(Unlock(), "the update is over: giving the reboot lock back")
    return Step(Settle(), f"running {s.facts.running}")


def _asked(s: Snapshot) -> Step | None:
    """What the catalog's word changes, and asking for it when it is old."""
    memory = s.memory
    target = None if _stuck(s) else getattr(memory.state, "target", None)
    if polling.due(s.check_at, s.now):
        return _CHECK
    if target is not None and (why := _unwanted(s, target)):
        return Step(Drop(target), f"giving {target.version} up: {why}")
    better = memory.offer
    left = memory.state.target if isinstance(memory.state, Reverted) else None
    if better is not None and better not in (target, left) and not (target and target.by_hand):
        why = _refusal(s, better)
        replaces = target is None or better.version > target.version or better.may_be_older
        if not why and replaces:
            instead = f" instead of {target.version}" if target else ""
            return Step(Take(better), f"going from {s.facts.running} to {better.version}{instead}")
    return None


def _later(s: Snapshot, target: Target) -> str:
    """Why the target is not tried now, having failed for what is wrong around the machine; empty when it is."""
    excused = s.memory.excuses(target.version)
    if excused is None or not excused.waits(s.now):
        return ""
    return f"{target.version} is tried again at {excused.retry_at:%Y-%m-%d %H:%M} UTC: {excused.reason}"


def _take(s: Snapshot, wish: Target) -> Step:
    return Step(Take(wish), f"going from {s.facts.running} to {wish.version}: it was asked for")


def _work(s: Snapshot) -> Step:
    state = s.memory.state
    match state:
        case Available(target) | Fetching(target):
            if s.facts.on_trial:
                return Step(Rest(), f"{s.facts.running} has yet to prove itself: its predecessor stays where it is")
            if s.facts.way_back and s.facts.uki(s.facts.running) is None:
                return Step(Rest(), f"the ESP has no UKI of {s.facts.running}, which runs: there would be no way back")
            return Step(Fetch(target), f"fetching {target.version}")
        case Verifying(target):
            return Step(Stage(target), f"verifying {target.version} on the disk")
        case Staged(target):
            return _reboot(s, target)
        case Idle() | Checking():
            return Step(Rest(s.check_at), _why_idle(s))
        case _:
            raise AssertionError(state)


def _reboot(s: Snapshot, target: Target) -> Step:
    memory = s.memory
    may = May(now=True, reason="rolled back by hand") if target.why == "rollback" else _may_reboot(s)
    staged = f"{target.version} is staged"
    if not may.now:
        if memory.lock in (ASKED, HELD):
            return Step(Unlock(), f"{staged}, but {may.reason}: giving the reboot lock back")
        if may.logins and memory.reboot_wanted_at is None:
            return Step(Wish(), f"{staged}; {may.reason}")
        until = min(filter(None, (may.again, s.check_at)), default=None)
        return Step(Rest(until), f"{staged}; {may.reason}")
    if s.settings.lock and memory.lock != HELD and target.why != "rollback":
        return Step(Lock(), f"{staged}: asking for the reboot lock")
    return Step(Reboot(target), f"rebooting into {target.version}: {may.reason}")


def _may_reboot(s: Snapshot) -> May:
    if s.memory.reboot == NOW:
        return May(now=True, reason="it was asked for")
    if s.memory.reboot == BY_HAND:
        return May(now=False, reason="the reboot was left to you: reboot the machine to finish the update")
    since, delay = s.memory.reboot_wanted_at, s.settings.login_delay
    return may_reboot(s.settings.strategy, s.now, sessions=s.sessions, since=since, delay=delay)


def _unwanted(s: Snapshot, target: Target) -> str:
    """Why a target that was taken up is not to be reached any more; empty when it still is."""
    if target.why == "rollback" and not isinstance(s.memory.state, Staged):
        return "it is not whole on this machine any more"
    if target.by_hand:
        return ""
    if denied := s.memory.denies(target.version):
        return f"it is on the deny list: {denied.reason}"
    if later := _later(s, target):
        return later
    if s.memory.hold:
        return f"updates are held: {s.memory.hold}"
    offer = s.memory.offer
    if offer is not None and offer.why == "pull-back" and offer.version == s.facts.running:
        return "it was pulled back"
    if offer is None and s.memory.checked_at is not None and not s.memory.failure:
        return "it is not offered to this machine any more"
    return ""


def _refusal(s: Snapshot, offer: Target) -> str:
    """Why the machine does not go to the offered version; empty when it does. By name it goes anywhere."""
    running = s.facts.running
    if offer.version == running:
        return f"running {running}, the version it should"
    if offer.why == "named":
        return ""
    if s.memory.hold:
        return f"updates are held: {s.memory.hold}"
    if denied := s.memory.denies(offer.version):
        return f"{offer.version} is on the deny list: {denied.reason}"
    if later := _later(s, offer):
        return later
    if offer.version < running and not offer.may_be_older:
        return f"{offer.version} is offered, which is older than {running}: staying"
    return ""


def _why_not(s: Snapshot) -> str:
    """Why there is no way forward from what runs; empty when the next release is one."""
    if s.memory.hold:
        return f"updates are held: {s.memory.hold}"
    offer = s.memory.offer
    return _refusal(s, offer) if offer is not None and offer.version != s.facts.running else ""


def _why_idle(s: Snapshot) -> str:
    if s.memory.offer is None and s.memory.checked_at is None:
        return f"running {s.facts.running}; releases are asked for soon"
    if s.memory.offer is None:
        return f"running {s.facts.running}; no release is offered to this machine"
    return _refusal(s, s.memory.offer)
