"""The loop about units: hear what this machine is to run, do it, say how it is.

    the stream tells of work → fetch it → keep it on the disk → tasks → the host → note
    systemd tells of a change, or something was done → look → tell the control plane, a moment later, all at once

At the first look after a boot it waits a little for the control plane's word: what was this machine's before may be
another's by now. When nobody answers it does what it did before. Invariants: one thread; what fails is tried again
with a pause that grows; what is told is told whole, so nothing is lost when it is not heard once.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import OrlopError
from orlop.model.fleet import quadlet, tasks
from orlop.model.fleet.records import MachineOffer, SeenUnit, SeenUnits
from orlop.model.fleet.tasks import MachineUnit, TaskKind, UnitHad, UnitTask
from orlop.model.words.line import line
from orlop.node.agent.control import LARGEST_WORK, ControlClient
from orlop.node.agent.units.bus import BusTrouble, ListedUnit, UnitBus, unit_path
from orlop.node.agent.units.host import UnitHost
from orlop.node.agent.units.kept import KeptWork

BOOT_SECONDS = 10.0  # how long the first look waits for the control plane's word
CUT_OFF_SECONDS = 2.0  # after the connection was found dead: before the cluster gives the machine up
SOON = 0.1  # seconds in which states come together before they are told
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
OFFER_SECONDS = 600.0
SYSTEM_MEMORY = 256 << 20  # bytes that are never promised to units
_IDLE = 60.0


@dataclass
class UnitsOutside:
    """Everything the worker needs of the world. `client` asks the control API; `machine`: this one's name."""

    machine: str
    client: Callable[[], ControlClient]
    kept: KeptWork
    host: UnitHost
    offer: Callable[[], MachineOffer]
    bus: Callable[[], UnitBus]
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    random: Callable[[float, float], float] = lambda low, _: low


