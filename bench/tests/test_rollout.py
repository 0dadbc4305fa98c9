from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from bench.rollout import START, VERSION, Curve, jump, plot, simulate
from orlop.model.release.channel import Channel, Entry, ReleaseImage, index_target
from orlop.model.release.policy import Go, Machine, answer
from orlop.model.release.rollout import PLANS, WHOLE, Rollout, Wave
from orlop.model.words.version import Version
from orlop.publish.channels import edits

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_every_plan_is_smooth(plan: str) -> None:
    waves = PLANS[plan][0]
    curve = simulate(waves, 50_000, halt=waves[-1].minutes // 2, stood=7)
    assert sum(curve.minutes) == 50_000
    assert curve.smooth
    assert sum(curve.expected) == pytest.approx(50_000)


def test_a_cliff_would_be_seen() -> None:
    counts = [100] * 50
    assert Curve(counts, [100.0] * 50).smooth
    assert not Curve([*counts[:-1], 5000], [100.0] * 50).smooth
    assert simulate((Wave(1, WHOLE),), 10_000).minutes == [10_000]
    assert jump((Wave(60, 10_000), Wave(120, WHOLE)), 1_000_000) == 990_000


def test_the_simulation_is_what_machines_answer() -> None:
    """Each of 300 machines is asked with the signed documents of before, during and after a halt."""
    waves = (Wave(30, 200_000), Wave(90, WHOLE))
    curve = simulate(waves, 300, halt=40, stood=20)
    image = ReleaseImage("x86-64", index_target("stable", VERSION, "x86-64"), 1)
    first = Channel("stable", START, (Entry(VERSION, START, (image,), Rollout(START, waves), "0" * 64),))
    halted = edits.halt(first, None, "a look", START + 40 * MINUTE)
    resumed = edits.resume(halted, None, START + 60 * MINUTE)
    machines = [Machine(Version.parse("20260101.1"), "stable", n.to_bytes(8, "big")) for n in range(300)]
    total = 0
    for minute, new in enumerate(curve.minutes, 1):
        total += new
        if minute > 40 and minute <= 60:
            assert new == 0
            continue
        document = first if minute <= 40 else resumed
        now = START + minute * MINUTE
        assert sum(isinstance(answer(document, m, now), Go) for m in machines) == total


def test_the_plot_ends_with_everybody() -> None:
    lines = plot(simulate(PLANS["urgent"][0], 2000), 2000)
    assert "100.0%" in lines[-1]
    assert len(lines) <= 25


def test_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.rollout", "--machines", "20000", "--json"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    about = json.loads(done.stdout)
    assert about["smooth"]
    assert about["machines"] == 20000
