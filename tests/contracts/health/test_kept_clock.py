"""What is remembered of the time: the real script, over a folder, around a start as systemd-timesyncd does it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "os/mkosi.extra/usr/lib/orlop/kept-clock"
CONFIRMED = 1_700_000_000


class Clock:
    def __init__(self, state: Path) -> None:
        self.state, self.file, self.synced = state, state / "clock", state / "synchronized"

    def run(self, verb: str) -> None:
        env = {"PATH": os.environ["PATH"], "ORLOP_TIMESYNC": str(self.state), "ORLOP_SYNCED": str(self.synced)}
        done = subprocess.run(["sh", SCRIPT, verb], env=env, check=True, timeout=30, capture_output=True)
        assert done.stderr == b""

    def starts(self) -> None:
        """What a start of timesyncd does to the file (seen of systemd 257)."""
        self.file.touch()
        os.utime(self.file, (time.time() + 9e8,) * 2)

    @property
    def remembered(self) -> int:
        return int(self.file.stat().st_mtime)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def test_what_no_server_confirmed_is_not_remembered(clock: Clock) -> None:
    for _ in range(2):
        clock.run("before")
        clock.starts()
        clock.run("after")
        assert clock.remembered == 0, "it knows of nothing"
    os.utime(clock.file, (CONFIRMED, CONFIRMED))
    clock.run("before")
    clock.starts()
    clock.run("after")
    assert clock.remembered == CONFIRMED
    assert [path.name for path in clock.state.iterdir()] == ["clock"]


def test_what_a_server_confirmed_during_the_start_stays(clock: Clock) -> None:
    clock.run("before")
    clock.starts()
    clock.synced.touch()
    os.utime(clock.file, (CONFIRMED, CONFIRMED))
    clock.run("after")
    assert clock.remembered == CONFIRMED


def test_a_start_that_was_cut_off_is_made_good_by_the_next(clock: Clock) -> None:
    clock.file.touch()
    os.utime(clock.file, (CONFIRMED, CONFIRMED))
    clock.run("before")
    clock.starts()
    clock.run("before")
    assert clock.remembered == CONFIRMED, "before timesyncd reads it again"
    clock.starts()
    clock.run("after")
    assert clock.remembered == CONFIRMED
