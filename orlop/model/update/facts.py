"""What the disk and the boot show, and what follows for a memory that says otherwise.

A journal can be lost, fall behind or be garbage; a UKI's name and a slot's label cannot lie about what the next boot
will do. So at every start, and after every failure, the engine's state is made to agree with the facts.

Invariant: `reconcile` depends on nothing but its arguments, is idempotent, and from the same facts leads any memory to
a state from which no healthy version is ever overwritten or hidden: the running slot is known from the kernel's command
line alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from orlop.model.update import state as update
from orlop.model.update.boot import Uki, order
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
from orlop.model.words.version import Version


@dataclass(frozen=True)
class Facts:
    """`other` and `other_hash` are what the slot that does not run is labelled with, None and "" when it is empty.

    `names` are the files in EFI/Linux. `running_hash` and `other_hash` are root hashes, hexadecimal. `letter` is the
    slot's that runs, A or B.
    """

    running: Version
    running_hash: str
    other: Version | None
    other_hash: str
    names: tuple[str, ...]
    letter: str = "A"

    def uki(self, version: Version) -> Uki | None:
        """The version's UKI; of several names for it the one with the most trust."""
        return next((uki for uki in order(self.names) if uki.version == version), None)

    def failed(self, version: Version) -> bool:
        """The version was started, and no try of it is left."""
        uki = self.uki(version)
        return uki is not None and uki.bad and uki.done > 0

    @property
    def unproven(self) -> bool:
        """The running version is still counted, its last try included: the other slot is what is fallen back to."""
        uki = self.uki(self.running)
        return uki is not None and not uki.blessed and (uki.done > 0 or not uki.bad)

    @property
    def on_trial(self) -> bool:
        """The running version has yet to prove itself, and there is another one that it may not cost the machine."""
        return self.unproven and self.way_back

    @property
    def aside(self) -> bool:
        """The running version was put behind the other one, and the reboot into that has not come."""
        uki = self.uki(self.running)
        return uki is not None and uki.bad and uki.done == 0

    @property
    def ahead(self) -> bool:
        """The other version is newer and has tries left: it starts next, whatever becomes of the running one."""
        uki = self._others()
        return uki is not None and uki.version > self.running and not uki.blessed and not uki.bad

    @property
    def way_back(self) -> bool:
        """There is another version to fall back to: one that has neither failed nor has yet to be tried.

        Where there is none, the running version is all there is, proven or not, and may be replaced at any time.
        """
        uki = self._others()
        return uki is not None and not (uki.bad and uki.done) and not self.ahead

    def _others(self) -> Uki | None:
        return None if self.other is None else self.uki(self.other)

    @property
    def passed_over(self) -> Target | None:
        """A newer version that is blessed and does not run: it did not start, or somebody chose the running one."""
        if self.other is None or self.other <= self.running or self.unproven:
            return None
        target = Target(self.other, self.other_hash)
        uki = self.published(target)
        return target if uki is not None and uki.blessed else None

    def published(self, target: Target) -> Uki | None:
        """The UKI of the target when slot and UKI are both there."""
        there = self.other == target.version and self.other_hash == target.root_hash
        return self.uki(target.version) if there else None


def reconcile(state: State, facts: Facts, denied: frozenset[Version] = frozenset()) -> tuple[State, str]:
    """The state the facts allow, and a sentence when it is another one. `denied`: failures that are known already."""
    if _is_over(state, facts, denied):
        state = Idle()
    match state:
        case Staged(target) | Rebooting(target):
            if target.version == facts.running:
                return _proven(update.booted(state), facts)
            return _waiting(state, target, facts)
        case Booted(target) | Healthy(target) | Failed(target):
            if target.version == facts.running:
                return _proven(state, facts)
            reason = state.reason if isinstance(state, Failed) else f"{target.version} did not become healthy"
            return update.revert(state, reason), f"back in {facts.running}: {reason}"
        case Available(target) | Fetching(target) | Verifying(target):
            if target.version == facts.running:
                state, why = _forgotten(Idle(), facts, None, denied)
                return state, why or f"{target.version} runs already"
            return _forgotten(state, facts, target, denied)
        case Idle() | Checking():
            return _forgotten(state, facts, None, denied)
        case Blessed() | Reverted() | Denylisted():
            return state, ""
    raise AssertionError(state)


def _is_over(state: State, facts: Facts, denied: frozenset[Version]) -> bool:
    """The way to the target ended and another version runs since: the journal fell behind by a whole update.

    Only who rolls back by hand, which denies the running version, is on the way to one that is blessed. And where a
    newer version runs, nobody is on the way to an older one who did not want that.
    """
    if not isinstance(state, Available | Fetching | Verifying | Staged | Rebooting | Booted | Healthy | Failed):
        return False
    target = state.target
    if target.version < facts.running and not target.may_be_older:
        return True
    if not isinstance(state, Staged | Rebooting | Booted | Healthy):
        return False
    uki = facts.published(target)
    rolls_back = target.why == "rollback" and facts.running in denied
    return target.version != facts.running and uki is not None and uki.blessed and not rolls_back


def _proven(state: State, facts: Facts) -> tuple[State, str]:
    """The new version runs: blessed already, or still counted. One that had failed and is blessed was mended."""
    uki = facts.uki(facts.running)
    if uki is None or not uki.blessed:
        waits = isinstance(state, Booted)
        return state, f"{facts.running} runs and has yet to prove itself" if waits else ""
    if isinstance(state, Booted | Failed):
        state = update.healthy(state)
    return update.bless(state), f"{facts.running} is blessed"


def _waiting(state: State, target: Target, facts: Facts) -> tuple[State, str]:
    """The old version runs, and the new one should be there to be booted."""
    uki = facts.published(target)
    if uki is None:
        return update.unstaged(state), f"{target.version} is not whole on the disk any more"
    if uki.bad and uki.done:
        reason = f"{target.version} was started {_times(uki.done)} and did not become healthy"
        return update.revert(state, reason), f"back in {facts.running}: {reason}"
    if isinstance(state, Rebooting):
        return update.stayed(state), f"the machine came up in {facts.running}: {target.version} waits for a reboot"
    return state, ""


def _forgotten(state: State, facts: Facts, wanted: Target | None, denied: frozenset[Version]) -> tuple[State, str]:
    """What the disk knows and the memory does not: the journal was lost, or fell behind."""
    if facts.unproven and (facts.way_back or (wanted is None and not facts.ahead)):
        target = Target(facts.running, facts.running_hash)
        return update.lost(target, tried=True, running=True), f"{facts.running} runs and has yet to prove itself"
    if facts.other is None:
        return state, ""
    target = Target(facts.other, facts.other_hash)
    if wanted is not None and wanted.version != target.version:
        return state, ""  # it is about to be replaced
    if wanted is not None and wanted.root_hash == target.root_hash:
        target = wanted
    uki = facts.published(target)
    if uki is None or uki.blessed:
        return state, ""  # half-written, or simply the version before this one
    if uki.bad:
        if target.version in denied or not uki.done:
            return state, ""  # known already, or put aside by hand: no failure
        reason = f"{target.version} was started {_times(uki.done)} and did not become healthy"
        return update.lost(target, tried=True, running=False, reason=reason), reason
    if target.version < facts.running and wanted is None:
        return state, ""  # it waits behind the running version: nothing leads to it
    return update.lost(target, tried=False, running=False), f"{target.version} is on the disk and waits for a reboot"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
