"""The engine: what `orlop.model.decide` says is next, done and noted.

    snapshot → decide → perform → transition → checkpoint → …

One `step` does one action and returns it with its reason. Everything that is outside — time, the catalog of releases,
the servers, the lock, the reboot — is given to it, so a test drives it through years in a second. Lifetime: one engine
a process; a new one after any kill starts from the journal and the disk.

Invariant: before each decision the state agrees with the disk; an action that failed leaves the state where it was,
says why, and is tried again later. A checkpoint that cannot be written (/var is full, or fails) stops nothing that the
disk itself remembers; what it does not, a denied version and a lock, is not done without.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from orlop.errors import BadInput, NoSpace, OrlopError
from orlop.model import polling, update
from orlop.model.decide import (
    Action,
    Check,
    Deny,
    Drop,
    Fetch,
    Health,
    Judge,
    Lock,
    Reboot,
    Rest,
    Revert,
    Settings,
    Settle,
    Snapshot,
    Stage,
    Step,
    Take,
    Unlock,
    Wish,
    decide,
)
from orlop.model.facts import Facts, reconcile
from orlop.model.index import Index
from orlop.model.memory import ASKED, BY_STRATEGY, FREE, HELD, KEPT, Denied, Memory
from orlop.model.update import Idle, Reverted, Staged, Target, Verifying
from orlop.model.version import Version
from orlop.node.update.device import DiskFault
from orlop.node.update.fetch import Fetcher
from orlop.node.update.fleetlock import Refused
from orlop.node.update.journal import Journal
from orlop.node.update.verity import Damaged
from orlop.node.update.writer import Writer
from orlop.trust.errors import Overloaded

FIRST_RETRY = timedelta(seconds=15)
LAST_RETRY = timedelta(hours=4)
LOCK_RETRY = timedelta(minutes=1)


class Catalog(Protocol):
    """What is on offer to this machine, already verified."""

    def offer(self) -> Target | None:
        """What it should run, or None when nothing is. Raises OrlopError when it cannot be known now."""
        ...

    def index(self, target: Target) -> Index:
        """The target's index. Raises OrlopError."""
        ...

    def fetcher(self, target: Target) -> Fetcher:
        """Where its blobs come from."""
        ...


class RebootLock(Protocol):
    def take(self) -> None: ...

    def give_back(self) -> None: ...


@dataclass
class Outside:
    """What the engine meets. `reboot` may return: the machine is then about to go."""

    now: Callable[[], datetime]
    catalog: Catalog
    reboot: Callable[[], None]
    health: Callable[[], Health] = Health
    sessions: Callable[[], int] = int
    lock: RebootLock | None = None
    console: Callable[[Version], str] = lambda _: ""
    random: random.Random = field(default_factory=random.Random)


