"""What the update engine remembers from one step to the next, and across reboots: the content of its journal.

Everything that matters for whether the machine can boot is on the disk, not here: with an empty memory the engine finds
out from slots and UKIs where it is (`orlop.model.facts`). What only memory knows is what people asked for (hold), what
was learnt (the deny list's reasons), and when to try again.

Invariant: what `decode` returns is valid; a moment is UTC, in whole seconds. Reasons are lines, whatever was written
down: a record with something else in them is no reason to forget the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orlop.errors import BadInput
from orlop.model import update
from orlop.model.line import MAX_FAILURE, line
from orlop.model.update import Idle, State, Target
from orlop.model.version import Version

FREE, ASKED, HELD, KEPT = "free", "asked", "held", "kept"
BY_STRATEGY, NOW, BY_HAND = "by-strategy", "now", "by-hand"
MAX_EXCERPT = 4000  # characters of a console kept with a denied version


@dataclass(frozen=True)
class Denied:
    """A version this machine will not go to by itself. `excerpt` is the end of the console, where there was one."""

    version: Version
    reason: str
    at: datetime
    excerpt: str = ""


@dataclass(frozen=True)
class Memory:
    """`hold` is why updates are held (empty: they are not). `failures` counts in a row; `retry_at` is when to go on.

    `lock` is what is known of the reboot lock: `asked` is noted before it is asked for, so that none is ever forgotten;
    `kept` is one that stays taken after a failed update, to keep other machines from the same. `reboot` is what was
    asked for with this update: `now`, whatever the strategy says, or `by-hand`, never by itself.
    """

    state: State = field(default_factory=Idle)
    denied: tuple[Denied, ...] = ()
    hold: str = ""
    offer: Target | None = None
    checked_at: datetime | None = None
    failure: str = ""
    failures: int = 0
    retry_at: datetime | None = None
    reboot_wanted_at: datetime | None = None
    lock: str = FREE
    reboot: str = BY_STRATEGY

    def to(self, state: State) -> Memory:
        """In another state: what was counted for the last one is over."""
        if state == self.state:
            return self
        reboot = BY_STRATEGY if isinstance(state, Idle) else self.reboot
        return replace(self, state=state, failures=0, retry_at=None, reboot_wanted_at=None, reboot=reboot)

    def denies(self, version: Version) -> Denied | None:
        return next((d for d in self.denied if d.version == version), None)

    def deny(self, entry: Denied) -> Memory:
        """On the deny list; what was noted first for a version stays."""
        if self.denies(entry.version):
            return self
        kept = tuple(d for d in self.denied if d.version != entry.version)
        return replace(self, denied=(*kept, replace(entry, excerpt=entry.excerpt[-MAX_EXCERPT:])))

    def allow(self, version: Version) -> Memory:
        """Take the version off the deny list. Raises BadInput when it is not on it."""
        if self.denies(version) is None:
            have = ", ".join(str(d.version) for d in self.denied) or "none"
            raise BadInput(f"{version} is not on the deny list", hint=f"denied are: {have}")
        return replace(self, denied=tuple(d for d in self.denied if d.version != version))

    def failed(self, message: str, retry_at: datetime) -> Memory:
        return replace(self, failure=message, failures=self.failures + 1, retry_at=retry_at)


def encode(memory: Memory) -> dict[str, Any]:
    return {
        "state": update.to_json(memory.state),
        "denied": [
            {"version": str(d.version), "reason": d.reason, "at": _stamp(d.at), "excerpt": d.excerpt}
            for d in memory.denied
        ],
        "hold": memory.hold,
        "offer": None if memory.offer is None else _target_json(memory.offer),
        "failure": memory.failure,
        "failures": memory.failures,
        "lock": memory.lock,
        "reboot": memory.reboot,
        **{name: _stamp(at) if (at := getattr(memory, name)) else None for name in _MOMENTS},
    }


_MOMENTS = ("checked_at", "retry_at", "reboot_wanted_at")


def decode(values: object) -> Memory:
    """Raises BadInput, naming the field, when something is not as `encode` writes it."""
    if not isinstance(values, dict):
        raise BadInput("the journal's record is no object")
    moments = {name: _get(values, name, _moment_or_none) for name in _MOMENTS}
    denied = _get(values, "denied", list)
    return Memory(
        state=update.from_json(values.get("state")),
        denied=tuple(_denied(d) for d in denied),
        hold=line(_get(values, "hold", str)),
        offer=None if values.get("offer") is None else _target(values["offer"]),
        failure=line(_get(values, "failure", str), MAX_FAILURE),
        failures=_get(values, "failures", int),
        lock=_get(values, "lock", _lock),
        reboot=_get(values, "reboot", _reboot),
        **moments,
    )


def _denied(values: object) -> Denied:
    if not isinstance(values, dict):
        raise BadInput("an entry of the deny list is no object")
    at = _get(values, "at", _moment_or_none)
    if at is None:
        raise BadInput("an entry of the deny list has no time")
    reason = line(_get(values, "reason", str), MAX_FAILURE)
    return Denied(Version.parse(_get(values, "version", str)), reason, at, _get(values, "excerpt", str))


def _target_json(target: Target) -> dict[str, str]:
    return {"version": str(target.version), "root_hash": target.root_hash, "why": target.why}


def _target(values: object) -> Target:
    if not isinstance(values, dict):
        raise BadInput("the offer is no object")
    version, root_hash, why = (_get(values, key, str) for key in ("version", "root_hash", "why"))
    return Target(Version.parse(version), root_hash, why)


def _get(values: dict[str, Any], name: str, kind: type | Callable[[Any], Any]) -> Any:
    found = values.get(name)
    if not isinstance(kind, type):
        return kind(found)
    if type(found) is not kind:
        raise BadInput(f"{name} is no {kind.__name__}")
    return found


def _lock(found: object) -> str:
    if found not in (FREE, ASKED, HELD, KEPT):
        raise BadInput(f"{found!r} is no state of a lock")
    return str(found)


def _reboot(found: object) -> str:
    if found not in (None, BY_STRATEGY, NOW, BY_HAND):  # journals of older versions have none
        raise BadInput(f"{found!r} is no way to reboot")
    return BY_STRATEGY if found is None else str(found)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment_or_none(found: object) -> datetime | None:
    if found is None:
        return None
    try:
        return datetime.strptime(str(found), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(f"{found!r} is no moment") from None
