"""The states of an update, and how one becomes another.

    idle → checking → available → fetching → verifying → staged → rebooting
      ↑                   ↑___________|___________|_________|           │
      │                       a newer release replaces it               ↓
      ├── blessed ← healthy ← booted ──────────────────────────── booted the new slot?
      │                         └→ failed ─→ reverted ←────────────────┘ no
      └── denylisted ←──────────────────────────┘

A state is a frozen value with what it needs to go on and nothing more; a transition is a function that makes one state
out of another and refuses any other origin. Nothing here knows how a step is done: `orlop.model.decide` says what to do
next, `orlop.node.update` does it.

Invariant: a state that claims something about the disk claims only what the disk shows too. States are written to a
journal that may be lost or fall behind; `orlop.model.facts` puts them right, the disk being the judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orlop.errors import BadInput, OrlopError
from orlop.model.line import MAX_FAILURE, line
from orlop.model.version import Version


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
    """The new version runs and judged itself bad."""

    target: Target
    reason: str


@dataclass(frozen=True)
class Reverted:
    """The old version runs again."""

    target: Target
    reason: str


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
Replaceable = Available | Fetching | Verifying | Staged
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
    """A newer release, or one named by hand, takes the place of what was under way or staged."""
    old = _from(state, f"replace by {target.version}", Available, Fetching, Verifying, Staged).target
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


def lost(target: Target, *, tried: bool, running: bool, reason: str = "") -> State:
    """The state of a version that the disk knows and the journal does not: it runs unproven, it failed, or it waits."""
    if running:
        return Booted(target, None)
    return Reverted(target, reason) if tried else Staged(target)


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
    origin = _from(state, "call the boot healthy", Booted)
    return Healthy(origin.target, origin.old)


def bless(state: State) -> Blessed:
    return Blessed(_from(state, "bless", Healthy).target)


def fail(state: State, reason: str) -> Failed:
    return Failed(_from(state, "call the boot failed", Booted, Healthy).target, reason)


def revert(state: State, reason: str) -> Reverted:
    """The old version runs though the new one was tried."""
    return Reverted(_from(state, "revert", Staged, Rebooting, Booted, Healthy, Failed).target, reason)


def denylist(state: State) -> Denylisted:
    origin = _from(state, "deny the version", Reverted)
    return Denylisted(origin.target, origin.reason)


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
    return values


def from_json(values: object) -> State:
    """Raises BadInput when it is no state."""
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise BadInput("the state is no object of texts")
    kind = next((k for k in KINDS if k.__name__.lower() == values.get("is")), None)
    if kind is None:
        raise BadInput(f"there is no state {values.get('is')!r}")
    fields: dict[str, Any] = {}
    wanted = kind.__dataclass_fields__
    try:
        if "target" in wanted:
            fields["target"] = Target(Version.parse(values["version"]), values["root_hash"], values["why"])
        if "old" in wanted:
            fields["old"] = Version.parse(values["old"]) if "old" in values or kind is Rebooting else None
        if "reason" in wanted:
            fields["reason"] = line(values.get("reason", ""), MAX_FAILURE)
    except KeyError as e:
        raise BadInput(f"the state {values['is']} has no {e.args[0]}") from None
    return kind(**fields)
