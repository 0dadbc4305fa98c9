"""What the machine says of its updates: one document, made anew after every turn, and read from any thread.

    the document ──→ the API (`/v1/status`, `/metrics`), systemd's status line, a line of the log for each piece of news

Everything in it comes from what the engine saw last, and from what is wrong now (`troubles`): making it reads no disk.
Lifetime: the loop's. Invariant: whatever is wrong with settings, disk or releases, there is a document, and its reason
says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from orlop.model.update import ailing, status
from orlop.model.update.actions import Rest, Step
from orlop.model.update.state import KINDS
from orlop.node.update.engine import Engine
from orlop.node.update.host import Host
from orlop.node.update.meter import Meter
from orlop.node.update.requests import Named
from orlop.node.update.settings import UpdateSettings
from orlop.node.update.slot.progress import Progress
from orlop.node.update.troubles import Troubles

STATES = tuple(kind.__name__.lower() for kind in KINDS)
TELL_SECONDS = 1.0  # between two status lines


class UpdateReport:
    """`say` takes lines for the log, `tell` those for systemd, as sd_notify(3). `refresh` comes first."""

    def __init__(
        self,
        offers: Named,
        settings: UpdateSettings,
        host: Host,
        troubles: Troubles,
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._offers, self._settings, self._host, self._troubles = offers, settings, host, troubles
        self._clock, self._say, self._tell = clock, say, tell
        self._meter = Meter(clock)
        self._progress: Progress | None = None
        self._told_at = 0.0
        self._said = ""
        self._document: status.Document = {}

    def moved(self, progress: Progress) -> None:
        """The writer got on: called for every piece."""
        self._progress = progress
        self._meter.moved(progress)
        if self._clock() - self._told_at >= TELL_SECONDS:
            self._told_at = self._clock()
            self._tell("WATCHDOG=1")
            self._tell(f"STATUS={status.headline(self.document())}")

    def refresh(self, engine: Engine | None, step: Step, problem: str) -> None:
        """Make the document anew. `problem`: why there is no engine."""
        if engine and not hasattr(engine.memory.state, "target"):
            self._progress = None
        self._document = self._make(engine, step, problem)

    def publish(self, engine: Engine | None, step: Step, problem: str) -> None:
        """`refresh`, and say what changed."""
        self.refresh(engine, step, problem)
        reason = self._document["reason"]
        self._tell(f"STATUS={status.headline(self._document)}")
        if (reason != self._said and not isinstance(step.action, Rest)) or self._is_news(reason):
            self._say(reason)
        self._said = reason

    def _is_news(self, reason: str) -> bool:
        """A reason to rest is worth a line when it is another than the last; the moments in it change all the time."""
        return _still(reason) != _still(self._said)

    def document(self) -> status.Document:
        """The last one, with the progress as of now. From any thread."""
        return self._document | {"progress": self._progress_part()} | self._troubles_part()

    def _troubles_part(self) -> status.Document:
        """What is wrong now, whatever the engine is busy with."""
        strategy, troubles = self._settings.engine.strategy, self._troubles.now()
        return ailing.part(troubles, self._troubles.repair_of(troubles), strategy, datetime.now(UTC))

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
            "looked": min(progress.looked, progress.to_look),
            "to_look": progress.to_look,
            "rate": None if rate is None else round(rate),
            "seconds_left": None if left is None else round(left),
        }

    def _make(self, engine: Engine | None, step: Step, problem: str) -> status.Document:
        now = engine.outside.now() if engine else datetime.now(UTC)
        settings = self._settings
        document: status.Document = {
            "format": status.FORMAT,
            "reason": self._reason(engine, step, problem),
            "note": engine.note if engine else "",
            "slots": status.slots(engine.facts) if engine and engine.facts else [],
            "hardware": self._host.hardware(),
            "channel": settings.channel,
            "group": settings.group,
            "pin": str(settings.pin) if settings.pin else None,
            "from": self._offers.where(),
            "progress": None,
        }
        document |= status.health_part(self._host.health())
        document |= status.strategy_part(settings.engine.strategy, now)
        document |= status.memory_part(engine.memory) if engine else _NO_MEMORY
        return document

    def _reason(self, engine: Engine | None, step: Step, problem: str) -> str:
        """Why it does what it does; where it does nothing for lack of an offer, why there is none."""
        if engine is None or problem:
            return problem or step.reason
        idle = not hasattr(engine.memory.state, "target")
        if not idle or not isinstance(step.action, Rest):
            return step.reason
        return engine.memory.failure or self._offers.reason() or step.reason


_NO_MEMORY: status.Document = {
    "state": {"is": "idle"}, "reboot": "by-strategy", "hold": "", "failure": "", "failures": 0, "retry_at": None,
    "checked_at": None, "reboot_lock": "free", "wish": None, "excused": [], "denied": [],
}  # fmt: skip


def _still(reason: str) -> str:
    """Without digits: what changes with the clock alone is not news."""
    return "".join(c for c in reason if not c.isdigit())
