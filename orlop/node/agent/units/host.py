"""What is asked of the host about units: in files, because this program may not speak to the system manager.

    run/units/NAME, NAME.conf   texts, and what is dropped in beside them
    run/asked                   a number, then a line for each deed; the host removes it, does it, and answers
    placed/.answer              the number of what was done last, then a line for each deed that was refused

Invariant: one thing is asked at a time, and what is asked has all its files before it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import TimedOut
from orlop.files import write_atomic
from orlop.model.cluster.names import PLACED_ANSWER, UNITS_ASKED, UNITS_TEXTS
from orlop.model.fleet.tasks import MachineUnit, TaskKind, UnitTask

SECONDS = 120.0
_LOOK = 0.02
_MOST_ANSWER = 1 << 20


@dataclass(frozen=True)
class UnitHost:
    """`top` is where the machine's /run is."""

    top: Path = Path("/")
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], Any] = time.sleep

    def write(self, unit: MachineUnit) -> None:
        """Raises NoSpace, OSError."""
        folder = self._path(UNITS_TEXTS)
        write_atomic(folder / unit.name, unit.text, mode=0o644)
        write_atomic(folder / f"{unit.name}.conf", unit.limits(), mode=0o644)

    def remove(self, name: str) -> None:
        for each in (name, f"{name}.conf"):
            (self._path(UNITS_TEXTS) / each).unlink(missing_ok=True)

    def do(self, deeds: Sequence[UnitTask], service: Callable[[str], str]) -> dict[str, str]:
        """Ask for them, wait until they are done; by unit, why a deed was refused.

        Raises TimedOut, NoSpace, OSError.
        """
        number = str(time.time_ns())
        lines = [f"{_VERBS[task.kind]} {task.name} {service(task.name)}" for task in deeds]
        write_atomic(self._path(UNITS_ASKED), "\n".join([number, *lines, ""]), mode=0o644)
        until = self.clock() + SECONDS
        while True:
            answered, refused = self._answer()
            if answered == number:
                return refused
            if self.clock() > until:
                raise TimedOut("the host did not do what was asked about units",
                               hint="systemctl status orlop-units-asked says why")  # fmt: skip
            self.wait(_LOOK)

    def _answer(self) -> tuple[str, dict[str, str]]:
        try:
            with self._path(PLACED_ANSWER).open() as f:
                number, *rows = f.read(_MOST_ANSWER).splitlines()
        except (OSError, ValueError):
            return "", {}
        return number, {name: why for name, _, why in (row.partition(" ") for row in rows)}

    def _path(self, place: str) -> Path:
        return self.top / place.lstrip("/")


_VERBS = {
    TaskKind.UNLOAD: "unload",
    TaskKind.LOAD: "load",
    TaskKind.STOP: "stop",
    TaskKind.START: "start",
    TaskKind.RESTART: "restart",
}