class Engine:
    """`memory` is what the journal has; `settings` may be replaced between steps."""

    def __init__(self, writer: Writer, journal: Journal, outside: Outside, settings: Settings) -> None:
        self.writer, self.journal, self.outside, self.settings = writer, journal, outside, settings
        self.memory = journal.load()
        self.note = journal.note
        self._unanswered = 0  # checks in a row
        self._other_seen = False
        if self.memory == Memory() and outside.lock:
            self.memory = replace(self.memory, lock=ASKED)  # perhaps: nobody remembers
        self.check_at = polling.first(outside.now(), settings.first_within, outside.random.random())

    def step(self) -> Step:
        """Do what is next. Only defects raise: what went wrong is in the memory, and `Rest` comes of it."""
        try:
            self._agree()
            step = decide(self.snapshot())
        except OrlopError as e:
            self._failed(e)
            return Step(Rest(self.memory.retry_at), e.message)
        try:
            self._perform(step.action)
        except Refused as e:
            self._failed(e, LOCK_RETRY)
        except OrlopError as e:
            self._failed(e)
        return step

    def snapshot(self) -> Snapshot:
        outside = self.outside
        settings = replace(self.settings, lock=outside.lock is not None)
        facts, health, sessions = self.writer.facts(), outside.health(), outside.sessions()
        return Snapshot(outside.now(), self.memory, facts, settings, health, sessions, self.check_at)

    def _agree(self) -> None:
        """Let the state agree with the disk."""
        proven = not isinstance(self.memory.state, Staged | update.Rebooting | update.Booted | update.Healthy)
        self.note = self.writer.mend(proven=proven) or self.note
        denied = frozenset(d.version for d in self.memory.denied)
        facts = self.writer.facts()
        state, why = reconcile(self.memory.state, facts, denied)
        if state != self.memory.state:
            self.note = why
            self._save(self.memory.to(state))
        self._put_in_order(facts)
        if isinstance(self.memory.state, Idle) and not self._other_seen:
            self._see_other()
            self._other_seen = True

    def _put_in_order(self, facts: Facts) -> None:
        """Whoever reboots the machine, it starts what is staged, an older version too, and else the running one."""
        state = self.memory.state
        if isinstance(state, Staged) and state.target.version < facts.running and not facts.aside:
            self._step_aside(state.target)
        if isinstance(state, Idle) and facts.aside:
            self.writer.stay()

    def _step_aside(self, target: Target) -> None:
        """Raises Damaged when the target is not whole: it is given up then."""
        try:
            self.writer.step_aside()
        except Damaged:
            self.writer.discard(target.version)
            self._save(self.memory.to(update.unstaged(self.memory.state)))
            raise

    def _see_other(self) -> None:
        """The initrd starts another version when one that is not counted fails in it again and again: which is broken?

        One that is whole stays: somebody chose so in the boot menu, or it was not the slot that failed.
        """
        target = self.writer.facts().passed_over
        if target is None:
            return
        try:
            self.writer.other()
        except OrlopError as e:
            self.note = f"{target.version} does not start any more: {e.message}"
            state = update.lost(target, tried=True, running=False, reason=self.note)
            self._save(self.memory.to(state))

    def _save(self, memory: Memory, *, must: bool = False) -> None:
        """A checkpoint. `must`: raises NoSpace or DiskFault, and nothing is remembered, when it cannot be written."""
        if memory == self.memory:
            return
        try:
            self.journal.save(memory)
        except (NoSpace, DiskFault) as e:
            if must:
                raise
            self.note = e.message
        self.memory = memory

    def _failed(self, error: OrlopError, wait: timedelta | None = None) -> None:
        """Remember why, and when to go on: later each time, never at the same moment as the other machines."""
        memory, now = self.memory, self.outside.now()
        pause = wait or min(FIRST_RETRY * 2 ** min(memory.failures, 16), LAST_RETRY)
        if isinstance(error, Overloaded) and error.after:
            alone = polling.bounded(error.after) * 1.25  # not before it said: some come a fifth early
            pause, self.check_at = max(pause, alone), max(self.check_at, now + alone)
        until = now + pause * self.outside.random.uniform(0.8, 1.2)
        self.memory = memory.failed(error.message + (f" ({error.hint})" if error.hint else ""), until)
        with contextlib.suppress(OrlopError):
            self.journal.save(self.memory)

    def _perform(self, action: Action) -> None:
        match action:
            case Rest():
                pass
            case Check():
                self._check()
            case Fetch(target):
                self._fetch(target)
            case Stage(target):
                self._stage(target)
            case Lock() | Unlock():
                self._lock(action)
            case Reboot() | Revert():
                self._reboot(action)
            case Deny(target):
                self._deny(target)
            case _:
                self._move(action)

    def _move(self, action: Take | Drop | Wish | Judge | Settle) -> None:
        """Actions that are little more than their transition."""
        memory, state = self.memory, self.memory.state
        match action:
            case Take(target):
                if isinstance(state, Idle):
                    self._save(memory.to(update.found(update.check(state), target)))
                else:
                    self._save(memory.to(update.replace(state, target)))
            case Drop(target):
                self.writer.discard(target.version)
                self._save(memory.to(update.drop(state)))
            case Wish():
                self._save(replace(memory, reboot_wanted_at=self.outside.now()))
            case Judge(good):
                reason = self.outside.health().reason
                self._save(memory.to(update.healthy(state) if good else update.fail(state, reason)))
            case Settle():
                self._save(memory.to(update.settle(state)))

    def _check(self) -> None:
        """Ask the catalog. When it does not answer, what it said last still holds."""
        before = self.memory.state
        if isinstance(before, Idle):
            self.memory = replace(self.memory, state=update.check(before))
        asked = None
        try:
            offer, failure, self._unanswered = self.outside.catalog.offer(), "", 0
        except OrlopError as e:
            offer, failure, self._unanswered = self.memory.offer, e.message, self._unanswered + 1
            asked = e.after if isinstance(e, Overloaded) else None
        if isinstance(self.memory.state, update.Checking):
            self.memory = replace(self.memory, state=update.nothing(self.memory.state))
        if offer != self.memory.offer:  # what failed before was on the way to the last one
            self._save(replace(self.memory, offer=offer, retry_at=None, failures=0))
        now, chance = self.outside.now(), self.outside.random.random()
        every, failures = self.settings.check_every, self._unanswered
        self.check_at = polling.following(now, every, chance, failures=failures, asked=asked)
        waits = self.memory.retry_at is not None and now < self.memory.retry_at
        self.memory = replace(self.memory, checked_at=now, failure=failure or (self.memory.failure if waits else ""))

    def _fetch(self, target: Target) -> None:
        index = self._index(target)
        if not isinstance(self.memory.state, update.Fetching):
            self._save(self.memory.to(update.fetch(self.memory.state)))
        self.writer.prepare(index)
        self.writer.fill(index, self.outside.catalog.fetcher(target))
        self._save(self._again(update.fetched(self.memory.state)))

    def _again(self, state: update.Fetching | update.Verifying) -> Memory:
        """Between fetching and verifying, which lead to each other as long as it fails: the failures count on."""
        return replace(self.memory.to(state), failures=self.memory.failures)

    def _index(self, target: Target) -> Index:
        index = self.outside.catalog.index(target)
        if index.version != target.version or index.root_hash != target.root_hash:
            raise BadInput(f"the index of {target.version} is of {index.version}, or of another image of that name")
        return index

    def _stage(self, target: Target) -> None:
        index = self._index(target)
        try:
            self.writer.verify(index)
        except (Damaged, DiskFault):
            self._save(self._again(update.fetch(self.memory.state)))
            raise
        self.writer.publish(index)
        self._save(self.memory.to(update.stage(self.memory.state)))
        self._put_in_order(self.writer.facts())

    def _lock(self, action: Lock | Unlock) -> None:
        lock = self.outside.lock
        if isinstance(action, Lock):
            self._save(replace(self.memory, lock=ASKED), must=True)
            try:
                if lock:
                    lock.take()
            except Refused:
                self.memory = replace(self.memory, lock=FREE)
                raise
            self._save(replace(self.memory, lock=HELD))
        else:
            if lock:
                lock.give_back()
            self._save(replace(self.memory, lock=FREE))

    def _reboot(self, action: Reboot | Revert) -> None:
        target = action.target
        if isinstance(action, Revert):
            self.writer.step_aside(failed=True)
        elif target.version < self.writer.running or target.why == "rollback":
            self._step_aside(target)
        if isinstance(action, Reboot):
            self._save(self.memory.to(update.reboot(self.memory.state, self.writer.running)))
        self.outside.reboot()

    def _deny(self, target: Target) -> None:
        """Put the version that failed on the deny list, and take it off the disk's list of what may boot.

        The last is not done while the running version has yet to prove itself: the other may be all there is.
        """
        assert isinstance(self.memory.state, Reverted)
        reason, now = self.memory.state.reason, self.outside.now()
        entry = Denied(target.version, reason, now, self.outside.console(target.version))
        denied = replace(self.memory.deny(entry), lock=KEPT if self.memory.lock != FREE else FREE)
        self._save(denied.to(update.denylist(denied.state)), must=True)
        if target.version != self.writer.running and not self.writer.facts().unproven:
            self.writer.discard(target.version)

    # what people ask for

    def go_to(self, target: Target, reboot: str = BY_STRATEGY) -> None:
        """Install this version, older or denied or not, and stay there: an older one holds updates. Raises BadInput.

        `reboot` is one of `orlop.model.memory`. Asked again for the same version, it changes that and nothing else.
        """
        self._agree()  # a reboot that did not come is no reason to refuse
        state, named = self.memory.state, replace(target, why="named")
        if target.version == self.writer.running:
            raise BadInput(f"{target.version} runs already")
        memory = self.memory
        if target.version < self.writer.running:
            memory = replace(memory, hold=f"{target.version} was asked for by name")
        memory = replace(memory, reboot=reboot, retry_at=None, failures=0, failure="")
        if getattr(state, "target", None) == named:
            self._save(memory, must=True)
            return
        match state:
            case Idle() | update.Checking():
                self._save(memory.to(update.found(update.check(Idle()), named)), must=True)
            case update.Available() | update.Fetching() | Verifying() | Staged():
                self._save(memory.to(update.replace(state, named)), must=True)
            case _:
                raise self._in_the_middle()

    def look(self, reboot: str = BY_STRATEGY) -> Target | None:
        """Ask the catalog now. The version that the machine then goes to, or is on the way to; None: it stays.

        Raises OrlopError when the catalog does not answer, BadInput in a boot that has yet to prove itself.
        """
        state = self.memory.state
        if not isinstance(state, Idle | update.Available | update.Fetching | Verifying | Staged):
            raise self._in_the_middle()
        self.memory = replace(self.memory, retry_at=None, failures=0)
        self._check()
        if self.memory.failure:
            raise OrlopError(self.memory.failure)
        step = decide(self.snapshot())
        if isinstance(step.action, Drop):
            return None
        target = step.action.target if isinstance(step.action, Take) else getattr(self.memory.state, "target", None)
        if isinstance(step.action, Take):
            self._perform(step.action)
        if target is not None:
            self._save(replace(self.memory, reboot=reboot), must=True)
        return target

    def _in_the_middle(self) -> BadInput:
        name = update.name_of(self.memory.state)
        return BadInput(f"the machine is in the middle of an update ({name})", hint="wait until it is over")

    def hold(self, reason: str) -> None:
        self._save(replace(self.memory, hold=reason or "by hand"), must=True)

    def unhold(self) -> None:
        self._save(replace(self.memory, hold=""), must=True)

    def allow(self, version: Version) -> None:
        self._save(self.memory.allow(version), must=True)

    def roll_back(self, reason: str = "rolled back by hand") -> None:
        """Start the other version, and do not come back to this one by oneself. Raises BadInput when there is none.

        What was asked for is remembered when this returns: the next step reboots, and again when the reboot does not
        come.
        """
        facts, other = self.writer.facts(), self.writer.other()
        mine = facts.uki(facts.running)
        if not (other.blessed or other.bad or (mine and mine.bad)):
            raise BadInput(
                f"{other.version} is in the other slot, which this machine has not run yet",
                hint="name the version to go to: orlop node update --to VERSION",
            )
        target = Target(other.version, facts.other_hash, "rollback")
        denied = self.memory.deny(Denied(facts.running, reason, self.outside.now()))
        memory = replace(denied, retry_at=None, failures=0, failure="")
        self._save(memory.to(update.roll_back(memory.state, target)), must=True)
