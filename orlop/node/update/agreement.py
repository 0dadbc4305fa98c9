"""The engine's state and the disk: made to agree, and what a reboot would start kept in order.

A journal can be lost or fall behind, a reboot may not come, somebody else may reboot: before each decision the disk is
read, once, and the state follows it (`orlop.model.update.facts`). Lifetime: the engine's.

Invariant: whoever reboots the machine, at any moment, it starts what is staged, or else what runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import replace

from orlop.errors import OrlopError
from orlop.model.update import state as update
from orlop.model.update.facts import Facts, reconcile
from orlop.model.update.state import Idle, Reverted, Staged, Target
from orlop.node.update.notebook import Notebook
from orlop.node.update.outside import Outside
from orlop.node.update.slot.verity import Damaged
from orlop.node.update.slot.writer import Writer


class Agreement:
    """`facts` is what the disk showed last, None when it could not be read."""

    def __init__(self, writer: Writer, notes: Notebook, outside: Outside) -> None:
        self._writer, self._notes, self._outside = writer, notes, outside
        self._other_seen = False
        self.facts: Facts | None = None
        with contextlib.suppress(OrlopError):  # the first step meets it again, and says so
            self.look()

    def look(self) -> Facts:
        """Read the disk. Raises OrlopError when it cannot be read, and nothing is known of it then."""
        self.facts = None
        self.facts = self._writer.facts()
        return self.facts

    def drive(self, work: Generator[object]) -> bool:
        """Have the writer go on piece by piece until it is done; False when it was left, because of others' wishes."""
        with contextlib.closing(work):
            return all(self._outside.go_on(self._writer.progress) for _ in work)

    def agree(self) -> Facts | None:
        """Let the state agree with the disk; what the disk then shows. None when it was left: do it again, soon."""
        facts = self.look()
        proven = not isinstance(self._notes.memory.state, Staged | update.Rebooting | update.Booted | update.Healthy)
        if mended := self._writer.mend(facts, proven=proven):
            self._notes.note = mended
            facts = self.look()
        memory = self._notes.memory
        denied = frozenset({d.version for d in memory.denied} | {e.version for e in memory.excused})
        state, why = reconcile(memory.state, facts, denied)
        if state != memory.state:
            self._notes.note = why
            memory = memory.to(state)
            self._notes.save(memory)
        if memory.wish is not None and memory.wish.version == facts.running:
            self._notes.save(replace(memory, wish=None))  # the machine went there in another way
        in_order = self.put_in_order(facts)
        if in_order and isinstance(self._notes.memory.state, Idle) and not self._other_seen:
            self._other_seen = self._see_other(in_order)
            return in_order if self._other_seen else None
        return in_order

    def put_in_order(self, facts: Facts) -> Facts | None:
        """Whoever reboots the machine, it starts what is staged, an older version too, and else the running one.

        None when it was left.
        """
        state = self._notes.memory.state
        if isinstance(state, Staged) and state.target.version < facts.running and not facts.aside:
            if not self.step_aside(state.target):
                return None
        elif isinstance(state, Idle) and facts.aside:
            self._writer.stay()
        elif isinstance(state, Reverted) and facts.unproven and facts.failed(state.target.version):
            self._writer.discard(state.target.version)  # before both are bad, however long comparing them takes
        else:
            return facts
        return self.look()

    def step_aside(self, target: Target) -> bool:
        """Raises Damaged when the target is not whole: it is given up then. False when it was left."""
        try:
            return self.drive(self._writer.step_aside())
        except Damaged:
            self._writer.discard(target.version)
            self._notes.save(self._notes.memory.to(update.unstaged(self._notes.memory.state)))
            raise

    def _see_other(self, facts: Facts) -> bool:
        """The initrd starts another version when one that is not counted fails in it again and again: which is broken?

        One that is whole stays: somebody chose so in the boot menu, or it was not the slot that failed. False when it
        was left.
        """
        target = facts.passed_over
        if target is None:
            return True
        try:
            return self.drive(self._writer.check_other())
        except OrlopError as e:
            self._notes.note = f"{target.version} does not start any more: {e.message}"
            state = update.lost(target, tried=True, running=False, reason=self._notes.note, failed=("usr",))
            self._notes.save(self._notes.memory.to(state))
            return True

    def leave(self) -> bool:
        """Put the running version behind the other one. Raises Damaged when that is not whole: it leads nowhere.

        False when it was left.
        """
        try:
            return self.drive(self._writer.step_aside(failed=True))
        except Damaged:
            if other := self.look().other:
                self._writer.discard(other)
            raise

    def take_off(self, target: Target) -> None:
        """The version that failed, off the disk's list of what may boot: unless it may be all there is."""
        facts = self.look()
        if target.version != self._writer.running and (facts.failed(target.version) or not facts.unproven):
            self._writer.discard(target.version)
