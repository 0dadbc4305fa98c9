"""The engine: what `orlop.model.update.decide` says is next, done and noted.

    snapshot → decide → perform → transition → checkpoint → …

One `step` does one action and returns it with its reason. Everything that is outside — time, the catalog of releases,
the servers, the lock, the reboot — is given to it, so a test drives it through years in a second. Lifetime: one engine
a process; a new one after any kill starts from the journal and the disk.

Invariant: before each decision the state agrees with the disk; an action that failed leaves the state where it was,
says why, and is tried again later. What takes long asks between two pieces whether to go on (`outside.go_on`), and is
left when not: the state then is still the one in which it is done.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

from orlop.cluster.lock import LockRefused
from orlop.errors import BadInput, OrlopError
from orlop.model.release.index import Index
from orlop.model.update import polling
from orlop.model.update import state as update
from orlop.model.update.actions import (
    Action,
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
from orlop.model.update.decide import Settings, Snapshot, decide
from orlop.model.update.facts import Facts
from orlop.model.update.memory import ASKED, BY_STRATEGY, FREE, HELD, KEPT, Denied, Memory
from orlop.model.update.state import Idle, Reverted, Target
from orlop.model.words.version import Version
from orlop.net.errors import Overloaded
from orlop.node.update.agreement import Agreement
from orlop.node.update.journal import Journal
from orlop.node.update.notebook import Notebook
from orlop.node.update.outside import Outside, Situation
from orlop.node.update.slot.device import DiskFault
from orlop.node.update.slot.verity import Damaged
from orlop.node.update.slot.writer import Writer

FIRST_RETRY = timedelta(seconds=15)
LAST_RETRY = timedelta(hours=4)
LOCK_RETRY = timedelta(minutes=1)


class Engine:
    """`memory` is what the journal has; `settings` may be replaced between steps."""

    def __init__(self, writer: Writer, journal: Journal, outside: Outside, settings: Settings) -> None:
        self.writer, self.journal, self.outside, self.settings = writer, journal, outside, settings
        self._notes = Notebook(journal)
        self._save = self._notes.save
        self._unanswered = 0  # checks in a row
        if self.memory == Memory() and outside.lock:
            self.memory = replace(self.memory, lock=ASKED)  # perhaps: nobody remembers
        self.check_at = polling.first(outside.now(), settings.first_within, outside.random.random())
        self._disk = Agreement(writer, self._notes, outside)

    @property
    def memory(self) -> Memory:
        return self._notes.memory

    @memory.setter
    def memory(self, memory: Memory) -> None:
        """Without a checkpoint: what the next start finds out again."""
        self._notes.memory = memory

    @property
    def note(self) -> str:
        return self._notes.note

    @property
    def facts(self) -> Facts | None:
        """What the disk showed last; None when it could not be read."""
        return self._disk.facts

    def step(self) -> Step:
        """Do what is next. Only defects raise: what went wrong is in the memory, and `Rest` comes of it.

        An action that was left because somebody wants the engine is decided again in the next step. When nothing is to
        be done, the disk is read once.
        """
        try:
            facts = self._disk.agree()
            if facts is None:
                return Step(Rest(self.outside.now()), "somebody asks for something")
            step = decide(self.snapshot(facts))
        except OrlopError as e:
            self._failed(e)
            return Step(Rest(self.memory.retry_at), e.message)
        try:
            self._perform(step.action)
        except LockRefused as e:
            self._failed(e, LOCK_RETRY)
        except OrlopError as e:
            self._failed(e)
        if not isinstance(step.action, Rest | Check):
            with contextlib.suppress(OrlopError):  # the next step meets it again
                self._disk.look()
        return step

    def situation(self) -> Situation:
        return Situation(self.outside.now(), self.writer.running, self.memory)

    def snapshot(self, facts: Facts) -> Snapshot:
        """`facts` is what the disk has just shown."""
        outside = self.outside
        settings = replace(self.settings, lock=outside.lock is not None)
        health, sessions = outside.health(), outside.sessions()
        now, repair = outside.now(), outside.repair()
        return Snapshot(now, self.memory, facts, settings, health, sessions, self.check_at, repair)

    def _failed(self, error: OrlopError, wait: timedelta | None = None) -> None:
        """Remember why, and when to go on: later each time, never at the same moment as the other machines."""
        memory, now = self.memory, self.outside.now()
        pause = wait or min(FIRST_RETRY * 2 ** min(memory.failures, 16), LAST_RETRY)
        if isinstance(error, Overloaded) and error.after:
            alone = polling.bounded(error.after) * 1.25  # not before it said: some come a fifth early
            pause, self.check_at = max(pause, alone), max(self.check_at, now + alone)
        until = now + pause * self.outside.random.uniform(0.8, 1.2)
        why = error.message + (f" ({error.hint})" if error.hint else "")
        self._notes.try_to_save(memory.failed(why, until))

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
            case Mend():
                self.outside.reboot()
            case Deny(target, because):
                self._deny(target, because)
            case Excuse(target, because):
                self._excuse(target, because)
            case _:
                self._move(action)

    def _move(self, action: Take | Drop | Wish | Judge | Settle) -> None:
        """Actions that are little more than their transition."""
        memory, state = self.memory, self.memory.state
        match action:
            case Take(target):
                wish = None if memory.wish == target else memory.wish
                taken = update.found(update.check(state), target) if isinstance(state, Idle) else None
                self._save(replace(memory.to(taken or update.replace(state, target)), wish=wish))
            case Drop(target):
                self.writer.discard(target.version)
                self._save(memory.to(update.drop(state)))
            case Wish():
                self._save(replace(memory, reboot_wanted_at=self.outside.now()))
            case Judge(good):
                health = self.outside.health()
                judged = update.healthy(state) if good else update.fail(state, health.reason, health.failed)
                self._save(memory.to(judged))
            case Settle():
                memory = memory.proven(self.writer.running) if isinstance(state, update.Blessed) else memory
                self._save(memory.to(update.settle(state)))

    def _check(self) -> None:
        """Ask the catalog. When it does not answer, what it said last still holds."""
        before = self.memory.state
        if isinstance(before, Idle):
            self.memory = replace(self.memory, state=update.check(before))
        asked = None
        try:
            offer, failure, self._unanswered = self.outside.catalog.offer(self.situation()), "", 0
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
        if self._disk.drive(self.writer.fill(index, self.outside.catalog.fetcher(target))):
            self._save(self._again(update.fetched(self.memory.state)))

    def _again(self, state: update.Fetching | update.Verifying) -> Memory:
        """Between fetching and verifying, which lead to each other as long as it fails: the failures count on."""
        return replace(self.memory.to(state), failures=self.memory.failures)

    def _index(self, target: Target) -> Index:
        index = self.outside.catalog.index(target, self.situation())
        if index.version != target.version or index.root_hash != target.root_hash:
            raise BadInput(f"the index of {target.version} is of {index.version}, or of another image of that name")
        return index

    def _stage(self, target: Target) -> None:
        index = self._index(target)
        try:
            if not self._disk.drive(self.writer.verify(index)):
                return
        except (Damaged, DiskFault):
            self._save(self._again(update.fetch(self.memory.state)))
            raise
        self.writer.publish(index)
        self._save(self.memory.to(update.stage(self.memory.state)))
        self._disk.put_in_order(self._disk.look())

    def _lock(self, action: Lock | Unlock) -> None:
        lock, before = self.outside.lock, self.memory.lock
        if isinstance(action, Lock):
            self._save(replace(self.memory, lock=ASKED), must=True)
            try:
                if lock:
                    lock.take(self._etcd())
            except LockRefused:
                self.memory = replace(self.memory, lock=before)  # a refusal takes nothing away
                raise
            self._save(replace(self.memory, lock=HELD))
        else:
            if lock:
                lock.give_back()
            self._save(replace(self.memory, lock=FREE))

    def _etcd(self) -> str:
        """Of the version that is started next; "" when that is the same, or its index cannot be had now."""
        state = self.memory.state
        if not isinstance(state, update.Staged):
            return ""
        with contextlib.suppress(OrlopError):
            return self._index(state.target).etcd
        return ""

    def _reboot(self, action: Reboot | Revert) -> None:
        target = action.target
        behind = target.version < self.writer.running or target.why == "rollback"
        if isinstance(action, Revert) and not self._disk.leave():
            return
        if isinstance(action, Reboot) and behind and not self._disk.step_aside(target):
            return
        if isinstance(action, Reboot):
            self._save(self.memory.to(update.reboot(self.memory.state, self.writer.running)))
        self.outside.reboot()

    def _deny(self, target: Target, because: str) -> None:
        """Put the version that failed on the deny list, and take it off the disk's list of what may boot.

        The last is not done while the running version has yet to prove itself and could fall back to it: it may be all
        there is. One that failed is nothing to fall back to, and were both bad it might be started for ever.
        """
        assert isinstance(self.memory.state, Reverted)
        reason, now = "; ".join(filter(None, (self.memory.state.reason, because))), self.outside.now()
        entry = Denied(target.version, reason, now, self.outside.console(target.version))
        denied = replace(self.memory.deny(entry), lock=KEPT if self.memory.lock != FREE else FREE)
        self._save(denied.to(update.denylist(denied.state)), must=True)
        self._disk.take_off(target)

    def _excuse(self, target: Target, because: str) -> None:
        """Try the version again later. It goes off the disk first: what is there and failed is what failed last."""
        assert isinstance(self.memory.state, Reverted)
        self._disk.take_off(target)
        reason = f"{self.memory.state.reason}; {because}"
        excused = self.memory.excuse(target.version, reason, self.outside.now())
        self._save(excused.to(update.excuse(excused.state)), must=True)

    # what people ask for

    def go_to(self, target: Target, reboot: str = BY_STRATEGY) -> bool:
        """Install this version, older or denied or not, and stay there: an older one holds updates. Raises BadInput.

        False: another version is on trial, and the one before it is not given up for this one; it follows as soon as
        that is over. `reboot` is one of `orlop.model.update.memory`. Asked again for the same version, it changes that
        and nothing else.
        """
        facts = self._disk.agree() or self._disk.look()  # a reboot that did not come is no reason to refuse
        named = replace(target, why="named")
        if target.version == self.writer.running:
            raise BadInput(f"{target.version} runs already")
        memory = replace(self.memory, reboot=reboot, retry_at=None, failures=0, failure="", wish=named)
        if target.version < self.writer.running:
            memory = replace(memory, hold=f"{target.version} was asked for by name")
        if getattr(memory.state, "target", None) == named and self._open(facts):
            self._save(replace(memory, wish=None), must=True)
            return True
        self._save(memory, must=True)
        step = decide(self.snapshot(facts))
        if isinstance(step.action, Take):
            self._perform(step.action)
        return self.memory.wish is None

    def _open(self, facts: Facts) -> bool:
        """Another version may take the place of what is under way, or of what runs."""
        ended = isinstance(self.memory.state, update.Rebooting | update.Blessed | update.Denylisted)
        return not ended and not facts.on_trial

    def look(self, reboot: str = BY_STRATEGY) -> Target | None:
        """Ask the catalog now. The version that the machine then goes to, or is on the way to; None: it stays.

        Raises OrlopError when the catalog does not answer, BadInput while a version is on trial.
        """
        facts = self._disk.look()
        if not self._open(facts):
            raise self._on_trial()
        self.memory = replace(self.memory, retry_at=None, failures=0)
        self._check()
        if self.memory.failure:
            raise OrlopError(self.memory.failure)
        step = decide(self.snapshot(facts))
        if isinstance(step.action, Drop):
            return None
        target = step.action.target if isinstance(step.action, Take) else getattr(self.memory.state, "target", None)
        if isinstance(step.action, Take):
            self._perform(step.action)
        if target is None or target.version == self.writer.running:
            return None
        self._save(replace(self.memory, reboot=reboot), must=True)
        return target

    def _on_trial(self) -> BadInput:
        return BadInput(
            f"{self.writer.running} runs, and what became of the last update is not settled yet "
            f"({update.name_of(self.memory.state)})",
            hint="wait for its verdict, or name the version that is to follow: orlop node update --to VERSION",
        )

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
        facts, other = self._disk.look(), self.writer.other()
        self._disk.drive(self.writer.check_other())
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
