"""`orlop-update`: the engine at work, in its system container.

    requests of people ──→ ┌──────────┐ ──→ status, metrics, log, systemd's status line
                           │  a loop  │
    health, time, catalog → └──────────┘ ──→ steps of the engine, a request to reboot

One thread, the loop, has the engine; the API's threads hand their changes to it and wait, and read the last document
it made. A change that comes while blocks are written interrupts the writing at the next block: it goes on from there.
Lifetime: the machine's, from boot to shutdown. It may be killed at any moment, as the engine may.

Invariant: whatever is wrong with the machine's settings, disk or releases, the API answers, and says what is wrong.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from orlop.errors import BadInput, Busy, OrlopError
from orlop.model import status
from orlop.model.decide import Rest, Step
from orlop.model.line import MOST, line
from orlop.model.memory import BY_HAND, NOW
from orlop.model.strict import Fields
from orlop.model.update import KINDS, Booted, Failed, Healthy, Target
from orlop.model.version import Version
from orlop.node.update.engine import Engine
from orlop.node.update.host import Host, notify
from orlop.node.update.meter import Meter
from orlop.node.update.settings import UpdateSettings
from orlop.node.update.unsigned import MAX_URL
from orlop.node.update.writer import Progress
from orlop.trust.route import public

STATES = tuple(kind.__name__.lower() for kind in KINDS)
WATCH_SECONDS = 2.0  # between two looks at a boot that is yet to be judged
LOOK_SECONDS = 60.0  # between two looks at a machine where nothing is to be done
CHANGE_SECONDS = 300.0  # that a change may wait for the engine
AGAIN = timedelta(minutes=5)  # after which a reboot that did not come is asked for again, or the engine tried again
TELL_SECONDS = 1.0  # between two status lines
MAX_SAID = 2000  # characters of a line of the log


class Interrupted(Exception):
    """Somebody wants something: what is being written is left as it is, and gone on with later."""


class Named(Protocol):
    """Versions that people ask for, and what is said of those that they do not (`orlop.node.update.offers`)."""

    def named(self, version: Version | None, place: str = "", *, unsigned_too: bool = False) -> Target: ...

    def taken(self) -> None: ...

    def where(self) -> str: ...

    def reason(self) -> str: ...


@dataclass
class Change:
    name: str
    values: dict[str, Any]
    done: Future[dict[str, Any]] = field(default_factory=Future)


class Daemon:
    """`engine` is None where updates cannot be made; `problem` says why.

    `again` puts one together, where that may come to work; it is tried until it does. Raises OrlopError.
    """

    def __init__(
        self,
        engine: Engine | None,
        offers: Named,
        settings: UpdateSettings,
        host: Host,
        *,
        problem: str = "",
        again: Callable[[], Engine] | None = None,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda text: print(line(text, MAX_SAID), flush=True),
        tell: Callable[[str], None] = notify,
    ) -> None:
        self.engine, self.offers, self.settings, self.host, self.problem = engine, offers, settings, host, problem
        self._again, self._again_at = again, 0.0
        self._clock, self._say, self._tell = clock, say, tell
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._waiting: Change | None = None
        self._meter = Meter(clock)
        self._progress: Progress | None = None
        self._step = Step(Rest(), "starting")
        self._told_at = 0.0
        self._said = ""
        self._rebooting_since: datetime | None = None
        self._busy = False
        if engine:
            self._adopt(engine)
        self._document = self._make()

    def _adopt(self, engine: Engine) -> None:
        self.engine, self.problem = engine, ""
        engine.writer.progress.tell = self._moved
        engine.outside.reboot = self._reboot

    def begin(self) -> None:
        """Put an engine together where there is none, if it is time to try."""
        if self.engine or self._again is None or self._clock() < self._again_at:
            return
        self._again_at = self._clock() + AGAIN.total_seconds()
        try:
            self._adopt(self._again())
        except OrlopError as e:
            self.problem = e.message + (f" ({e.hint})" if e.hint else "")

    # the loop

    def run(self) -> None:
        """For ever."""
        self._tell("READY=1")
        while True:
            pause = self.turn()
            deadline = self._clock() + pause
            while self._waiting is None and (left := deadline - self._clock()) > 0:
                self._tell("WATCHDOG=1")
                try:
                    self._waiting = self._changes.get(timeout=min(left, 15.0))
                except queue.Empty:
                    continue

    def turn(self) -> float:
        """Take the changes that wait, do one step of the engine; for how many seconds there is nothing to do."""
        self.begin()
        self._take_changes()
        if self.engine is None or self._going_down():
            self._publish()
            return LOOK_SECONDS
        self._tell("WATCHDOG=1")
        self._busy = True
        try:
            self._step = self.engine.step()
        except Interrupted:
            self._step = Step(Rest(), "interrupted by a request")
            return 0.0
        finally:
            self._busy = False
        self._publish()
        return self._pause(self._step)

    def _pause(self, step: Step) -> float:
        if not isinstance(step.action, Rest):
            return 0.0
        assert self.engine is not None
        watching = isinstance(self.engine.memory.state, Booted | Healthy | Failed)
        most = WATCH_SECONDS if watching else LOOK_SECONDS
        if step.action.until is None:
            return most
        left = (step.action.until - self.engine.outside.now()).total_seconds()
        return min(most, max(left, 0.1))

    def _going_down(self) -> bool:
        """A reboot was asked for, and has not come yet."""
        if self._rebooting_since is None or self.engine is None:
            return False
        now = self.engine.outside.now()
        if not self._rebooting_since <= now < self._rebooting_since + AGAIN:
            self._say("the reboot that was asked for did not come: going on")
            self._rebooting_since = None
        return self._rebooting_since is not None

    def _reboot(self) -> None:
        assert self.engine is not None
        self._say("asking the machine to reboot")
        self.host.reboot()
        self._rebooting_since = self.engine.outside.now()

    def _moved(self, progress: Progress) -> None:
        """The writer got on: called for every piece."""
        self._progress = progress
        self._meter.moved(progress)
        if self._clock() - self._told_at >= TELL_SECONDS:
            self._told_at = self._clock()
            self._tell("WATCHDOG=1")
            self._tell(f"STATUS={status.headline(self.document())}")
        if self._busy and not self._changes.empty():
            raise Interrupted

    # what is told

    def _publish(self) -> None:
        """Make the document anew, and say what changed."""
        if self.engine and not hasattr(self.engine.memory.state, "target"):
            self._progress = None
        self._document = self._make()
        reason = self._document["reason"]
        self._tell(f"STATUS={status.headline(self._document)}")
        if (reason != self._said and not isinstance(self._step.action, Rest)) or self._news(reason):
            self._say(reason)
        self._said = reason

    def _news(self, reason: str) -> bool:
        """A reason to rest is worth a line when it is another than the last; the moments in it change all the time."""
        return _still(reason) != _still(self._said)

    def document(self) -> status.Document:
        """The last one, with the progress as of now. From any thread."""
        return self._document | {"progress": self._progress_part()}

    def metrics(self) -> str:
        return status.metrics(self.document(), STATES)

    def _progress_part(self) -> status.Document | None:
        progress = self._progress
        if progress is None:
            return None
        left, rate = self._meter.seconds_left(progress), self._meter.rate()
        return {
            "step": progress.step,
            "total": progress.total,
            "done": min(progress.done, progress.total),
            "received": progress.received,
            "reused": progress.reused,
            "rate": None if rate is None else round(rate),
            "seconds_left": None if left is None else round(left),
        }

    def _make(self) -> status.Document:
        now = self.engine.outside.now() if self.engine else datetime.now(UTC)
        health = self.host.health()
        verdict = {None: None, True: "good", False: "bad"}[health.good]
        settings = self.settings
        made: status.Document = {
            "format": status.FORMAT,
            "reason": self._reason(),
            "note": self.engine.note if self.engine else "",
            "slots": self._slots(),
            "health": {"verdict": verdict, "reason": health.reason},
            "channel": settings.channel,
            "group": settings.group,
            "pin": str(settings.pin) if settings.pin else None,
            "from": self.offers.where(),
            "progress": None,
        }
        made |= status.strategy_part(settings.engine.strategy, now)
        memory = self.engine.memory if self.engine else None
        made |= status.memory_part(memory) if memory else _NO_MEMORY
        return made

    def _reason(self) -> str:
        """Why it does what it does; where it does nothing for lack of an offer, why there is none."""
        said = self.problem or self._step.reason
        more = self.offers.reason()
        idle = self.engine is not None and not hasattr(self.engine.memory.state, "target")
        if self.problem or not idle or not isinstance(self._step.action, Rest):
            return said
        assert self.engine is not None
        return self.engine.memory.failure or more or said

    def _slots(self) -> list[status.Document]:
        if self.engine is None:
            return []
        try:
            letters = self.engine.writer.disk.slots()
            running = "A" if letters[0].usr.number < letters[1].usr.number else "B"
            return status.slots(self.engine.writer.facts(), running)
        except OrlopError:
            return []  # the reason says what is wrong with the disk

    # what people ask for

    def change(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """From another thread: hand it to the loop, wait for what it says. Raises OrlopError."""
        change = Change(name, values)
        self._changes.put(change)
        try:
            return change.done.result(timeout=CHANGE_SECONDS)
        except TimeoutError:
            if change.done.cancel():
                raise Busy("the engine is busy; nothing was changed", hint="try again in a moment") from None
            return change.done.result()

    def _take_changes(self) -> None:
        while True:
            change = self._waiting
            self._waiting = None
            if change is None:
                try:
                    change = self._changes.get_nowait()
                except queue.Empty:
                    return
            if not change.done.set_running_or_notify_cancel():
                continue
            try:
                found = self._do(change)
            except OrlopError as e:
                change.done.set_exception(e)
            except BaseException as e:
                change.done.set_exception(OrlopError(f"this failed in the engine: {type(e).__name__}: {e}"))
                raise
            else:
                self._step = Step(Rest(), found["message"])
                self._publish()
                change.done.set_result(found | {"status": self.document()})

    def _do(self, change: Change) -> dict[str, Any]:
        values = Fields.of("", change.values)
        if self.engine is None:
            raise BadInput(f"this machine does not update: {self.problem}")
        if self._going_down():
            raise Busy("the machine is rebooting", hint="ask again when it is up")
        engine = self.engine
        if change.name != "update":
            self._say(f"asked to {change.name}")
        match change.name:
            case "update":
                return self._update(engine, values)
            case "rollback":
                values.only()
                engine.roll_back()
                return {"message": "the machine reboots into the other version"}
            case "hold":
                values.only("reason")
                engine.hold(values.line("reason", MOST, empty=True) if values.has("reason") else "")
                return {"message": f"updates are held: {engine.memory.hold}"}
            case "unhold":
                values.only()
                engine.unhold()
                return {"message": "updates are not held"}
            case _:
                version = Version.parse(values.value("version", str))
                engine.allow(version)
                return {"message": f"{version} is allowed again"}

    def _update(self, engine: Engine, values: Fields) -> dict[str, Any]:
        values.only("to", "from", "allow_unsigned", "reboot")
        version = values.version("to") if values.has("to") else None
        reboot = NOW if values.value("reboot", bool, True) else BY_HAND
        place = values.line("from", MAX_URL, empty=True) if values.has("from") else ""
        self._say(f"asked to update{f' to {version}' if version else ''}{f' from {public(place)}' if place else ''}")
        target: Target | None
        if place or version:
            target = self.offers.named(version, place, unsigned_too=values.value("allow_unsigned", bool, False))
            engine.go_to(target, reboot)
            self.offers.taken()
        else:
            target = engine.look(reboot)
        if target is None:
            return {"message": self.offers.reason() or "nothing to update to", "version": None}
        return {"message": f"going to {target.version}", "version": str(target.version)}


_NO_MEMORY: status.Document = {
    "state": {"is": "idle"}, "reboot": "by-strategy", "hold": "", "failure": "", "failures": 0, "retry_at": None,
    "checked_at": None, "reboot_lock": "free", "denied": [],
}  # fmt: skip


def _still(reason: str) -> str:
    """Without digits: what changes with the clock alone is no news."""
    return "".join(c for c in reason if not c.isdigit())
