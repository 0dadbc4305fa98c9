"""Machines that stand still though nothing is wrong with them: the emulator's fault, told from the console.

QEMU without KVM (TCG) now and then, about once in some hundred boots, makes a machine one of whose processors gets no
timer interrupts. It stands still: under its boot loader without a word, or later, when the kernel says what it misses.
No system can help that, and real hardware does not do it. Such a machine is powered off and on, once, and that is said.
Every machine must stand a power cut in a boot anyway.

A machine under KVM is never taken for one of these, nor is one that has come as far as systemd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orlop.lab import state as records
from orlop.lab.machine import Node
from orlop.machines import console
from orlop.machines.console import BootStage

SILENT_SECONDS = 150.0  # between boot loader and systemd; a boot on a busy computer needs less than ten


def power_cycle(node: Node) -> None:
    """Take its power and give it again."""
    node.power_cut()
    node.start()


@dataclass
class Standstill:
    """Watches one node. Show it the console, which it compares with what it was shown before."""

    node: Node
    _size: int = -1
    _since: float = 0.0
    _was_cycled: bool = False

    def why(self, text: str, now: float) -> str:
        """Why the node is to be powered off and on; "" when it is not. `text`: its console so far; `now` in seconds."""
        if len(text) != self._size:
            self._size, self._since = len(text), now
        if self._was_cycled:
            return ""
        if console.has_lost_a_timer(text):
            reason = "its emulated processor gets no timer interrupts"
        elif now - self._since > SILENT_SECONDS and console.stage(console.last_boot(text)) in (
            BootStage.LOADER,
            BootStage.KERNEL,
        ):
            reason = f"it has said nothing for {now - self._since:.0f} s, and its system has not begun"
        else:
            return ""
        return reason if records.read(self.node.paths).acceleration.name == "tcg" else ""

    def cycle(self, how: Callable[[Node], None] = power_cycle) -> None:
        """Power it off and on."""
        self._was_cycled = True
        how(self.node)
