"""A fresh machine, booted and booted again, and what each boot cost until its container answered.

Lifetime: a lab of one counted machine, removed at the end, whatever happens. What the machine notes of itself is asked
for only when it has come up whole, which is after all that counts. That its container answers is seen from outside too,
but seldom asked, since each request is work for the machine: when it did answer is in its journal, by the demo's word.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.lab import demo, lab, uptime
from orlop.lab.counted.borders import SHOW, Said, borders
from orlop.lab.counted.cost import Cost, cost
from orlop.lab.images import LabImage
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import shut_down, wait_verdicts
from orlop.machines import console
from orlop.machines.counter import Counter
from orlop.steps import Steps
from orlop.workspace import Workspace

BOOT_SECONDS = 900.0
REACHED_SECONDS = 300.0
_ASK_SECONDS = 2.0
_ONE_REQUEST = 0.1  # no second one is sent within it


def first_and_later(ws: Workspace, steps: Steps, image: LabImage, name: str, *, is_judged: bool) -> tuple[Cost, Cost]:
    """Cost of the first boot of a fresh disk, and of the next one after an orderly shutdown; in a lab called `name`.

    `is_judged`: it judges its own boot, and a bad one is an error. Raises TimedOut or CommandFailed, with the end of
    its console, and BadInput when it does not say what it should.
    """
    with _machine(ws, steps, image, name) as node:
        with steps.step("Counting its first boot"):
            first = _counted(node, steps, is_judged=is_judged)
        shut_down(node, timeout=BOOT_SECONDS)
        with steps.step("Counting a later boot"):
            node.start()
            return first, _counted(node, steps, is_judged=is_judged)


@contextmanager
def _machine(ws: Workspace, steps: Steps, image: LabImage, name: str) -> Iterator[Node]:
    with suppress(Missing):  # left by a run that was killed
        lab.down(ws, name)
    the_lab = lab.up(ws, steps, LabPlan(image=image, name=name, cpus=1, demo=True, is_counted=True))
    try:
        yield the_lab.nodes[0]
    finally:
        with suppress(Missing):  # somebody else removed it: what that made go wrong is the error to show
            lab.down(ws, name)


def _counted(node: Node, steps: Steps, *, is_judged: bool) -> Cost:
    """The cost of a boot that has just begun. Then the boot is over: the verdict is given, no unit is starting."""
    with Counter(node.at.qmp) as counter:
        if is_judged:  # reads the console alone, and tells what goes wrong
            wait_verdicts([node], steps, timeout=BOOT_SECONDS)
        _wait_answer(node)
        node.wait_reached(REACHED_SECONDS)
        # its exit status tells of failed units, which the verdict does better
        node.sh("systemctl is-system-running --wait || true", timeout=BOOT_SECONDS)
        moments = Said(
            show="".join(node.sh(command) for command in SHOW),
            kernel=node.sh("dmesg"),
            journal=node.sh("journalctl -b -o short-monotonic --no-pager", timeout=REACHED_SECONDS),
        )
        looks = uptime.samples(node, counter.read)
    course = counter.course()
    zero = uptime.clock_zero([(course.moments[a].clock, up, course.moments[b].clock) for a, up, b in looks])
    return cost(course, zero, borders(moments))


def _wait_answer(node: Node) -> None:
    """Wait until the demo answers. Raises TimedOut or CommandFailed (it went off), with the end of its console."""
    until = time.monotonic() + BOOT_SECONDS
    while True:
        is_running = node.running
        try:
            demo.fetch(node.port(demo.PORT), timeout=_ONE_REQUEST)
            return
        except TimedOut:
            words = "the end of its console:\n" + console.tail(node.console_text())
            if not is_running:
                raise CommandFailed(f"{node.name} went off while it was starting", code=1, hint=words) from None
            if time.monotonic() > until:
                message = f"the container on {node.name} did not answer within {BOOT_SECONDS:.0f} s"
                raise TimedOut(message, hint=words) from None
        time.sleep(_ASK_SECONDS)
