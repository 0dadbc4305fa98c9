#!/usr/bin/env python3
"""Change the code of a room in one small place at a time, and see whether its unit tests notice: `make mutation`.

    mutation.py [ROOM…] [--sample N] [--seed S] [--minutes M]

mutmut (its own environment, from requirements/mutation.lock) makes the changes, called mutants, in a copy of the tree,
and asks of each only the tests that reach the function it is in. A room has thousands, so a sample is drawn, the same
one for the same seed; `--sample 0` asks all. The score is the share that some test noticed; what no test reaches counts
as not noticed. The exit status is 1 for a room below what it must have.

Lifetime: a copy is made anew for each room and run, in .orlop/cache/mutation/ROOM, and stays to be looked at; what was
not noticed, and how it differs, is in .orlop/logs/mutation/ROOM.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATE = Path(os.environ.get("ORLOP_STATE", ROOT / ".orlop")).absolute()
LOCK = ROOT / "requirements/mutation.lock"
CONFTEST = ROOT / "scripts/mutation-conftest.py"
COPIED = ("orlop", "simulators", "tests", "pyproject.toml")
# what tests read, and mutmut has no business with
LINKED = ("docs", "os", "proofs", "scripts", "requirements", "Makefile")
# mutmut's statuses by exit code of a mutant's tests, as far as they count; a time-out is noticed by whoever waits
NOTICED, SURVIVED = {1, 3, 24, 36, 152, 255, -24}, {0, 5, 33}
# starts Python without the packages of its environment, of which mutmut's own is one that a changed function needs
DESELECTED = "tests/unit/node/config/test_bootdisk.py::test_the_program_for_it_imports_little"
CONFIG = """
[tool.mutmut]
source_paths = ["orlop"]
only_mutate = ["orlop/{room}/*"]
also_copy = ["simulators"]
pytest_add_cli_args = ["-m", "not long", "--deselect", "{deselected}"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
track_dependencies = false
"""


@dataclass(frozen=True)
class Room:
    """`tests`: those that belong to it; `least`: the score it must have, in per cent."""

    tests: tuple[str, ...]
    least: int = 0


ROOMS = {
    "model": Room(
        ("tests/unit/model", "tests/unit/node/config/test_bootdisk.py", "tests/unit/node/config/test_devices.py"),
        least=85,
    ),
    "trust": Room(("tests/unit/trust",)),
    "provision": Room(("tests/unit/provision",)),
}


def environment() -> Path:
    """The folder of the programs of mutmut's environment, made when it is missing."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = STATE / "venvs" / f"mutation-{key}"
    if not (home / "whole").exists():
        print("making the Python environment (mutation)", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [str(home / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)], check=True)
        (home / "whole").touch()
    return home / "bin"


def copy_of_tree(name: str) -> Path:
    """A folder with what the room's tests need, and mutmut's settings for it."""
    folder = STATE / "cache/mutation" / name
    shutil.rmtree(folder, ignore_errors=True)
    mutants = folder / "mutants"
    mutants.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *COPIED],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for file in filter(None, listed.stdout.split("\0")):
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    with (folder / "pyproject.toml").open("a") as config:
        config.write(CONFIG.format(room=name, tests=json.dumps(ROOMS[name].tests), deselected=DESELECTED))
    for file in LINKED:
        (mutants / file).symlink_to(ROOT / file)
    shutil.copy(CONFTEST, mutants / "conftest.py")
    return folder


def results(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Every mutant by its name, and the exit code of its tests; None for one that was not asked."""
    for path in sorted((folder / "mutants").rglob("*.meta")):
        yield from json.loads(path.read_text())["exit_code_by_key"].items()


def try_room(name: str, *, sample: int, seed: int, minutes: float) -> bool:
    """Whether its score is what it must be."""
    program, folder = environment() / "mutmut", copy_of_tree(name)
    log = STATE / "logs/mutation" / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        # mutmut names its mutants, and learns which tests reach them, before it sees that none is called "nothing"
        subprocess.run([program, "run", "nothing"], cwd=folder, check=False, stdout=out, stderr=out)
    mutants = [mutant for mutant, _ in results(folder)]
    if not (folder / "mutants/mutmut-stats.json").exists():
        print(f"{name}: its tests do not pass in the copy: see {log}", file=sys.stderr)
        return False
    drawn = random.Random(seed).sample(mutants, min(sample, len(mutants)))  # noqa: S311 - the same for the same seed
    chosen = sorted(drawn if sample else mutants)
    print(f"{name}: {len(chosen)} of {len(mutants)} mutants (seed {seed})", flush=True)
    run = [str(program), "run", "--max-children", str(len(os.sched_getaffinity(0))), *chosen]
    try:
        subprocess.run(
            run, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=minutes * 60
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {minutes:g} minutes; mutants whose tests take long come last, and were not asked")
    return report(name, folder, program, log, set(chosen))


def report(name: str, folder: Path, program: Path, log: Path, chosen: set[str]) -> bool:
    codes = {mutant: code for mutant, code in results(folder) if mutant in chosen}
    survived = sorted(mutant for mutant, code in codes.items() if code in SURVIVED)
    noticed = sum(code in NOTICED for code in codes.values())
    asked = noticed + len(survived)
    others = Counter(code for code in codes.values() if code not in NOTICED | SURVIVED)
    with log.open("w") as out:
        for mutant in survived:
            shown = subprocess.run([program, "show", mutant], cwd=folder, check=False, capture_output=True, text=True)
            out.write(f"{mutant}{' (no test reaches it)' if codes[mutant] != 0 else ''}\n{shown.stdout}\n")
    score = 100 * noticed / asked if asked else 0.0
    least = ROOMS[name].least
    print(f"{name}: {noticed} of {asked} noticed, {score:.1f} %" + (f" (at least {least} %)" if least else ""))
    if others:
        print(f"{name}: not asked or without an answer: {dict(others)}")
    print(f"{name}: what was not noticed is in {log}", flush=True)
    return score >= least and asked > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all unless given")
    parser.add_argument("--sample", type=int, default=300, help="mutants of a room; 0: all")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--minutes", type=float, default=60, help="how long a room may take")
    args = parser.parse_args()
    if unknown := set(args.rooms) - set(ROOMS):
        parser.error(f"no room of this name: {', '.join(sorted(unknown))}")
    rooms = args.rooms or ROOMS
    passed = [try_room(room, sample=args.sample, seed=args.seed, minutes=args.minutes) for room in rooms]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
