"""Labs that outlive a test session, so that one test can be run again without a boot: `ORLOP_MACHINES_KEEP=1`.

Asked for by a person, never in CI. A kept lab is taken up again when it was made by the same plan from the same image,
all its machines still run, and each says that it is healthy and of that image's version; else it goes and a new one is
made. What tests left on such a machine is still there: a result that matters comes from a run without it.
`orlop lab down --all` ends what is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orlop.errors import Missing, OrlopError
from orlop.lab import lab
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.paths import LabPaths
from orlop.lab.plan import LabPlan
from orlop.steps import Steps
from orlop.workspace import Workspace

ASK_SECONDS = 60.0
said: list[str] = []  # for the end of the session, where a person reads it


@dataclass(frozen=True)
class Made:
    """`consoles`: of each machine that was taken up, how much its console held then."""

    lab: Lab
    consoles: Mapping[str, int] = field(default_factory=dict)


def keeping() -> bool:
    """Whether labs are kept."""
    return bool(os.environ.get("ORLOP_MACHINES_KEEP")) and not os.environ.get("CI")


@contextmanager
def made(ws: Workspace, plan: LabPlan, *, timeout: float) -> Iterator[Made]:
    """The lab of the plan, up and healthy: a new one, or the one that was kept."""
    if keeping() and (kept := _kept(ws, plan)):
        said.append(f"lab {plan.name} was taken up as it had been left, and stays")
        yield Made(kept, {node.name: node.console_size() for node in kept.nodes})
        return
    with suppress(Missing):  # left by a session that was killed, or of another plan
        lab.down(ws, plan.name)
    if not keeping():
        with lab.running(ws, Steps(), plan, timeout=timeout) as there:
            yield Made(there)
        return
    there = lab.bring_up(ws, Steps(), plan, timeout=timeout)
    _mark(ws, plan.name).write_text(key(plan))
    said.append(f"lab {plan.name} is new, and stays")
    yield Made(there)


def key(plan: LabPlan) -> str:
    """Two plans with the same key make the same machines."""
    # an image that was built again has the same path
    raw = plan.image.raw.stat()
    return hashlib.sha256(f"{plan!r} {raw.st_ino} {raw.st_mtime_ns} {raw.st_size}".encode()).hexdigest()


def _mark(ws: Workspace, name: str) -> Path:
    return LabPaths(ws, name).folder / "kept-for-tests"  # in the lab's folder, so that it goes with the lab


def _kept(ws: Workspace, plan: LabPlan) -> Lab | None:
    try:
        if _mark(ws, plan.name).read_text() != key(plan):
            return None
        there = Lab(LabPaths(ws, plan.name))
        return there if all(_is_well(node, plan.image.version) for node in there.nodes) else None
    except (OSError, OrlopError, ValueError, KeyError):
        return None


def _is_well(node: Node, version: str) -> bool:
    if not node.running:
        return False
    verdict: dict[str, object] = json.loads(node.run("cat", "/run/orlop/health.json", timeout=ASK_SECONDS).out)
    return verdict["verdict"] == "good" and verdict["version"] == version
