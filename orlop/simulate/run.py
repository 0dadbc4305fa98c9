"""Run the real Ignition on a scratch root and read what it made.

Two runs in the sandbox: one reads the config and all it merges, one writes files, users and units. Between them it is
decided what is left out (`plan`). What is wrong with the config ends in the report, never in an exception.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import CommandFailed
from orlop.image.unpacked import Base, unpacked
from orlop.model.words.sizes import CONFIG_BYTES, CONTENTS_BYTES
from orlop.node.config import eachboot, kargs
from orlop.node.config.failure import StageFailed
from orlop.node.config.manager import answering
from orlop.node.config.rendering import Rendering
from orlop.processes import run
from orlop.provision.report import Report
from orlop.provision.source import ROOT
from orlop.provision.tree import Obj
from orlop.sdk.tree import ensure
from orlop.simulate import trouble
from orlop.simulate.doubts import Doubt, doubts, of_disks
from orlop.simulate.machine import ProgramOutput, SimulatedMachine, with_dropins, with_sources
from orlop.simulate.plan import ForeseenFetch, SimulationPlan, alone, contents, plan
from orlop.simulate.sandbox import Sandbox
from orlop.simulate.snapshot import RootEntry, read, read_system
from orlop.steps import Steps
from orlop.workspace import Workspace

SECONDS = 60.0
FETCH_SECONDS = 600.0
STAGES = ("fetch-offline", "fetch", "files", "units", "sysusers", "tmpfiles")
# how systemd-sysusers and systemd-tmpfiles may end on a machine too: EX_CANTCREAT, a line that could not be applied
_ENDS = {"sysusers": ("73",), "tmpfiles": ("73",)}
LARGE = "put what is large on a server, and give its `source` with a `verification.hash`: it is fetched once"
UNPRIVILEGED = (
    "unprivileged use needs user namespaces and entries in /etc/subuid and /etc/subgid (package uidmap); or run as root"
)


@dataclass(frozen=True)
class Config:
    """`ignition`: the JSON text; `root`: the config it was translated from, if it was."""

    name: str
    ignition: str
    root: Obj | None = None


@dataclass(frozen=True)
class Simulation:
    """`machine` is None when the report has errors; `log` is what the stages printed; the `doubts` are in the report as
    warnings.
    """

    machine: SimulatedMachine | None
    report: Report
    log: str
    doubts: tuple[Doubt, ...] = ()


def prepare(ws: Workspace, steps: Steps, image: str | None) -> Base:
    """What every simulation starts from, made if it is missing. Raises Missing, Busy, BadInput, CommandFailed."""
    ensure(ws, steps)
    return unpacked(ws, steps, image)


def simulate(ws: Workspace, base: Base, config: Config, *, fetch: bool = False) -> Simulation:
    """What the config makes of the image. `fetch`: get what is elsewhere, from here. Raises TimedOut, CommandFailed."""
    report = Report()
    if len(config.ignition) > CONFIG_BYTES:
        report.error(ROOT, f"the config has more than the {CONFIG_BYTES // 1_000_000} MB that a machine takes", LARGE)
        return Simulation(None, report, "")
    with tempfile.TemporaryDirectory(prefix="orlop-simulate-") as name:
        work = Path(name)
        (work / "systemd").mkdir()
        box = Sandbox(ws.sdk, base.usr, work, network=fetch)
        made = _merged(box, config, report, fetch=fetch)
        if made is not None:
            (work / "cache.json").write_text(json.dumps(made.config.raw))
            with answering(work / "systemd" / "private", base.systemd):
                _inside(box, "files")
            if _judge(work, "files", config, report):
                all(_judge(work, stage, config, report) for stage in STAGES[3:])
        log = "".join(_said(work, f"{stage}.log") for stage in (*STAGES, "quadlet", "verify"))
        if made is None or report.errors:
            return Simulation(None, report, log)
        machine = _machine(work, base, config, made)
        return _weighed(machine, base, config, report, log)


def _machine(work: Path, base: Base, config: Config, made: SimulationPlan) -> SimulatedMachine:
    """What the run left in its folder, as values."""
    said = ProgramOutput(
        _said(work, "units.log"),
        _said(work, "verify.log"),
        _said(work, "quadlet.log"),
        frozenset(_said(work, "absent").split()),
    )
    root = with_dropins(with_sources(read(work / "after.tar"), made))
    generated, system = read(work / "generated.tar"), read_system(base.usr)
    return SimulatedMachine(config.name, base.version, read(work / "before.tar"), root, made, generated, system, said)


def _weighed(machine: SimulatedMachine, base: Base, config: Config, report: Report, log: str) -> Simulation:
    """With what a machine would refuse, or take and not do."""
    if (size := fetched_bytes(machine.plan.config, machine.root)) > CONTENTS_BYTES:
        limit = CONTENTS_BYTES // 1_000_000
        report.error(ROOT, f"the contents from elsewhere are {size} bytes; a machine takes {limit} MB at most")
        return Simulation(None, report, log)
    found = [*doubts(machine), *(of_disks(machine) if config.root is None else ())]
    if why := kargs.judge(base.arguments, machine.plan.kernel_add, machine.plan.kernel_remove):
        hint = "the command line is sealed in the image: unless firmware adds to it, the boot fails"
        found.append(Doubt((("kernel_arguments", ""),), why, hint))
    for doubt in found:
        trouble.doubt(doubt.about, doubt.text, doubt.hint, config.root, report)
    return Simulation(machine, report, log, tuple(found))


def fetched_bytes(config: Rendering, root: Mapping[str, RootEntry]) -> int:
    """The bytes of what files take from elsewhere, as a machine counts them: without what the config itself adds."""
    total = 0
    for file in config.storage.files:
        if file.path in root and any(resource.is_remote for resource in file.resources):
            total += root[file.path].size - sum(len(contents(resource.raw) or b"") for resource in file.resources)
    return total


def _merged(box: Sandbox, config: Config, report: Report, *, fetch: bool) -> SimulationPlan | None:
    """The config as the stages after `fetch` have it; None, and errors, if it cannot be had."""
    given = _object(config.ignition)
    away: list[ForeseenFetch] = []
    if not fetch and given is not None:
        given, away = alone(given)
    # without anything taken out, the user's own text: positions in it are what Ignition says
    (box.work / "config.ign").write_bytes(json.dumps(given).encode() if away else config.ignition.encode())
    _inside(box, "fetch", *(["network"] if fetch else []))
    for stage in ("fetch-offline", "fetch"):
        if not _judge(box.work, stage, config, report):
            return None
    cache = box.work / "cache.json"
    read_back = _object(cache.read_text()) if cache.exists() else None
    if read_back is None:
        report.error(ROOT, "a part of the config is elsewhere, and Ignition needs it to go on", "try it with --fetch")
        return None
    merged = Rendering(read_back)
    try:
        keys = dict.fromkeys(eachboot.keyless(merged), "data:,")
        eachboot.for_disks(merged, eachboot.Disks(keys=keys))
    except StageFailed as e:
        trouble.refused(e.failure, config.root, report)
        return None
    return plan(merged, away, fetch=fetch)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _inside(box: Sandbox, *args: str) -> None:
    root = os.geteuid() == 0
    try:
        run(
            box.command(args, as_root=root),
            what="simulating the machine",
            timeout=FETCH_SECONDS if box.network else SECONDS,
            hint="a source that does not answer is asked until its time is up: see ignition.timeouts",
        )
    except CommandFailed as e:
        hint = "it needs the mount namespaces of the kernel" if root else UNPRIVILEGED
        raise CommandFailed(e.message, code=e.code, tail=e.tail, hint=hint) from None


def _judge(work: Path, stage: str, config: Config, report: Report) -> bool:
    """Whether the stage went well, or was not needed; if not, the report says why."""
    if _said(work, f"{stage}.rc").strip() in ("", "0", *_ENDS.get(stage, ())):
        return True
    trouble.failure(stage, _said(work, f"{stage}.log"), config.root, report)
    return False


def _said(work: Path, name: str) -> str:
    path = work / name
    return path.read_text(errors="replace") if path.exists() else ""
