"""A million machines over the waves of a release: `python -m bench.rollout [--plan NAME] [--machines N] [--json]`.

Each machine has a secret; its position in the rollout says when the version reaches it. What is shown is when machines
become eligible: the curve as a plot, and beside it the largest number in any one minute, held against the rate of the
wave that the minute lies in. A halt is part of it: the curve stands still, and goes on where it stood.

Counting noise is no cliff: of n machines expected in a minute, n + 6·√n still come about once in a billion minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import pairwise

from orlop.model.release.rollout import PLANS, WHOLE, Rollout, Wave, parse_waves
from orlop.model.words.version import Version

MACHINES = 1_000_000
START = datetime(2026, 12, 1, 12, tzinfo=UTC)
VERSION = Version(date(2026, 12, 1), 1)
SIGMAS = 6.0
ROWS, COLUMNS = 24, 60


@dataclass(frozen=True)
class Curve:
    """`minutes[n]` is how many machines become eligible in minute n, `expected[n]` how many the waves say."""

    minutes: list[int]
    expected: list[float]

    @property
    def worst(self) -> float:
        """The largest excess of any minute, in standard deviations of counting."""
        return max(
            (got - want) / math.sqrt(max(want, 1.0)) for got, want in zip(self.minutes, self.expected, strict=True)
        )

    @property
    def smooth(self) -> bool:
        return self.worst <= SIGMAS


def simulate(waves: tuple[Wave, ...], machines: int, halt: int = 0, stood: int = 0) -> Curve:
    """When each of the machines becomes eligible, counted by minute. The secrets are the numbers 0, 1, 2, …

    After `halt` minutes the rollout is halted for `stood` minutes, and resumed.
    """
    rollout = Rollout(START, waves)
    whole = waves[-1].minutes
    counts = [0] * (whole + stood)
    version = str(VERSION).encode()
    edges = [0.0, *(wave.ppm / WHOLE for wave in waves)]
    starts = [0.0, *(float(wave.minutes) for wave in waves)]
    for n in range(machines):  # `reaches`, unrolled: a million calls of it take half a minute
        at = (int.from_bytes(sha256(n.to_bytes(8, "big") + version).digest()[:8], "big") >> 11) / (1 << 53)
        w = bisect_right(edges, at)
        if w == len(edges):
            continue  # beyond the last wave
        minute = starts[w - 1] + (starts[w] - starts[w - 1]) * (at - edges[w - 1]) / (edges[w] - edges[w - 1])
        counts[int(minute + stood if minute >= halt else minute)] += 1
    halted = rollout.halt(START + timedelta(minutes=halt))
    resumed = halted.resume(START + timedelta(minutes=halt + stood))
    documents = [rollout] * halt + [halted] * stood + [resumed] * (whole - halt + 1)
    shares = [document.share(START + timedelta(minutes=m)) for m, document in enumerate(documents)]
    return Curve(counts, [(b - a) * machines for a, b in pairwise(shares)])


def plot(curve: Curve, machines: int) -> list[str]:
    """The share that has it, as bars over time, and the most that came in one minute of each row."""
    step = math.ceil(len(curve.minutes) / ROWS)
    lines, total = [], 0
    for start in range(0, len(curve.minutes), step):
        rows = curve.minutes[start : start + step]
        total += sum(rows)
        bar = "█" * round(COLUMNS * total / machines)
        hour = (start + len(rows)) / 60
        lines.append(f"{hour:7.1f} h {total / machines:6.1%} {bar:<{COLUMNS}} {max(rows):>7} a minute at most")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plan", default="default", help=f"{', '.join(PLANS)}, or HOURS:PERCENT,…")
    parser.add_argument("--machines", type=int, default=MACHINES)
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args()
    waves = parse_waves(args.plan)
    began = time.perf_counter()
    curve = simulate(waves, args.machines, halt=waves[-1].minutes * 2 // 5, stood=waves[-1].minutes // 10)
    took = time.perf_counter() - began
    cliff = jump(waves, args.machines)
    facts = {
        "machines": args.machines, "seconds": round(took, 2), "smooth": curve.smooth,
        "worst_minute_sigmas": round(curve.worst, 2), "most_in_a_minute": max(curve.minutes),
        "most_in_a_minute_with_a_cliff": cliff,
    }  # fmt: skip
    if args.json:
        print(json.dumps(facts))
    else:
        print(*plot(curve, args.machines), sep="\n")
        verdict = "no instant at which more become eligible than the wave's rate" if curve.smooth else "A CLIFF"
        print(f"{args.machines} machines in {took:.1f} s: {verdict}")
        print(f"worst minute: {curve.worst:.1f} standard deviations above its wave's rate (limit {SIGMAS:.0f})")
        print(f"most in one minute: {max(curve.minutes)}; with waves as steps it would be {cliff}")
    return 0 if curve.smooth else 1


def jump(waves: tuple[Wave, ...], machines: int) -> int:
    """The largest number at one instant if every wave opened at once."""
    before, largest = Wave(0, 0), 0
    for wave in waves:
        largest = max(largest, wave.ppm - before.ppm)
        before = wave
    return largest * machines // WHOLE


if __name__ == "__main__":
    sys.exit(main())
