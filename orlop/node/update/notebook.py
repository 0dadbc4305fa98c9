"""The engine's memory in its hands: what it remembers now, and which of it is in the journal.

Invariant: a checkpoint that cannot be written (/var is full, or fails) stops nothing that the disk itself remembers;
what it does not, a denied version and a lock, is not done without (`must`).
"""

from __future__ import annotations

import contextlib

from orlop.errors import NoSpace, OrlopError
from orlop.model.update.memory import Memory
from orlop.node.update.journal import Journal
from orlop.node.update.slot.device import DiskFault


class Notebook:
    """`memory` is replaced, never changed. `note` is what went wrong and stopped nothing."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.memory = journal.load()
        self.note = journal.note

    def save(self, memory: Memory, *, must: bool = False) -> None:
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

    def try_to_save(self, memory: Memory) -> None:
        """Remember it all the same, and say nothing more: a failure is being noted already."""
        self.memory = memory
        with contextlib.suppress(OrlopError):
            self.journal.save(memory)
