"""`python -m bench.lab`: how long the lab makes one wait, each figure beside the boot of the same run.

A figure is a function of the scene, one after the other in the order of FIGURES: what one leaves (a lab that runs, a
saved lab) the next may use, and at the end everything is removed. Without a quiet computer the seconds say little,
which is why the load is printed with them; ratios hold up better.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.boot.seconds import ANSWER_SECONDS, first_answer, now
from bench.figures import Figure, FigureTarget, Row, show
from bench.scenes import measure_all
from orlop.errors import Missing, OrlopError
from orlop.lab import lab
from orlop.lab.demo import PORT
from orlop.lab.images import LabImage, resolve
from orlop.lab.layer import Tree
from orlop.lab.paths import LabPaths
from orlop.lab.plan import LabPlan
from orlop.lab.push import Push
from orlop.lab.wait import wait_verdicts
from orlop.machines import ports
from orlop.machines.container import cgroup
from orlop.machines.pids import find
from orlop.machines.ports import Forward
from orlop.machines.tools import PROGRAMS
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB, COPY, SAVED = "bench", "bench-copy", "bench"
CONTAINERS = 5
MANY = 32
# a module that a command of the machine uses, and one that the engine, which runs, has to be restarted for
VERB, ENGINE = "orlop/node/drift/diff.py", "orlop/node/update/engine.py"
VERDICT_SECONDS = 600.0


@dataclass
class Scene:
    """What the figures have in common. `values`: those found so far, by key."""

    ws: Workspace
    steps: Steps
    image: LabImage
    rounds: int
    values: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        for name in (LAB, COPY):
            with suppress(Missing):
                lab.down(self.ws, name)
        with suppress(Missing):
            lab.remove_saved(self.ws, SAVED)


def boot(scene: Scene) -> float:
    """From `up` to the first answer of a container on one machine. Leaves the lab, settled."""
    began = now()
    made = lab.up(scene.ws, scene.steps, LabPlan(scene.image, name=LAB, demo=True))
    answered = asyncio.run(_answer(made.node("n1").port(PORT)))
    wait_verdicts(made.nodes, scene.steps, timeout=VERDICT_SECONDS)
    return answered - began


def containers(scene: Scene) -> float:
    """From `up` to the last good verdict of five container machines. Leaves nothing."""
    return _container_machines(scene, CONTAINERS)


def many_containers(scene: Scene) -> float:
    return _container_machines(scene, MANY)


def containers_of_boot(scene: Scene) -> float:
    return scene.values["containers"] / scene.values["boot"]


def _container_machines(scene: Scene, number: int) -> float:
    began = now()
    made = lab.up(scene.ws, scene.steps, LabPlan(scene.image, name=COPY, nodes=number, containers=number))
    try:
        wait_verdicts(made.nodes, scene.steps, timeout=VERDICT_SECONDS)
        took = now() - began
        if number == CONTAINERS:
            scene.values["container_memory"] = _memory(made.paths) / number
    finally:
        lab.down(scene.ws, COPY)
    return took


def container_memory(scene: Scene) -> float:
    """Found while they ran."""
    return scene.values["container_memory"]


def _memory(paths: LabPaths) -> int:
    """What all processes of the lab hold, in bytes: what several share is counted in parts (Pss of smaps_rollup)."""
    pids = {process.pid for process in find(PROGRAMS, (paths.folder, paths.run))}
    for folder, _, _ in os.walk(cgroup.top() / paths.key):
        pids |= set(map(int, (Path(folder) / "cgroup.procs").read_text().split()))
    return sum(_share(pid) for pid in pids)


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def push(scene: Scene) -> float:
    """A changed line of a command, onto the machine that runs."""
    return _push(scene, VERB)


def push_engine(scene: Scene) -> float:
    """A changed line of the update engine, which is restarted."""
    return _push(scene, ENGINE)


def _push(scene: Scene, module: str) -> float:
    with tempfile.TemporaryDirectory(prefix="orlop-bench-") as folder:
        for name in ("os", "orlop"):
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(scene.ws.root / name, Path(folder, name), symlinks=True, ignore=skipped)
        with Path(folder, module).open("a") as f:
            f.write("\nBENCH = 1\n")
        began = now()
        pushed = Push(scene.ws, Tree(Path(folder))).to(lab.open_lab(scene.ws, LAB).node("n1"))
    if not pushed.is_well or not pushed.changed:
        raise OrlopError(f"pushing {module} did not change the machine: {pushed.trouble or pushed.said}")
    return now() - began


def check(scene: Scene) -> float:
    """`make check`, with what its caches hold."""
    began = now()
    done = subprocess.run(["make", "check"], cwd=scene.ws.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OrlopError("make check failed", hint=done.stdout[-2000:])
    return now() - began


def save(scene: Scene) -> float:
    """Saving that lab, of one machine. Leaves the saved lab alone."""
    began = now()
    lab.save(scene.ws, scene.steps, LAB, SAVED)
    took = now() - began
    lab.down(scene.ws, LAB)
    return took


def restore(scene: Scene) -> float:
    """From `up --saved` to the first answer of the container, while its clock is set; the median of the rounds."""
    return statistics.median(asyncio.run(_restore(scene)) for _ in range(scene.rounds))


def restore_of_boot(scene: Scene) -> float:
    return scene.values["restore"] / scene.values["boot"]


async def _restore(scene: Scene) -> float:
    wished = Forward(ports.pick((), ports.home(COPY)), PORT)
    began = now()
    made = asyncio.create_task(
        asyncio.to_thread(
            lab.restore,
            *(scene.ws, scene.steps, SAVED),
            name=COPY,
            publish=[wished],
            timeout=ANSWER_SECONDS,
        )
    )
    try:
        answered = await _answer(wished.host)
    finally:
        await made
        lab.down(scene.ws, COPY)
    return answered - began


async def _answer(port: int) -> float:
    return await asyncio.wait_for(first_answer(port), ANSWER_SECONDS)


# What is measured, in this order. A smaller value is always the better one.
FIGURES: tuple[tuple[Figure, Callable[[Scene], float]], ...] = (
    (Figure("boot", "one whole machine: up to container answering", "s"), boot),
    (Figure("push", "  a changed line of a command pushed to it", "s", FigureTarget(5)), push),
    (Figure("push_engine", "  a changed line of its engine pushed, and restarted", "s", FigureTarget(5)), push_engine),
    (Figure("save", "  saved", "s", FigureTarget(6)), save),
    (Figure("restore", "  restored, to container answering", "s", FigureTarget(3)), restore),
    (Figure("restore_of_boot", "  of it, in parts of the boot", "", FigureTarget(0.1)), restore_of_boot),
    (Figure("containers", f"{CONTAINERS} container machines: up to good verdicts", "s", FigureTarget(8)), containers),
    (Figure("containers_of_boot", "  of it, in parts of one boot", ""), containers_of_boot),
    (Figure("container_memory", "  memory of each", "bytes", FigureTarget(60e6)), container_memory),
    (Figure("many_containers", f"{MANY} container machines: up to good verdicts", "s"), many_containers),
    (Figure("check", "make check", "s", FigureTarget(75)), check),
)


def text(rows: Sequence[Row]) -> str:
    lines, width = [], max(50, *(len(row.figure.title) + 1 for row in rows))
    for row in rows:
        target = row.figure.target
        value = show(row.orlop, row.figure.unit) if row.figure.unit else f"{row.orlop:.3f}"
        limit = "" if target is None else f"≤ {show(target.limit, row.figure.unit)}"
        mark = {None: "", True: "yes", False: "NO"}[row.reached]
        lines.append(f"{row.figure.title:<{width}}{value:>10}{limit:>12}{mark:>5}".rstrip())
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.lab", description="How long the lab makes one wait.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--rounds", type=int, choices=range(1, 100), default=3, metavar="N", help="restores (default 3)"
    )
    parser.add_argument("--image", metavar="VERSION", help="measure with this image (default: the newest)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `with` is left
    ws, load = Workspace.find(), os.getloadavg()[0]
    try:
        found = measure_all(Scene(ws, Steps(), resolve(ws, args.image), args.rounds), FIGURES)
    except OrlopError as e:
        print(f"error: {e.message}" + (f"\nhint: {e.hint}" if e.hint else ""), file=sys.stderr)
        return 1
    facts: dict[str, Any] = {"cpus": os.cpu_count(), "load before": round(load, 2), "rounds": args.rounds}
    if args.json:
        print(json.dumps({"facts": facts, "figures": [asdict(row.figure) | {"value": row.orlop} for row in found]}))
    else:
        print(text(found) + "\n\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
