"""What the update engine may be told to do next: one value an action, with what it needs and nothing more.

`orlop.model.update.decide` chooses, `orlop.node.update.engine` does. Invariant: what an action means does not depend
on when it is done; the state it belongs to is the memory's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orlop.model.update.state import Target


@dataclass(frozen=True)
class Rest:
    """Nothing to do until then; None: until something changes."""

    until: datetime | None = None


@dataclass(frozen=True)
class Check:
    """Ask what this machine should run."""


@dataclass(frozen=True)
class Take:
    """Go to the target: it was offered, and nothing speaks against it, or it was named."""

    target: Target


@dataclass(frozen=True)
class Fetch:
    target: Target


@dataclass(frozen=True)
class Stage:
    """Verify what was written, and publish it."""

    target: Target


@dataclass(frozen=True)
class Drop:
    """Give up the target, and take it off the disk's list of what may boot."""

    target: Target


@dataclass(frozen=True)
class Lock:
    pass


@dataclass(frozen=True)
class Unlock:
    pass


@dataclass(frozen=True)
class Wish:
    """Note that a reboot is wanted though somebody is logged in."""


@dataclass(frozen=True)
class Reboot:
    target: Target


@dataclass(frozen=True)
class Mend:
    """Reboot for the machine's sake: into what it would start anyway."""


@dataclass(frozen=True)
class Revert:
    """Leave the version that judged itself bad: put it behind the other one, and reboot."""

    target: Target


@dataclass(frozen=True)
class Deny:
    """`because` says which comparison decided, where one had to."""

    target: Target
    because: str = ""


@dataclass(frozen=True)
class Excuse:
    """It was not to blame: try it again later."""

    target: Target
    because: str


@dataclass(frozen=True)
class Judge:
    """Take the health verdict into the state."""

    good: bool


@dataclass(frozen=True)
class Settle:
    """The update is over."""


Action = (
    Rest | Check | Take | Fetch | Stage | Drop | Lock | Unlock | Wish | Reboot | Mend | Revert | Deny | Excuse | Judge
    | Settle
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    action: Action
    reason: str
