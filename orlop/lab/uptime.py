"""When a machine's own clock was 0, on the clock of who watches it.

A machine's journal and its units count from that moment; to put them beside what is seen from outside, the machine's
uptime is read over one session, so that a round trip takes milliseconds, and each time between two looks at the other
clock.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from typing import TypeVar

from orlop.errors import BadInput, CommandFailed
from orlop.lab.machine import Node
from orlop.processes import end_group

SAMPLES = 10
_LOOP = 'while read -r _; do read -r l </proc/uptime; echo "$l"; done'
T = TypeVar("T")


def samples(node: Node, look: Callable[[], T]) -> list[tuple[T, str, T]]:
    """(what `look` said before, /proc/uptime as read, what it said after), ten times. Raises CommandFailed."""
    argv = node.argv(["sh", "-c", _LOOP])
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdin is not None
    assert child.stdout is not None
    taken = []
    try:
        for _ in range(SAMPLES):
            before = look()
            child.stdin.write(b"\n")
            child.stdin.flush()
            answer = child.stdout.readline().decode()
            if not answer:
                raise CommandFailed(f"{node.name} did not tell its time", code=child.wait(10))
            taken.append((before, answer, look()))
    finally:
        child.stdin.close()
        end_group(child)
        child.stdout.close()
    return taken


def clock_zero(taken: Iterable[tuple[float, str, float]]) -> float:
    """The watcher's time, in seconds, at which the machine's clock was 0. `taken`: as `samples`.

    The quickest round trip bounds the answer best. Raises BadInput without a sample.
    """
    best = min(taken, key=lambda sample: sample[2] - sample[0], default=None)
    if best is None:
        raise BadInput("the machine's clock was not read")
    before, uptime, after = best
    return (before + after) / 2 - float(uptime.split()[0])