class UnitsWorker:
    """`run` is a thread of its own; `hear` and `connected` may be called from others."""

    def __init__(self, outside: UnitsOutside) -> None:
        self._outside = outside
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.want: dict[str, MachineUnit] = outside.kept.want()
        self.had: dict[str, UnitHad] = outside.kept.had()
        self._heard = bool(self.had)  # the control plane's word, or what this boot has begun with
        self._begun = outside.now()
        self._fetch = self._do = True
        self._after = 0  # the revision that the stream told of
        self._connected, self._away_since = False, outside.now()
        self._refused: dict[str, str] = {}
        self._told: SeenUnits | None = None
        self._look_at: float | None = outside.now()
        self._offered: MachineOffer | None = None
        self._offer_at = 0.0
        self._pause, self._try_at = FIRST_PAUSE, 0.0
        self._bus: UnitBus | None = None
        self._said = ""

    # from other threads

    def hear(self, revision: int) -> None:
        """The control plane has another word about this machine's work, as of this revision."""
        self._after, self._fetch = max(self._after, revision), True
        self._wake()

    def connected(self, *, is_so: bool) -> None:
        """Whether the stream is open."""
        if is_so != self._connected:
            self._connected, self._away_since = is_so, self._outside.now()
            self._do = True
            self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    # the thread

    def run(self) -> None:
        """For ever."""
        while True:
            self.turn()
            self._wait()

    def turn(self) -> None:
        """All that can be done now; what fails is tried again."""
        now = self._outside.now()
        if now < self._try_at:
            return
        try:
            if self._connected:
                self._offer(now)
                if self._fetch:
                    self._ask()
            if self._do and self._may_begin(now):
                self._work()
            if self._look_at is not None and now >= self._look_at:
                self._tell()
        except (OrlopError, OSError) as e:
            why = e.message if isinstance(e, OrlopError) else f"{e.filename or 'a file'}: {e.strerror}"
            if why != self._said:
                self._outside.say(f"units: {why}")
            self._said = why
            self._try_at = now + self._outside.random(self._pause / 2, self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return
        self._pause, self._said = FIRST_PAUSE, ""

    def _wait(self) -> None:
        """Until something comes, or a moment for which something was put off."""
        now = self._outside.now()
        pause = self._try_at - now if now < self._try_at else self._pause_until_due(now)
        reading = [self._wake_read, *([self._bus.fileno()] if self._bus is not None else [])]
        ready, _, _ = select.select(reading, [], [], pause)
        if self._wake_read in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        if self._bus is not None and self._bus.fileno() in ready:
            self._listen()
        if not self._connected and not self._cut_off(now) and self._cut_off(self._outside.now()):
            self._do = True

    def _pause_until_due(self, now: float) -> float:
        """Nothing waits for a moment that is over, but for what is to be told."""
        moments = [now + _IDLE, self._begun + BOOT_SECONDS, self._away_since + CUT_OFF_SECONDS]
        pause = min(moment - now for moment in moments if moment > now)
        return pause if self._look_at is None else max(0.0, min(pause, self._look_at - now))

    def _may_begin(self, now: float) -> bool:
        """After a boot: when the control plane has spoken, or has had its time to."""
        if not self._heard and now >= self._begun + BOOT_SECONDS:
            self._heard = True
            if self.want:
                self._outside.say("no server answers: this machine runs the units that it ran before")
        return self._heard

    def _cut_off(self, now: float) -> bool:
        return not self._connected and now >= self._away_since + CUT_OFF_SECONDS

    # what it does

    def _offer(self, now: float) -> None:
        if self._offered is not None and now < self._offer_at:
            return
        offer = self._outside.offer()
        self._outside.client().ask("PUT", self._path("offer"), json.loads(offer.encoded()))
        self._offered, self._offer_at = offer, now + OFFER_SECONDS

    def _ask(self) -> None:
        """What it is to run now."""
        after, self._fetch = self._after, False
        try:
            answer = self._outside.client().ask("GET", f"{self._path('work')}?after={after}", most=LARGEST_WORK)
            want = tasks.read(answer, self.want)
        except (OrlopError, OSError):
            self._fetch = True
            raise
        if want != self.want or not self._heard:
            self.want, self._do = want, True
            if why := self._outside.kept.keep(want):
                self._outside.say(why)
        self._heard = True

    def _work(self) -> None:
        """Tasks, until there are none."""
        cut_off = self._cut_off(self._outside.now())
        todo = [task for task in tasks.tasks(self.want, self.had, cut_off=cut_off) if not self._was_refused(task)]
        if todo:
            for task in todo:
                self._outside.say(f"unit {task.name}: {task.kind.name.lower()}: {task.why}")
                if task.kind is TaskKind.LOAD:
                    self._outside.host.write(self.want[task.name])
            refused = self._outside.host.do(todo, quadlet.service)
            for name in {task.name for task in todo}:
                self._done(name, refused.get(name, ""), cut_off=cut_off)
            self._outside.kept.note(self.had)
        self._do = False
        self._soon()

    def _done(self, name: str, refused: str, *, cut_off: bool) -> None:
        unit = self.want.get(name)
        if refused:
            self._refused[name] = line(refused, 300)
            self._outside.say(f"unit {name}: {refused}")
        else:
            self._refused.pop(name, None)
        if unit is None:
            self.had.pop(name, None)
            self._refused.pop(name, None)
            self._outside.host.remove(name)
        else:
            self.had[name] = tasks.done(unit, cut_off=cut_off)

    def _was_refused(self, task: UnitTask) -> bool:
        """What the host refused once it refuses again, until somebody changes it."""
        unit, had = self.want.get(task.name), self.had.get(task.name)
        return task.name in self._refused and unit is not None and had is not None and had.hash == unit.hash and (
            had.restarts == unit.restarts and had.target == unit.target
        )  # fmt: skip

    # what it says

    def _soon(self) -> None:
        if self._look_at is None:
            self._look_at = self._outside.now() + self._outside.random(SOON / 2, SOON)

    def _tell(self) -> None:
        """How its units are, if that is other than what was told last."""
        self._look_at = None
        seen = SeenUnits(self._seen())
        if seen == self._told or not self._connected or not self._heard:
            return
        try:
            answer = self._outside.client().ask("PUT", self._path("states"), json.loads(seen.encoded()))
        except OrlopError:
            self._look_at = self._outside.now()
            raise
        self._told = seen
        if isinstance(answer, dict) and answer.get("refused"):
            self._fetch = True  # they are another's by now: its word has not reached this machine yet
            self._told = None

    def _seen(self) -> dict[str, SeenUnit]:
        names = {name: quadlet.service(name) for name in self.had if name in self.want}
        listed = {unit.name: unit for unit in self._ask_bus(list(names.values()))}
        found = {}
        for name, service in names.items():
            unit, had = listed.get(service, ListedUnit(service, "not-found", "inactive", "dead")), self.had[name]
            why = self._refused.get(name, "")
            if not why and unit.load not in {"loaded", "not-found"}:
                why = f"systemd cannot read it: {unit.load}"
            elif not why and unit.load == "not-found":
                why = "no service was made of it: journalctl -b -t quadlet-generator on its machine says why"
            found[name] = SeenUnit(
                unit.load, unit.active, unit.sub, had.hash, had.epoch, why, had.restarts, had.target
            )  # fmt: skip
        return found

    def _ask_bus(self, names: list[str]) -> list[ListedUnit]:
        try:
            if self._bus is None:
                self._bus = self._outside.bus()
                self._bus.subscribe()
            return self._bus.units(names)
        except BusTrouble:
            self._drop_bus()
            raise

    def _listen(self) -> None:
        assert self._bus is not None
        mine = {unit_path(quadlet.service(name)) for name in self.had}
        try:
            if any(signal.path in mine for signal in self._bus.signals()):
                self._soon()
        except BusTrouble:
            self._drop_bus()
            self._soon()

    def _drop_bus(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _path(self, what: str) -> str:
        return f"/v1/machines/{self._outside.machine}/{what}"


def offer(metadata: Mapping[str, str], resources: Mapping[str, int], top: Path = Path("/")) -> MachineOffer:
    """What this machine has to give: all its processors, and its memory but for a part that is the system's."""
    total = 0
    with suppress(OSError, ValueError, IndexError):
        first = (top / "proc/meminfo").read_text().splitlines()[0]
        total = int(first.split()[1]) << 10
    return MachineOffer(metadata, (os.cpu_count() or 1) * 1000, max(0, total - SYSTEM_MEMORY), resources)
