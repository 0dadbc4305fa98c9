"""Wait for the verdicts of booting nodes, saying how far they are, and give up as soon as there is no hope.

A machine says in one console line whether its boot is good (`orlop-health`), so waiting is reading: the console log is
looked at four times a second, and nothing is asked of the machine.

A machine that stands still by its emulator's fault is powered off and on, once (standstill.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orlop.errors import CommandFailed, TimedOut
from orlop.lab.machine import Node, last_words
from orlop.lab.standstill import Standstill, power_cycle
from orlop.machines import console
from orlop.machines.console import BootStage, Verdict
from orlop.steps import Steps

_POLL = 0.25
_HOPELESS = ("kernel panic", "emergency mode", "init froze", "verity")
_LAST_WORDS = "emergency mode"  # the machine goes on to say what failed
_LAST_WORDS_SECONDS = 20.0
_MOST_WORDS = 30


@dataclass
class _Watch:
    """One node while it boots: `text` is its console since `start`, `stage` the furthest it was seen."""

    node: Node
    start: int | None
    text: str = ""
    stage: BootStage = field(default=BootStage.OFF)
    is_world_hard: bool = False
    lost_at: float | None = None

    def look(self, now: float) -> Verdict | None:
        """Read the console; the verdict once there is a good one. Raises CommandFailed when there will be none."""
        is_running = self.node.running  # asked before the console is read: last words count
        text = self.node.console_text(self.start)
        if text != self.text or self.lost_at is not None:
            self.text, self.stage = text, console.stage(console.last_boot(text))
            if verdicts := console.verdicts(text):
                return self._accept(verdicts[-1])
            if self.is_world_hard and (reason := console.waiting(text)):
                return Verdict(good=False, version="", boot="", reason=reason)
            if lost := next((p for p in console.failures(text) if p.kind in _HOPELESS), None):
                self._give_up(lost, now, is_running=is_running)
        if not is_running:
            raise self.failed("went off while it was starting", "\n" + last_words(self.node.paths, self.node.state()))
        return None

    def _give_up(self, lost: console.Problem, now: float, *, is_running: bool) -> None:
        """Raise CommandFailed, once the machine has said why, as far as it will."""
        words, all_said = console.last_words(self.text)
        self.lost_at = now if self.lost_at is None else self.lost_at
        is_late = now - self.lost_at > _LAST_WORDS_SECONDS
        if lost.kind != _LAST_WORDS or all_said or is_late or not is_running:
            raise self.failed(f"cannot come up: {lost.text}", words=words[:_MOST_WORDS])

    def cycled(self) -> None:
        """It was powered off and on: what counts is what its console says from now on."""
        self.start, self.text, self.stage = None, "", BootStage.OFF

    def _accept(self, verdict: Verdict) -> Verdict:
        if not verdict.good and not self.is_world_hard:
            raise self.failed(f"judged its boot bad: {verdict.reason}")
        return verdict

    def failed(self, what: str, more: str = "", words: Sequence[str] = ()) -> CommandFailed:
        return CommandFailed(
            "\n  ".join([f"{self.node.name} {what} (its console: {self.node.at.console_log})", *words]),
            code=1,
            tail=console.tail(self.text) + more,
            hint="the console tells more than this end of it",
        )


def wait_verdicts(
    nodes: Sequence[Node],
    steps: Steps,
    *,
    timeout: float,
    start: int | None = None,
    is_world_hard: bool = False,
    clock: Callable[[], float] = time.monotonic,
    cycle: Callable[[Node], None] = power_cycle,
) -> dict[str, Verdict]:
    """Wait until every node has judged its boot good. `start`: as `Node.console_text`; `timeout` in seconds. With
    `is_world_hard` a node has said enough when its verdict is bad, or it waits for what is wrong around it.

    Raises CommandFailed (a bad verdict, a machine that went off, a boot that cannot come to a verdict) or TimedOut,
    each with the end of the console.
    """
    begun = clock()
    watches = {node.name: _Watch(node, start, is_world_hard=is_world_hard) for node in nodes}
    stills = {node.name: Standstill(node) for node in nodes}
    verdicts: dict[str, Verdict] = {}
    while True:
        for name, watch in watches.items():
            if name in verdicts:
                continue
            before = watch.stage
            verdict = watch.look(clock())
            if watch.stage != before:
                word = "good" if verdict and verdict.good else watch.stage.name.lower()
                steps.note(f"{name}: {word} ({clock() - begun:.0f} s)")
            if verdict:
                verdicts[name] = verdict
                if not verdict.good:
                    how = "judged its boot bad" if verdict.boot else "waits for what is wrong around it"
                    steps.note(f"{name} {how}: {verdict.reason}")
            elif why := stills[name].why(watch.text, clock()):
                steps.note(f"{name}: stands still, {why}: powered off and on")
                stills[name].cycle(cycle)
                watch.cycled()
        if len(verdicts) == len(watches):
            return verdicts
        if clock() - begun > timeout:
            raise _late(next(w for n, w in watches.items() if n not in verdicts), timeout)
        time.sleep(_POLL)


def wait_verdict(node: Node, steps: Steps, *, timeout: float, start: int | None = None) -> Verdict:
    """`wait_verdicts` for one node."""
    return wait_verdicts([node], steps, timeout=timeout, start=start)[node.name]


def reboot(node: Node, steps: Steps, *, timeout: float) -> Verdict:
    """Ask a node to reboot, and wait for the verdict of its new boot."""
    start = node.console_size()
    node.run("systemctl", "reboot")  # its exit status tells nothing: the connection ends with the system
    return wait_verdict(node, steps, timeout=timeout, start=start)


def restart(node: Node, steps: Steps, *, timeout: float) -> Verdict:
    """Shut a node down, unless it is off, power it on and wait for its verdict: what QEMU is told is told anew.

    Raises as `shut_down` and `wait_verdict`.
    """
    shut_down(node, timeout=timeout)
    node.start()
    return wait_verdict(node, steps, timeout=timeout)


def shut_down(node: Node, *, timeout: float) -> None:
    """Have a node power itself off, unless it is off. Raises TimedOut when it does not."""
    if not node.running:
        return
    node.run("systemctl", "poweroff")
    until = time.monotonic() + timeout
    while node.running:
        if time.monotonic() > until:
            raise TimedOut(
                f"{node.name} did not go off within {timeout:.0f} s",
                hint=f"`orlop lab power-cut {node.name}` takes its power",
            )
        time.sleep(_POLL)


def _late(watch: _Watch, timeout: float) -> TimedOut:
    return TimedOut(
        f"{watch.node.name} gave no verdict within {timeout:.0f} s; it came as far as: {watch.stage.name.lower()} "
        f"(its console: {watch.node.at.console_log}). Its last lines:\n{console.tail(watch.text)}",
        hint="a slow computer may need a longer --timeout",
    )
