"""The states of an update, and how one becomes another.

    idle → checking → available → fetching → verifying → staged → rebooting
      ↑                   ↑___________|___________|_________|           │
      │                       a newer release replaces it               ↓
      ├── blessed ← healthy ←──── booted ─────────────────────── booted the new slot?
      │                  └ failed ←─┘ └→ reverted ←────────────────┘ no
      └── denylisted ←────────────────────┘ or, when it was not to blame, idle

What runs and has no other version to go back to, the first one of a machine above all, may be replaced from `booted`,
`healthy` and `failed` too, and is judged anew at each boot: a machine whose first boot was bad is no lost one.

A state is a frozen value with what it needs to go on and nothing more; a transition is a function that makes one state
out of another and refuses any other origin. Nothing here knows how a step is done: `orlop.model.update.decide` says
what to do next, `orlop.node.update` does it.

Invariant: a state that claims something about the disk claims only what the disk shows too. States are written to a
journal that may be lost or fall behind; `orlop.model.update.facts` puts them right, the disk being the judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orlop.errors import OrlopError
from orlop.model.words.line import MAX_FAILURE, line
from orlop.model.words.strict import Fields
from orlop.model.words.version import Version


class WrongState(OrlopError):
    """A transition was asked of a state that it does not start from."""


@dataclass(frozen=True)
class Target:
    """The version to go to, what it is known by, and why.

    `newer` and `pull-back` come from the repository, `named` and `rollback` from a person.
    """

    version: Version
    root_hash: str
    why: str = "newer"

    @property
    def by_hand(self) -> bool:
        return self.why in ("named", "rollback")

    @property
    def may_be_older(self) -> bool:
        return self.by_hand or self.why == "pull-back"


@dataclass(frozen=True)
class Idle:
    pass


@dataclass(frozen=True)
class Checking:
    pass


@dataclass(frozen=True)
class Available:
    target: Target


@dataclass(frozen=True)
class Fetching:
    target: Target


@dataclass(frozen=True)
class Verifying:
    target: Target


@dataclass(frozen=True)
class Staged:
    target: Target


@dataclass(frozen=True)
class Rebooting:
    target: Target
    old: Version


@dataclass(frozen=True)
class Booted:
    target: Target
    old: Version | None


@dataclass(frozen=True)
class Healthy:
    target: Target
    old: Version | None


@dataclass(frozen=True)
class Blessed:
    target: Target


@dataclass(frozen=True)
class Failed:
    """What runs judged itself bad: it is left, or, with nothing to go back to, stays until it is mended or replaced.

    `failed` is what failed in it, as `orlop.model.update.blame` knows it; empty when there was no verdict.
    """

    target: Target
    reason: str
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reverted:
    """The old version runs again, and it is looked whether the new one was to blame."""

    target: Target
    reason: str
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Denylisted:
    target: Target
    reason: str


State = (
    Idle
    | Checking
    | Available
    | Fetching
    | Verifying
    | Staged
    | Rebooting
    | Booted
    | Healthy
    | Blessed
    | Failed
    | Reverted
    | Denylisted
)
UNDER_WAY = (Checking, Available, Fetching, Verifying)  # to being staged
KINDS: tuple[type[State], ...] = (
    Idle, Checking, Available, Fetching, Verifying, Staged, Rebooting, Booted, Healthy, Blessed, Failed, Reverted,
    Denylisted,
)  # fmt: skip


def name_of(state: State) -> str:
    return type(state).__name__.lower()


def check(state: State) -> Checking:
    _from(state, "check for an update", Idle)
    return Checking()


def nothing(state: State) -> Idle:
    _from(state, "end a check", Checking)
    return Idle()


def found(state: State, target: Target) -> Available:
    _from(state, f"take up {target.version}", Checking)
    return Available(target)


def replace(state: State, target: Target) -> Available:
    """A newer release, or one named by hand, takes the place of what was under way, staged, or runs and is unproven."""
    origins = (Available, Fetching, Verifying, Staged, Booted, Healthy, Failed, Reverted)
    old = _from(state, f"replace by {target.version}", *origins).target
    if old.version >= target.version and not target.may_be_older:
        raise WrongState(f"{target.version} cannot replace {old.version}, which is newer")
    return Available(target)


def fetch(state: State) -> Fetching:
    """Also from `verifying`, when what was written is not what it should be."""
    return Fetching(_from(state, "fetch", Available, Verifying).target)


def fetched(state: State) -> Verifying:
    return Verifying(_from(state, "verify", Fetching).target)


def stage(state: State) -> Staged:
    return Staged(_from(state, "stage", Verifying).target)


def roll_back(_state: State, target: Target) -> Staged:
    """Whatever was under way, the version in the other slot is what the next boot is to start."""
    return Staged(target)


def drop(state: State) -> Idle:
    """Give up what was under way or staged."""
    _from(state, "drop the update", Checking, Available, Fetching, Verifying, Staged)
    return Idle()


def lost(target: Target, *, tried: bool, running: bool, reason: str = "", failed: tuple[str, ...] = ()) -> State:
    """The state of a version that the disk knows and the journal does not: it runs unproven, it failed, or it waits."""
    if running:
        return Booted(target, None)
    return Reverted(target, reason, failed) if tried else Staged(target)


def reboot(state: State, running: Version) -> Rebooting:
    return Rebooting(_from(state, "reboot", Staged).target, running)


def stayed(state: State) -> Staged:
    """The machine came up in the old version, and the new one has not been tried."""
    return Staged(_from(state, "stay", Rebooting).target)


def unstaged(state: State) -> Available:
    """What was staged is not on the disk any more."""
    return Available(_from(state, "stage again", Staged, Rebooting).target)


def booted(state: State) -> Booted:
    """The machine came up in the new version. Also from `staged`: somebody else rebooted it."""
    origin = _from(state, "boot the new version", Staged, Rebooting)
    return Booted(origin.target, origin.old if isinstance(origin, Rebooting) else None)


def healthy(state: State) -> Healthy:
    """Also from `failed`: it was mended, and a later boot of it is good."""
    origin = _from(state, "call the boot healthy", Booted, Failed)
    return Healthy(origin.target, getattr(origin, "old", None))


def bless(state: State) -> Blessed:
    return Blessed(_from(state, "bless", Healthy).target)


def fail(state: State, reason: str, failed: tuple[str, ...] = ()) -> Failed:
    return Failed(_from(state, "call the boot failed", Booted, Healthy).target, reason, failed)


def revert(state: State, reason: str) -> Reverted:
    """The old version runs though the new one was tried."""
    origin = _from(state, "revert", Staged, Rebooting, Booted, Healthy, Failed)
    return Reverted(origin.target, reason, getattr(origin, "failed", ()))


def denylist(state: State) -> Denylisted:
    origin = _from(state, "deny the version", Reverted)
    return Denylisted(origin.target, origin.reason)


def excuse(state: State) -> Idle:
    """It was not to blame."""
    _from(state, "excuse the version", Reverted)
    return Idle()


def settle(state: State) -> Idle:
    _from(state, "settle", Blessed, Denylisted)
    return Idle()


def _from(state: State, what: str, *origins: type[State]) -> Any:
    """The state, if it is of one of the kinds. Raises WrongState."""
    if not isinstance(state, origins):
        wanted = " or ".join(kind.__name__.lower() for kind in origins)
        raise WrongState(f"cannot {what} while {name_of(state)}: that follows {wanted}")
    return state


def to_json(state: State) -> dict[str, Any]:
    values: dict[str, Any] = {"is": name_of(state)}
    if target := getattr(state, "target", None):
        values |= {"version": str(target.version), "root_hash": target.root_hash, "why": target.why}
    if old := getattr(state, "old", None):
        values["old"] = str(old)
    if reason := getattr(state, "reason", ""):
        values["reason"] = reason
    if failed := getattr(state, "failed", ()):
        values["failed"] = " ".join(failed)
    return values


def from_json(values: object) -> State:
    """Raises BadInput, naming the field, when it is no state."""
    about = Fields.of("state", values)
    kinds = {kind.__name__.lower(): kind for kind in KINDS}
    kind = kinds[about.choice("is", *kinds)]
    fields: dict[str, Any] = {}
    wanted = kind.__dataclass_fields__
    if "target" in wanted:
        fields["target"] = Target(about.version("version"), about.value("root_hash", str), about.value("why", str))
    if "old" in wanted:
        fields["old"] = about.version("old") if about.has("old") or kind is Rebooting else None
    if "reason" in wanted:
        fields["reason"] = line(about.value("reason", str, ""), MAX_FAILURE)
    if "failed" in wanted:
        fields["failed"] = tuple(about.value("failed", str, "").split())
    return kind(**fields)
