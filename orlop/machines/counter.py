"""Instructions and the clock of a counted machine, read beside it while it runs.

Lifetime: a `Counter` is a `with` around what is watched; its thread asks QEMU ten times a second and ends with it. What
it read becomes a `Course`, which says how many instructions had been executed at any moment of the machine's clock.

QEMU has no command for the machine's clock, but the ACPI timer counts it, and reading its port from the monitor is
nothing that the machine could notice. The timer has 24 bits and begins anew every 4.7 seconds.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from orlop.errors import BadInput, OrlopError, TimedOut
from orlop.machines import qmp
from orlop.machines.qemu import COUNTED_SHIFT

PER_SECOND = 1e9 / (1 << COUNTED_SHIFT)  # instructions that a second of the machine's clock has room for
TIMER_HERTZ = 3_579_545  # ACPI specification, 4.8.3.3: the power management timer
TIMER_WRAPS = 1 << 24
# Where OVMF puts the timer of a q35 machine (PlatformPei: PIIX4 and ICH9 both 0x600, and the timer 8 after it).
TIMER_PORT = 0x608
READ_SECONDS = 0.1
GAP_SECONDS = 3.0  # in which the timer cannot come round unseen, since a machine idles no quicker than time goes by
# How much the machine may have executed between the two halves of a reading, on a computer that is very busy.
_SLACK_SECONDS = 1.0
_PORT = re.compile(r"= 0x([0-9a-f]+)")


@dataclass(frozen=True)
class Reading:
    """`at`: this computer's time, in seconds. `instructions`: since power-on. `timer`: of just before those; None while
    the firmware has not set it up.
    """

    at: float
    instructions: int
    timer: int | None


@dataclass(frozen=True)
class Moment:
    """`clock`: the machine's since power-on. `idle`: how much of that it had nothing to do. Both in seconds."""

    clock: float
    idle: float


@dataclass(frozen=True)
class Course:
    """A machine's moments in their order."""

    moments: tuple[Moment, ...]

    def instructions(self, clock: float) -> float:
        """How many had been executed when the clock said so. Between two moments idle time is spread evenly."""
        at = bisect_right(self.moments, clock, key=lambda moment: moment.clock)
        before, after = self.moments[max(at - 1, 0)], self.moments[min(at, len(self.moments) - 1)]
        length = after.clock - before.clock
        part = min(max((clock - before.clock) / length, 0.0), 1.0) if length > 0 else 0.0
        return (clock - before.idle - part * (after.idle - before.idle)) * PER_SECOND


def course(readings: Sequence[Reading]) -> Course:
    """The course that readings show. Raises TimedOut when there is too long a gap between two, and BadInput when the
    firmware set no timer up.

    The timer is read before the instructions, so a reading never shows more idle time than there was, but less when the
    machine worked in between: the most that any reading showed so far counts.
    """
    gap = max((after.at - before.at for before, after in pairwise(readings)), default=0.0)
    if gap > GAP_SECONDS:
        raise TimedOut(
            f"QEMU could not be asked for its instructions for {gap:.1f} s",
            hint="this computer is too busy even for that; try again when it is less so",
        )
    if not readings or readings[-1].timer is None:  # all idle time would count as work
        raise BadInput(f"the machine's ACPI timer was never seen at port {TIMER_PORT:#x}")
    moments = [Moment(0.0, 0.0)]
    for reading in readings:
        busy, idle = reading.instructions / PER_SECOND, moments[-1].idle
        if reading.timer is not None:
            wraps = TIMER_WRAPS / TIMER_HERTZ
            more = (reading.timer / TIMER_HERTZ - busy - idle + _SLACK_SECONDS) % wraps - _SLACK_SECONDS
            idle = max(idle, idle + more)
        clock = max(busy + idle, moments[-1].clock)
        moments.append(Moment(clock, idle))
    return Course(tuple(moments))


def parse(at: float, port: object, replay: object) -> Reading:
    """What QEMU's monitor answers to `i`, and QEMU to `query-replay`. Raises BadInput."""
    count = replay.get("icount") if isinstance(replay, dict) else None
    match = _PORT.search(port) if isinstance(port, str) else None
    if not isinstance(count, int) or match is None:
        raise BadInput(f"QEMU does not tell its instructions and timer: {port!r}, {replay!r}")
    timer = int(match[1], 16)
    return Reading(at, count, timer if timer < TIMER_WRAPS else None)


@dataclass
class Counter:
    """Reads a machine from here to the end of the block. `path`: where its QEMU listens for QMP."""

    path: Path
    _readings: list[Reading] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        assert self._thread is not None
        self._over.set()
        self._thread.join()

    def read(self) -> int:
        """Read it now; which of the course's moments that is. Raises as `qmp.ask_all`, and BadInput."""
        with self._lock:  # so that readings are in the order of their moments
            port, replay = qmp.ask_all(
                self.path,
                ("human-monitor-command", {"command-line": f"i /w {TIMER_PORT:#x}"}),
                ("query-replay", None),
            )
            self._readings.append(parse(time.monotonic(), port, replay))
            return len(self._readings)  # the course begins with power-on

    def course(self) -> Course:
        with self._lock:
            return course(self._readings)

    def _run(self) -> None:
        while not self._over.wait(READ_SECONDS):
            try:
                self.read()
            except TimedOut:  # the gap tells
                continue
            except OrlopError:  # it went off, which whoever waits for it sees and says
                return
