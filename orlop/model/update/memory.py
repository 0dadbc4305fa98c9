"""What the update engine remembers from one step to the next, and across reboots: the content of its journal.

Everything that matters for whether the machine can boot is on the disk, not here: with an empty memory the engine finds
out from slots and UKIs where it is (`orlop.model.update.facts`). What only memory knows is what people asked for
(hold), what was learnt (the deny list's reasons), and when to try again.

Invariant: what `decode` returns is valid; a moment is UTC, in whole seconds. Reasons are lines, whatever was written
down: a record with something else in them is no reason to forget the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from orlop.errors import BadInput
from orlop.model.update import state as update
from orlop.model.update.state import Idle, State, Target
from orlop.model.words.line import MAX_FAILURE, line
from orlop.model.words.strict import Fields, stamp
from orlop.model.words.version import Version

FREE, ASKED, HELD, KEPT = "free", "asked", "held", "kept"
BY_STRATEGY, NOW, BY_HAND = "by-strategy", "now", "by-hand"
FIRST_EXCUSE, LAST_EXCUSE = timedelta(hours=1), timedelta(hours=24)
MOST_EXCUSED = 10
MAX_ENTRIES = 10_000  # of a list: each is a version that failed here
MAX_EXCERPT = 4000  # characters of a console kept with a denied version


@dataclass(frozen=True)
class Denied:
    """A version this machine will not go to by itself. `excerpt` is the end of the console, where there was one."""

    version: Version
    reason: str
    at: datetime
    excerpt: str = ""


@dataclass(frozen=True)
class Excused:
    """A version that failed here for what is wrong around the machine: it is tried again, later each time."""

    version: Version
    reason: str
    count: int
    retry_at: datetime

    def waits(self, now: datetime) -> bool:
        """A moment further away than any pause comes of a clock that was changed, and counts as over."""
        return now < self.retry_at <= now + LAST_EXCUSE


@dataclass(frozen=True)
class Memory:
    """`hold` is why updates are held (empty: they are not). `failures` counts in a row; `retry_at` is when to go on.

    `lock` is what is known of the reboot lock: `asked` is noted before it is asked for, so that none is ever forgotten;
    `kept` is one that stays taken after a failed update, to keep other machines from the same. `reboot` is what was
    asked for with this update: `now`, whatever the strategy says, or `by-hand`, never by itself. `wish` is a version
    that somebody named while another was on trial: it is gone to as soon as that is over, and `reboot` is meant for it.
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
    wish: Target | None = None
    excused: tuple[Excused, ...] = ()

    def to(self, state: State) -> Memory:
        """In another state: what was counted for the last one is over."""
        if state == self.state:
            return self
        reboot = BY_STRATEGY if isinstance(state, Idle) and self.wish is None else self.reboot
        return replace(self, state=state, failures=0, retry_at=None, reboot_wanted_at=None, reboot=reboot)

    def denies(self, version: Version) -> Denied | None:
        return next((d for d in self.denied if d.version == version), None)

    def deny(self, entry: Denied) -> Memory:
        """On the deny list; what was noted first for a version stays."""
        if self.denies(entry.version):
            return self
        others = tuple(d for d in self.denied if d.version != entry.version)
        denied = (*others, replace(entry, excerpt=entry.excerpt[-MAX_EXCERPT:]))
        return replace(self, denied=denied, excused=self._excused_but(entry.version))

    def excuses(self, version: Version) -> Excused | None:
        return next((e for e in self.excused if e.version == version), None)

    def excuse(self, version: Version, reason: str, now: datetime) -> Memory:
        """Note that it is tried again: after an hour, then later each time, at most after a day."""
        before = self.excuses(version)
        count = 1 if before is None else before.count + 1
        at = now + min(FIRST_EXCUSE * 2 ** min(count - 1, 16), LAST_EXCUSE)
        entry = Excused(version, reason, count, at)
        return replace(self, excused=(*self._excused_but(version), entry)[-MOST_EXCUSED:])

    def _excused_but(self, version: Version) -> tuple[Excused, ...]:
        return tuple(e for e in self.excused if e.version != version)

    def proven(self, version: Version) -> Memory:
        """Nothing that failed up to this version matters any more."""
        return replace(self, excused=tuple(e for e in self.excused if e.version > version))

    def allow(self, version: Version) -> Memory:
        """Take the version off the deny list, or let it be tried again now. Raises BadInput when it is not on it."""
        if self.excuses(version):
            return replace(self, excused=self._excused_but(version))
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
            {"version": str(d.version), "reason": d.reason, "at": stamp(d.at), "excerpt": d.excerpt}
            for d in memory.denied
        ],
        "hold": memory.hold,
        "offer": None if memory.offer is None else _target_json(memory.offer),
        "failure": memory.failure,
        "failures": memory.failures,
        "lock": memory.lock,
        "reboot": memory.reboot,
        "excused": [
            {"version": str(e.version), "reason": e.reason, "count": e.count, "retry_at": stamp(e.retry_at)}
            for e in memory.excused
        ],
        "wish": None if memory.wish is None else _target_json(memory.wish),
        **{name: stamp(at) if (at := getattr(memory, name)) else None for name in _MOMENTS},
    }


_MOMENTS = ("checked_at", "retry_at", "reboot_wanted_at")


def decode(values: object) -> Memory:
    """Raises BadInput, naming the field, when something is not as `encode` writes it. What a newer version wrote beside
    it is passed over: a machine that goes back to an older one keeps its memory.
    """
    record = Fields.of("", values)
    return Memory(
        state=update.from_json(record.value("state", dict)),
        denied=tuple(map(_denied, record.items("denied", MAX_ENTRIES))),
        hold=line(record.value("hold", str)),
        offer=_target(record, "offer"),
        failure=line(record.value("failure", str), MAX_FAILURE),
        failures=record.value("failures", int),
        lock=record.choice("lock", FREE, ASKED, HELD, KEPT),
        # what follows is not in the journals of older versions
        reboot=record.choice("reboot", BY_STRATEGY, NOW, BY_HAND) if record.has("reboot") else BY_STRATEGY,
        wish=_target(record, "wish"),
        excused=tuple(map(_excused, record.items("excused", MAX_ENTRIES))) if record.has("excused") else (),
        **{name: record.moment(name) if record.has(name) else None for name in _MOMENTS},
    )


def _denied(entry: Fields) -> Denied:
    reason = line(entry.value("reason", str), MAX_FAILURE)
    return Denied(entry.version("version"), reason, entry.moment("at"), entry.value("excerpt", str))


def _excused(entry: Fields) -> Excused:
    reason = line(entry.value("reason", str), MAX_FAILURE)
    return Excused(entry.version("version"), reason, entry.value("count", int), entry.moment("retry_at"))


def _target_json(target: Target) -> dict[str, str]:
    return {"version": str(target.version), "root_hash": target.root_hash, "why": target.why}


def _target(record: Fields, name: str) -> Target | None:
    if not record.has(name):
        return None
    target = record.fields(name)
    return Target(target.version("version"), target.value("root_hash", str), target.value("why", str))
