"""When a version reaches a machine: positions, waves, and the straight lines between them.

A rollout is a curve from time to the share of machines that may have the version. Each machine has a position between
0 and 1, made of a secret that never leaves it and of the version, so that nobody knows who comes first, and not the
same machines are first every time. A machine may have the version from the moment on at which the curve reaches its
position.

Invariant: the curve is continuous, piecewise linear and never falls. So in a time dt at most (rate of the wave) · dt of
the machines become eligible; there is no instant at which many do. Standing still (`halted`) takes time out of the
curve and resuming goes on where it stood; changing the waves begins at the share that was reached.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orlop.errors import BadInput
from orlop.model.words.version import Version

WHOLE = 1_000_000  # shares are counted in millionths
MAX_WAVES = 50
MAX_MINUTES = 366 * 24 * 60


@dataclass(frozen=True)
class Wave:
    """By `minutes` after the start, `ppm` millionths of all machines may have it."""

    minutes: int
    ppm: int


@dataclass(frozen=True)
class Rollout:
    """`base` millionths may have it at `start` already; `held_seconds` is how long it has stood still since.

    With a last wave below the whole it stays there until the waves are changed.
    """

    start: datetime
    waves: tuple[Wave, ...]
    base: int = 0
    held_seconds: int = 0
    halted: datetime | None = None

    def elapsed(self, now: datetime) -> float:
        """Seconds of the curve that have passed; negative before the start."""
        until = now if self.halted is None else min(now, self.halted)
        return (until - self.start).total_seconds() - self.held_seconds

    def share(self, now: datetime) -> float:
        """The share of machines, 0 to 1, that may have it."""
        at = self.elapsed(now)
        if at < 0:
            return 0.0
        before = Wave(0, self.base)
        for wave in self.waves:
            if at < wave.minutes * 60:
                part = (at - before.minutes * 60) / ((wave.minutes - before.minutes) * 60)
                return (before.ppm + (wave.ppm - before.ppm) * part) / WHOLE
            before = wave
        return before.ppm / WHOLE

    def reaches(self, position: float) -> datetime | None:
        """When a machine at `position` may have it, if nothing changes; None when it never does."""
        ppm = position * WHOLE
        before = Wave(0, self.base)
        seconds: float | None = 0.0 if ppm < self.base else None
        for wave in self.waves:
            if seconds is None and ppm < wave.ppm:
                part = (ppm - before.ppm) / (wave.ppm - before.ppm)
                seconds = (before.minutes + (wave.minutes - before.minutes) * part) * 60
            before = wave
        if seconds is None:
            return None
        return self.start + timedelta(seconds=seconds + self.held_seconds)

    def wave_of(self, position: float) -> int:
        """Which wave, counted from 1, reaches the position; 0 when none does, 1 also for what `base` reaches."""
        return next((n for n, wave in enumerate(self.waves, 1) if position * WHOLE < wave.ppm), 0)

    def over(self, now: datetime) -> bool:
        """Every machine may have it."""
        return self.share(now) >= 1.0

    def halt(self, now: datetime) -> Rollout:
        return self if self.halted is not None else replace(self, halted=max(now, self.start))

    def resume(self, now: datetime) -> Rollout:
        if self.halted is None:
            return self
        stood = max(0, round((now - self.halted).total_seconds()))
        return replace(self, halted=None, held_seconds=self.held_seconds + stood)

    def changed(self, waves: tuple[Wave, ...], now: datetime) -> Rollout:
        """The same rollout with other waves from now on, beginning at the share it has reached."""
        reached = int(self.share(now) * WHOLE)
        ahead = tuple(wave for wave in waves if wave.ppm > reached)
        return Rollout(max(now, self.start), ahead, reached, 0, self.halted and now)


def position(secret: bytes, version: Version) -> float:
    """Where a machine stands in the rollout of a version, from 0 to below 1: SHA-256(secret ‖ version)."""
    digest = hashlib.sha256(secret + str(version).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def _plan(*steps: tuple[float, float]) -> tuple[Wave, ...]:
    return tuple(Wave(round(hours * 60), round(percent * WHOLE / 100)) for hours, percent in steps)


# name: (waves, what it is for). Hours after the start, percent of the machines.
PLANS: dict[str, tuple[tuple[Wave, ...], str]] = {
    "default": (_plan((4, 1), (12, 10), (24, 30), (48, 70), (72, 100)), "three days"),
    "slow": (_plan((24, 1), (72, 5), (144, 20), (216, 60), (288, 100)), "twelve days"),
    "fast": (_plan((2, 5), (8, 30), (24, 100)), "one day"),
    "urgent": (_plan((0.5, 5), (3, 100)), "three hours, for what must be mended now"),
    "at-once": (_plan((1 / 60, 100)), "one minute, for a channel of a few machines"),
}


def parse_waves(text: str) -> tuple[Wave, ...]:
    """A plan's name, or `HOURS:PERCENT,…`, for example `4:1,24:30,72:100`. Raises BadInput."""
    if text in PLANS:
        return PLANS[text][0]
    hint = f"name a plan ({', '.join(PLANS)}) or give HOURS:PERCENT,…, for example 4:1,24:30,72:100"
    try:
        steps = [tuple(float(number) for number in step.split(":")) for step in text.split(",")]
        waves = _plan(*((hours, percent) for hours, percent in steps))
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is not a valid plan of waves", hint=hint) from None
    if trouble := waves_trouble(waves):
        raise BadInput(f"{text!r} is not a valid plan of waves: {trouble}", hint=hint)
    return waves


def waves_trouble(waves: tuple[Wave, ...], base: int = 0) -> str:
    """What is wrong with the waves; "" when nothing is. Time and share must both grow, so that there is no jump."""
    if len(waves) > MAX_WAVES:
        return f"{len(waves)} waves, at most {MAX_WAVES} are read"
    before = Wave(0, base)
    for n, wave in enumerate(waves, 1):
        if not before.minutes < wave.minutes <= MAX_MINUTES:
            return (
                f"wave {n} ends {wave.minutes} minutes after the start, must be {before.minutes + 1} to {MAX_MINUTES}"
            )
        if not before.ppm < wave.ppm <= WHOLE:
            return f"wave {n} reaches {wave.ppm} millionths, must be {before.ppm + 1} to {WHOLE}"
        before = wave
    return ""
