"""The log is an indented tree of steps, each closed with the time it took.

    ‣ Making the SDK tree
      ‣ Downloading packages
      ✓ 12.1 s
    ✓ 31.0 s

Why our own: a step is at once the progress a person sees, the context an error is raised in and the record
`make up` and the bench read. Output goes to stderr so that stdout stays machine-readable. Lifetime: one
`Steps` a process, made by the command line; libraries take it as an argument and never print.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

HEARTBEAT_SECONDS = 15.0


@dataclass
class Steps:
    """Where steps are written. `quiet` keeps the record (`done`) and prints nothing."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    done: list[tuple[str, float]] = field(default_factory=list)
    _depth: int = 0

    def note(self, text: str) -> None:
        """One line inside the current step."""
        self._write("  " * self._depth + text)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Open a step; say every 15 s that it is still running; close it with its time, or with ✗ if it raised."""
        start = self.clock()
        self._write("  " * self._depth + "‣ " + title)
        self._depth += 1
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(title, start, stop, self._depth), daemon=True)
        if not self.quiet:
            beat.start()
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            stop.set()
            if beat.is_alive():
                beat.join()
            self._depth -= 1
            took = self.clock() - start
            self.done.append((title, took))
            self._write("  " * self._depth + f"{mark} {title}: {took:.1f} s")

    def _beat(self, title: str, start: float, stop: threading.Event, depth: int) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            if self._depth == depth:  # only the innermost step speaks
                self._write("  " * self._depth + f"… {title}: {self.clock() - start:.0f} s so far")

    def _write(self, line: str) -> None:
        if not self.quiet:
            print(line, file=self.out, flush=True)
