"""Run the real Ignition on a scratch root and read what it made.

Two runs in the sandbox: one reads the config and all it merges, one writes files, users and units. Between them it is
decided what is left out (`plan`). What is wrong with the config ends in the report, never in an exception.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import CommandFailed
from orlop.node.config import eachboot, kargs
from orlop.node.config.failure import StageFailed
from orlop.processes import run
from orlop.provision.report import Report
from orlop.provision.source import ROOT
from orlop.provision.tree import Obj
from orlop.sdk.tree import ensure
from orlop.simulate import trouble
from orlop.simulate.base import Base, unpacked
from orlop.simulate.machine import Machine, with_sources
from orlop.simulate.plan import Fetch, Plan, alone, plan
from orlop.simulate.sandbox import Sandbox
from orlop.simulate.snapshot import read
from orlop.simulate.version import answering
from orlop.steps import Steps
from orlop.workspace import Workspace

SECONDS = 60.0
FETCH_SECONDS = 600.0
UNPRIVILEGED = (
    "unprivileged use needs user namespaces and entries in /etc/subuid and /etc/subgid (package uidmap); or run as root"
)


@dataclass(frozen=True)
class Config:
    """`ignition`: the JSON text; `root`: the Butane it was translated from, if it was."""

    name: str
    ignition: str
    root: Obj | None = None


@dataclass(frozen=True)
class Outcome:
    """`machine` is None when the report has errors; `log` is what the stages printed."""

    machine: Machine | None
    report: Report
    log: str


def prepare(ws: Workspace, steps: Steps, image: str | None) -> Base:
    """What every simulation starts from, made if it is missing. Raises Missing, Busy, BadInput, CommandFailed."""
    ensure(ws, steps)
    return unpacked(ws, steps, image)


def simulate(ws: Workspace, base: Base, config: Config, *, fetch: bool = False) -> Outcome:
    """What the config makes of the image. `fetch`: get what is elsewhere, from here. Raises TimedOut, CommandFailed."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="orlop-simulate-") as name:
        work = Path(name)
        (work / "systemd").mkdir()
        box = Sandbox(ws.sdk, base.usr, work, network=fetch)
        made = _merged(box, config, report, fetch=fetch)
        if made is not None:
            (work / "cache.json").write_text(json.dumps(made.config))
            with answering(work / "systemd" / "private", base.systemd):
                _inside(box, "files")
            _judge(work, "files", config, report)
        log = "".join(_said(work, f"{stage}.log") for stage in ("fetch-offline", "fetch", "files", "preset", "finish"))
        if made is None or report.errors:
            return Outcome(None, report, log)
        factory, root = read(work / "before.tar"), with_sources(read(work / "after.tar"), made)
        notes = tuple(
            line for line in _said(work, "preset.log").splitlines() if not line.startswith(("Created", "Removed"))
        )
        machine = Machine(config.name, base.version, factory, root, made, notes, _programs(base.usr))
        why = kargs.judge(base.arguments, made.kernel_add, made.kernel_remove)
        for kind, entry, text in [*machine.doubts, *([("kernel_arguments", "", why)] if why else [])]:
            trouble.doubt(kind, entry, text, config.root, report)
        return Outcome(machine, report, log)


def _programs(usr: Path) -> frozenset[str]:
    return frozenset(f"/{folder}/{name}" for folder in ("bin", "sbin") for name in os.listdir(usr / folder))


def _merged(box: Sandbox, config: Config, report: Report, *, fetch: bool) -> Plan | None:
    """The config as the stages after `fetch` have it; None, and errors, if it cannot be had."""
    given = _object(config.ignition)
    away: list[Fetch] = []
    if not fetch and given is not None:
        given, away = alone(given)
    # without anything taken out, the user's own text: positions in it are what Ignition says
    (box.work / "config.ign").write_bytes(json.dumps(given).encode() if away else config.ignition.encode())
    _inside(box, "fetch", *(["network"] if fetch else []))
    for stage in ("fetch-offline", "fetch"):
        if not _judge(box.work, stage, config, report):
            return None
    cache = box.work / "cache.json"
    merged = _object(cache.read_text()) if cache.exists() else None
    if merged is None:
        report.error(ROOT, "a part of the config is elsewhere, and Ignition needs it to go on", "try it with --fetch")
        return None
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
    if _said(work, f"{stage}.rc").strip() in ("", "0"):
        return True
    trouble.failure(stage, _said(work, f"{stage}.log"), config.root, report)
    return False


def _said(work: Path, name: str) -> str:
    path = work / name
    return path.read_text(errors="replace") if path.exists() else ""
