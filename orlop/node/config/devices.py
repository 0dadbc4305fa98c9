"""Waiting for the disks of a configuration: a while for what can be spared, else until they are there.

A machine that lacks a disk says so on its console, again and again, and goes on by itself when the disk is there: it
does not reboot, and the try of a version on trial is given back meanwhile (`tries`). Only a version that has yet to
prove itself does not wait for ever: it may lack what the disk needs. When its time is up the boot fails; and where it
was not to blame, the version before waits as it did.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from orlop.node.config import hardware
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.hardware import MissingDevices
from orlop.node.config.rendering import Rendering

SPARE_SECONDS = 10  # what a disk may take longer than the disk of the system
TRIAL_SECONDS = 900  # what a version on trial waits, as its health check does
AGAIN_SECONDS = 60  # between two times that the console says it


def there(devices: Sequence[str]) -> set[str]:
    return {device for device in devices if Path(device).exists()}


def settle() -> None:
    subprocess.run(["udevadm", "settle", "--timeout=30"], check=False, timeout=60)


@dataclass(frozen=True)
class Waiting:
    """How to wait: `lent` keeps this boot's try from counting; `limit` in seconds, None for ever."""

    say: Callable[[str], None]
    lent: Callable[[], AbstractContextManager[None]]
    limit: float | None
    look: Callable[[Sequence[str]], Collection[str]] = there
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def wait(self, config: Rendering, done: Collection[str]) -> MissingDevices:
        """What is missing when everything that is needed is there. Raises StageFailed when the time is up."""
        devices = hardware.named(config)
        if not devices:
            return MissingDevices(config)
        missing = self._for(config, done, devices)
        return self._needed(config, done, devices, missing) if missing.needed else missing

    def _for(self, config: Rendering, done: Collection[str], devices: Sequence[str]) -> MissingDevices:
        began = self.clock()
        while True:
            missing = hardware.judge(config, self.look(devices), done)
            if missing.is_whole or self.clock() - began >= SPARE_SECONDS:
                return missing
            self.pause(0.5)

    def _needed(
        self, config: Rendering, done: Collection[str], devices: Sequence[str], missing: MissingDevices
    ) -> MissingDevices:
        began, when = self.clock(), -float("inf")
        told: tuple[str, ...] = ()
        with self.lent():
            while missing.needed:
                now = self.clock()
                if self.limit is not None and now - began >= self.limit:
                    raise StageFailed(Failure("hardware", "; ".join(missing.needed)))
                if missing.needed != told or now - when >= AGAIN_SECONDS:
                    for sentence in missing.needed:
                        self.say(f"waiting: {sentence}")
                    self.say("this boot goes on by itself when that is there; no try of this version is used up by it")
                    told, when = missing.needed, now
                self.pause(1.0)
                missing = hardware.judge(config, self.look(devices), done)
        return missing
