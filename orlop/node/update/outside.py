"""What the engine meets, given to it as values: time, catalog of releases, this boot's health, reboot lock, reboot.

Lifetime: one a process, with the engine's. Invariant: what is asked here may fail, and the engine is none the worse.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from orlop.model.release.index import Index
from orlop.model.update.decide import Health
from orlop.model.update.memory import Memory
from orlop.model.update.repair import Repair
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.slot.progress import Progress


@dataclass(frozen=True)
class Situation:
    """What a machine is in when it asks a catalog: what it may be offered depends on this and on its settings alone."""

    now: datetime
    running: Version
    memory: Memory


class Catalog(Protocol):
    """What is on offer to this machine, already verified."""

    def offer(self, situation: Situation) -> Target | None:
        """What it should run, or None when nothing is. Raises OrlopError when it cannot be known now."""
        ...

    def index(self, target: Target, situation: Situation) -> Index:
        """The target's index. Raises OrlopError."""
        ...

    def fetcher(self, target: Target) -> Fetcher:
        """Where its blobs come from."""
        ...


class RebootLock(Protocol):
    def take(self, etcd: str = "") -> None:
        """`etcd`: the version that will run after the reboot, "" when it is not known. Raises LockRefused, NetError."""
        ...

    def give_back(self) -> None: ...


class Keeper(Protocol):
    """Who drives the engine."""

    def go_on(self, progress: Progress) -> bool:
        """Heard between two pieces of what takes long. False: the engine is wanted elsewhere, and leaves it for now."""
        ...

    def reboot(self) -> None:
        """Have the machine reboot. It may return: the machine is then about to go."""
        ...

    def repair(self) -> Repair | None:
        """The reboot that would mend what is wrong with the machine now."""
        ...


@dataclass
class Outside:
    """What the engine meets. `reboot` may return: the machine is then about to go. `repair`: one that would mend it."""

    now: Callable[[], datetime]
    catalog: Catalog
    reboot: Callable[[], None]
    health: Callable[[], Health] = Health
    sessions: Callable[[], int] = int
    lock: RebootLock | None = None
    console: Callable[[Version], str] = lambda _: ""
    repair: Callable[[], Repair | None] = lambda: None
    random: random.Random = field(default_factory=random.Random)
    go_on: Callable[[Progress], bool] = lambda _: True
