#!/usr/bin/env python3
"""Run the stages of `make check` side by side: what a person runs before each commit.

    check.py               all of them
    check.py STAGE…        these: format style types imports scripts unit

A stage's output is shown whole, when it ends, so that two of them never mix; at the end come their times, slowest
first, with the processor time of each, which a busy machine changes less. All run, whatever fails; the exit status is 0
when none did. T and K of the environment choose among the unit tests.

As many run at once as there are processors. The unit tests begin first and are the longest; they use all processors
themselves, and what the small ones need meanwhile is little. Each of the caches is the tool's own, in .orlop/cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

STATE = Path(os.environ.get("ORLOP_STATE", ".orlop"))
BIN = STATE / "venv/bin"
# one more than there are: some tests wait for a clock or a disk
WORKERS = len(os.sched_getaffinity(0)) + 1
PARALLEL = ("-n", str(WORKERS), "--dist", "worksteal")
MEMORY = Path("/dev/shm")


def pytest(place: str, *options: str) -> list[str]:
    """The command for the tests in `place`, or for those that T and K name."""
    chosen = os.environ.get("T") or place
    keyword = os.environ.get("K")
    return [str(BIN / "pytest"), "-q", *options, *chosen.split(), *(["-k", keyword] if keyword else [])]


def stages(scratch: str) -> dict[str, list[str]]:
    """Name → command, in the order in which they begin. `scratch`: a folder for the unit tests' files."""
    # for a few tests, starting workers would take longer than they do
    all_of_them = not (os.environ.get("T") or os.environ.get("K"))
    return {
        "unit": pytest(
            "tests/unit bench/tests",
            "-m",
            "not long",
            "--timeout",
            "120",
            "--basetemp",
            scratch,
            *(PARALLEL if all_of_them else ()),
        ),
        "types": [str(BIN / "mypy"), "."],
        "scripts": [str(BIN / "pytest"), "-q", "--timeout", "600", "tests/linters"],
        "imports": [str(BIN / "lint-imports"), "--no-logo", "--cache-dir", str(STATE / "cache/import-linter")],
        "style": [str(BIN / "ruff"), "check", "."],
        "format": [str(BIN / "ruff"), "format", "--check", "."],
    }


@dataclass(frozen=True)
class Done:
    """`seconds` by the clock, `processor` those of the stage and of all that it started and waited for."""

    name: str
    code: int
    said: str
    seconds: float
    processor: float


def run(name: str, command: list[str]) -> Done:
    began = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    with child.stdout:
        said = child.stdout.read().decode(errors="replace")
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # Popen has nothing left to wait for
    return Done(name, child.returncode, said, time.monotonic() - began, used.ru_utime + used.ru_stime)


def main(*names: str) -> int:
    # in memory, where there is such a place: half of some tests is waiting until a disk has what was written
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="orlop-unit-", dir=place) as scratch:
        return check(stages(f"{scratch}/tests"), names)


def check(known: dict[str, list[str]], names: tuple[str, ...]) -> int:
    if unknown := set(names) - known.keys():
        print(f"check.py: not a stage: {' '.join(sorted(unknown))}; there are: {' '.join(known)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    done = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pending = [pool.submit(run, name, command) for name, command in known.items() if not names or name in names]
        for future in as_completed(pending):
            stage = future.result()
            done.append(stage)
            print(f"── {stage.name}\n{stage.said.rstrip()}\n{'✗' if stage.code else '✓'} {stage.name}", flush=True)
    print(f"── check: {time.monotonic() - began:.0f} s, slowest first")
    for stage in sorted(done, key=lambda stage: -stage.seconds):
        mark = "✗" if stage.code else "✓"
        print(f"{mark} {stage.name:10}{stage.seconds:6.1f} s{stage.processor:8.1f} s of processors")
    return 1 if any(stage.code for stage in done) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
