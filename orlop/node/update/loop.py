"""`orlop-update`: the engine at work, in its system container.

    requests of people ──→ ┌──────────┐ ──→ status, metrics, log, systemd's status line (`report`)
                           │  a loop  │
    health, time, catalog → └──────────┘ ──→ steps of the engine, a request to reboot

One thread, the loop, has the engine; the API's threads hand their requests to it and wait, and read the last document
it made. A request that comes while blocks are written is taken between two of them: the writing asks, is left, and goes
on from there. Lifetime: the machine's, from boot to shutdown. It may be killed at any moment, as the engine may.

Invariant: whatever is wrong with the machine's settings, disk or releases, the API answers, and says what is wrong.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orlop.errors import BadInput, Busy, OrlopError
from orlop.model.update.actions import Rest, Step
from orlop.model.update.repair import Repair
from orlop.model.update.state import Booted, Healthy, Reverted
from orlop.model.words.line import line
from orlop.net.notify import notify
from orlop.node.update import requests
from orlop.node.update.engine import Engine
from orlop.node.update.host import Host
from orlop.node.update.outside import Keeper
from orlop.node.update.report import UpdateReport
from orlop.node.update.requests import Answer, Asked, Named
from orlop.node.update.settings import UpdateSettings
from orlop.node.update.slot.progress import Progress
from orlop.node.update.troubles import Troubles

WATCH_SECONDS = 2.0  # between two looks at a boot that is yet to be judged
LOOK_SECONDS = 60.0  # between two looks at a machine where nothing is to be done
CHANGE_SECONDS = 300.0  # that a request may wait for the engine
# between saying that the machine reboots and having it do so: whoever follows an update looks twice a second, and the
# reboot takes the engine, and a login over the network, away
GOODBYE_SECONDS = 2.0
AGAIN = timedelta(minutes=5)  # after which a reboot that did not come is asked for again, or the engine tried again
MAX_SAID = 2000  # characters of a line of the log


@dataclass
class Pending:
    """A request on its way through the loop, and what comes of it."""

    asked: Asked
    done: Future[Answer] = field(default_factory=Future)


class Loop:
    """`make` puts an engine together, for this loop as its keeper; it is tried until it does. Raises OrlopError.

    `problem` says why there will never be one: what is wrong with the settings stays so until the next boot.
    """

    def __init__(
        self,
        make: Callable[[Keeper], Engine],
        offers: Named,
        settings: UpdateSettings,
        host: Host,
        *,
        problem: str = "",
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda text: print(line(text, MAX_SAID), flush=True),
        tell: Callable[[str], None] = notify,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine: Engine | None = None
        self.problem = problem
        self._offers, self._host = offers, host
        self._make: Callable[[Keeper], Engine] | None = None if problem else make
        self._make_at = 0.0
        self._clock, self._say, self._tell, self._wait = clock, say, tell, wait
        self._changes: queue.SimpleQueue[Pending] = queue.SimpleQueue()
        self._waiting: Pending | None = None
        self._step = Step(Rest(), "starting")
        self._rebooting_since: datetime | None = None
        self._stepping = False
        self._troubles = Troubles(host)
        self._report = UpdateReport(offers, settings, host, self._troubles, clock=clock, say=say, tell=tell)
        self.document, self.metrics = self._report.document, self._report.metrics
        self._begin()
        self._report.refresh(self.engine, self._step, self.problem)

    def _begin(self) -> None:
        """Put an engine together where there is none, if it is time to try."""
        if self.engine or self._make is None or self._clock() < self._make_at:
            return
        self._make_at = self._clock() + AGAIN.total_seconds()
        try:
            self.engine, self.problem = self._make(self), ""
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
        """Take the requests that wait, do one step of the engine; for how many seconds there is nothing to do."""
        self._begin()
        self._take_changes()
        if self.engine is None or self._going_down():
            self._publish()
            return LOOK_SECONDS
        self._tell("WATCHDOG=1")
        self._stepping = True
        try:
            self._step = self.engine.step()
        finally:
            self._stepping = False
        self._publish()
        return self._pause(self._step, self.engine)

    def _pause(self, step: Step, engine: Engine) -> float:
        if not isinstance(step.action, Rest):
            return 0.0
        most = WATCH_SECONDS if isinstance(engine.memory.state, Booted | Healthy | Reverted) else LOOK_SECONDS
        if step.action.until is None:
            return most
        left = (step.action.until - engine.outside.now()).total_seconds()
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

    def _publish(self) -> None:
        self._report.publish(self.engine, self._step, self.problem)

    # the engine's keeper

    def repair(self) -> Repair | None:
        return self._troubles.repair()

    def go_on(self, progress: Progress) -> bool:
        self._report.moved(progress)
        # while a request is done the next one waits for its end: only a step is left, which is decided anew
        return not self._stepping or self._changes.empty()

    def reboot(self) -> None:
        assert self.engine is not None
        self._say("asking the machine to reboot")
        self._publish()
        self._wait(GOODBYE_SECONDS)
        self._host.reboot()
        self._rebooting_since = self.engine.outside.now()

    # what people ask for

    def change(self, asked: Asked) -> Answer:
        """From another thread: hand it to the loop, wait for what it says. Raises OrlopError."""
        change = Pending(asked)
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
                answer = self._do(change.asked)
            except OrlopError as e:
                change.done.set_exception(e)
            except BaseException as e:
                change.done.set_exception(OrlopError(f"this failed in the engine: {type(e).__name__}: {e}"))
                raise
            else:
                self._step = Step(Rest(), answer["message"])
                self._publish()
                change.done.set_result(answer | {"status": self.document()})

    def _do(self, asked: Asked) -> Answer:
        if self.engine is None:
            raise BadInput(f"this machine does not update: {self.problem}")
        if self._going_down():
            raise Busy("the machine is rebooting", hint="ask again when it is up")
        self._say(f"asked to {asked}")
        return requests.do(asked, self.engine, self._offers)
