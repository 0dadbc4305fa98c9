#!/usr/bin/env python3
"""Run machine tests, several sessions at the same time: `make vm` and `make long`.

The first argument says which, as pytest's -m does; the others go to every pytest.

A session is a file of tests/vm, or a folder of it, whose tests share machines. The image is built first, for all. There
are as many sessions at once as there are processors: emulated machines use as many as they get, so more would only make
each boot slower. Those that take longest begin first, so that none is left alone at the end.

What a session says is in .orlop/logs/machine-tests; of one that fails it is shown. The exit status is 0 when none did.
However slow the machines are this ends: ORLOP_VM_SECONDS is what all sessions may take together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

STATE = Path(os.environ.get("ORLOP_STATE", ".orlop"))
BIN = STATE / "venv/bin"
TESTS = Path("tests/vm")
LOGS = STATE / "logs/machine-tests"
LONGEST_FIRST = (
    *("test_channels", "test_config", "test_update", "test_reset", "test_sources", "test_first_boots", "test_health"),
    *("shared", "test_update_troubles"),
)
SECONDS = "4200"
NOTHING_CHOSEN = 5  # pytest's status when its options leave no test


@dataclass
class Run:
    """All sessions. `ends` on the monotonic clock; `environment` is every session's."""

    which: str
    more: Sequence[str]
    environment: dict[str, str]
    ends: float
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def session(self, tests: Path) -> int:
        """Run one session and say how it ended; its exit status."""
        log = LOGS / f"{tests.stem}.log"
        left = max(0.0, self.ends - time.monotonic())
        options = ["--durations=0", "--durations-min=5", "-m", self.which]
        argv: list[str | Path] = [BIN / "pytest", *options, tests, *self.more]
        print(f"‣ {tests.stem}", flush=True)
        began = time.monotonic()
        with log.open("wb") as out:
            child = subprocess.Popen(
                argv,
                env=self.environment | {"ORLOP_VM_SECONDS": str(int(left))},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            self.children.append(child)
            code = child.wait()
        code = 0 if code == NOTHING_CHOSEN else code
        said = log.read_text(errors="replace")
        if code:
            print(said, flush=True)
        last = (said.strip().splitlines() or [""])[-1].strip("= ")
        print(f"{'✗' if code else '✓'} {tests.stem}: {time.monotonic() - began:.0f} s, {last}", flush=True)
        return code

    def stop(self) -> None:
        """Let each session take its machines down."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)


def sessions() -> list[Path]:
    """Every file with tests and every folder of such files, the longest first."""
    found = [*TESTS.glob("test_*.py"), *{file.parent for file in TESTS.glob("*/test_*.py")}]
    places = {name: number for number, name in enumerate(LONGEST_FIRST)}
    return sorted(found, key=lambda path: (places.get(path.stem, len(places)), path))


def main(which: str, *more: str) -> int:
    environment = dict(os.environ)
    if "ORLOP_TEST_IMAGE" not in environment:
        built = subprocess.run([BIN / "orlop", "image", "build"], stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            return built.returncode
        environment["ORLOP_TEST_IMAGE"] = built.stdout.strip()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    LOGS.mkdir(parents=True, exist_ok=True)
    run = Run(which, more, environment, time.monotonic() + float(environment.get("ORLOP_VM_SECONDS", SECONDS)))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            codes = list(pool.map(run.session, sessions()))
        except BaseException as e:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(e, KeyboardInterrupt):  # which they had from the terminal
                run.stop()
            raise
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
