#!/usr/bin/env python3
"""Run machine tests, several sessions at the same time: `make machines` and `make long`.

The first argument says which, as pytest's -m does; the others go to every pytest. T of the environment names files,
folders or single tests instead of all, K is pytest's -k.

A session is a file of tests/machines, or a folder of it, whose tests share machines. The image is built first, for all.
As many run at once as there are processors: emulated machines use as many as they get, so more would only
make each boot slower. Those that took longest when it was recorded (tests/machines/durations.json, by RECORD=1) begin
first, so that none is left alone at the end; one that was never recorded counts as one in the middle.

What a session says is in .orlop/logs/machine-tests; of one that fails it is shown. When few tests failed, they are run
once more at the end, with nothing beside them, and what passes then is named as unsteady (scripts/again.py has the
rules). Last comes what took how long, slowest first. However slow the machines are this ends: ORLOP_MACHINES_SECONDS is
what all sessions may take together. The exit status is 0 when none failed, and 5 when no test was chosen.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import again

STATE = Path(os.environ.get("ORLOP_STATE", ".orlop"))
BIN = STATE / "venv/bin"
TESTS = Path("tests/machines")
LOGS = STATE / "logs/machine-tests"
DURATIONS = TESTS / "durations.json"  # which → session → seconds
SECONDS = "4200"
NOTHING_CHOSEN = 5  # pytest's status when its options leave no test
SLOWEST = 10
TOOK = re.compile(r"^ *([0-9.]+)s (?:setup|call|teardown) +(\S.*)$", re.MULTILINE)  # a line of pytest's --durations


@dataclass(frozen=True)
class Session:
    """How one ended. `tests`: seconds by test, of those that pytest names: with what it made for them. `retry`: tests
    that failed and may be run once more.
    """

    name: str
    code: int
    seconds: float
    tests: Mapping[str, float] = field(default_factory=dict)
    retry: Sequence[str] = ()


@dataclass
class Run:
    """All sessions. `ends` on the monotonic clock; `environment` is every session's."""

    which: str
    more: Sequence[str]
    environment: dict[str, str]
    ends: float
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def session(self, tests: Path) -> Session:
        """Run one session and say how it ended."""
        return self.pytest(name_of(tests), str(tests))

    def once_more(self, failed: Session) -> Session:
        """The session with its failed tests run again, as one that passed if they all do."""
        second = self.pytest(f"{failed.name}-again", *failed.retry)
        return replace(failed, code=second.code, seconds=failed.seconds + second.seconds)

    def pytest(self, name: str, *tests: str) -> Session:
        log = LOGS / f"{name}.log"
        left = max(0.0, self.ends - time.monotonic())
        options = ["--durations=0", "--durations-min=5", "-m", self.which]
        argv: list[str | Path] = [BIN / "pytest", *options, *tests, *self.more]
        print(f"‣ {name}", flush=True)
        began = time.monotonic()
        with log.open("wb") as out:
            child = subprocess.Popen(
                argv,
                env=self.environment | {"ORLOP_MACHINES_SECONDS": str(int(left))},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            self.children.append(child)
            code = child.wait()
        seconds = time.monotonic() - began
        said = log.read_text(errors="replace")
        if code not in (0, NOTHING_CHOSEN):
            print(said, flush=True)
        last = (said.strip().splitlines() or [""])[-1].strip("= ")
        print(f"{'✓' if code in (0, NOTHING_CHOSEN) else '✗'} {name}: {seconds:.0f} s, {last}", flush=True)
        return Session(name, code, seconds, tests_of(said), again.worth_it(code, said))

    def stop(self) -> None:
        """Let each session take its machines down."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)


def name_of(tests: Path) -> str:
    """What a session is called: its file or folder; a single test also by its own name."""
    return "-".join([Path(str(tests).partition("::")[0]).stem, *str(tests).split("::")[1:]]).replace("/", "_")


def tests_of(said: str) -> dict[str, float]:
    """Seconds by test, as pytest's output has them."""
    found: dict[str, float] = {}
    for seconds, test in TOOK.findall(said):
        found[test] = found.get(test, 0.0) + float(seconds)
    return found


def sessions() -> list[Path]:
    """What T names, else every file with tests and every folder of such files."""
    if chosen := os.environ.get("T"):
        return [Path(name) for name in chosen.split()]
    return [*TESTS.glob("test_*.py"), *{file.parent for file in TESTS.glob("*/test_*.py")}]


def longest_first(names: Iterable[str], recorded: Mapping[str, float]) -> list[str]:
    """In the order in which they begin; those that nobody recorded are like the one in the middle."""
    middle = statistics.median(recorded.values()) if recorded else 0.0
    return sorted(names, key=lambda name: (-recorded.get(name, middle), name))


def second_tries(run: Run, done: Sequence[Session]) -> tuple[list[Session], list[str]]:
    """The sessions, after the few tests that failed ran once more, one session after the other; and the tests that then
    passed. All failures of all sessions count together as few or many.
    """
    failed = [session for session in done if session.code not in (0, NOTHING_CHOSEN)]
    tests = [test for session in failed for test in session.retry]
    if not all(session.retry for session in failed) or len(tests) > again.AT_MOST:
        return list(done), []
    tried = {session.name: run.once_more(session) for session in failed}
    passed = [test for session in failed if tried[session.name].code == 0 for test in session.retry]
    return [tried.get(session.name, session) for session in done], passed


def record(file: Path, which: str, done: Iterable[Session]) -> None:
    """Keep how long the sessions took that ran and succeeded; what is known of others stays."""
    known = json.loads(file.read_text()) if file.exists() else {}
    known.setdefault(which, {}).update({session.name: round(session.seconds) for session in done if session.code == 0})
    file.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def show(done: Sequence[Session]) -> None:
    """What took how long, slowest first."""
    whole = sum(session.seconds for session in done) or 1.0
    print("── sessions, slowest first")
    for session in sorted(done, key=lambda session: -session.seconds):
        print(f"{session.seconds:7.0f} s {session.seconds / whole:4.0%}  {session.name}")
    tests = [(seconds, test) for session in done for test, seconds in session.tests.items()]
    if tests:
        print(f"── the {min(SLOWEST, len(tests))} slowest tests, with what was made for them")
        for seconds, test in sorted(tests, reverse=True)[:SLOWEST]:
            print(f"{seconds:7.0f} s  {test}")


def main(which: str, *more: str) -> int:
    environment = dict(os.environ)
    if "ORLOP_TEST_IMAGE" not in environment:
        built = subprocess.run([BIN / "orlop", "image", "build"], stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            return built.returncode
        environment["ORLOP_TEST_IMAGE"] = built.stdout.strip()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    LOGS.mkdir(parents=True, exist_ok=True)
    if keyword := environment.get("K"):
        more = (*more, "-k", keyword)
    chosen = {name_of(path): path for path in sessions()}
    recorded = json.loads(DURATIONS.read_text()).get(which, {}) if DURATIONS.exists() else {}
    run = Run(which, more, environment, time.monotonic() + float(environment.get("ORLOP_MACHINES_SECONDS", SECONDS)))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            done = list(pool.map(run.session, (chosen[name] for name in longest_first(chosen, recorded))))
            done, unsteady = second_tries(run, done)
        except BaseException as e:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(e, KeyboardInterrupt):  # which they had from the terminal
                run.stop()
            raise
    show([session for session in done if session.code != NOTHING_CHOSEN])
    if unsteady:
        print(again.unsteady(unsteady))
    if environment.get("RECORD") and not (environment.get("T") or environment.get("K")):
        record(DURATIONS, which, done)
    codes = {session.code for session in done}
    if codes == {NOTHING_CHOSEN}:
        print("no test was chosen: look at T and K", file=sys.stderr)
        return NOTHING_CHOSEN
    return 1 if codes - {0, NOTHING_CHOSEN} else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
