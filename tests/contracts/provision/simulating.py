"""Trying a config on the image, and what came of it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from orlop.image.unpacked import Base
from orlop.provision.filesdir import FilesDir
from orlop.provision.translate import translate
from orlop.simulate.machine import SimulatedMachine
from orlop.simulate.run import Config, Simulation, simulate
from orlop.workspace import Workspace

HEAD = "variant: fcos\nversion: 1.4.0\n"


def try_config(
    ws: Workspace, base: Base, folder: Path, body: str, head: str = HEAD, *, fetch: bool = False
) -> Simulation:
    result = translate((head + textwrap.dedent(body)).encode(), FilesDir(folder))
    assert result.ignition is not None, result.report.entries
    return simulate(ws, base, Config("node.bu", result.ignition, result.root), fetch=fetch)


def whole(outcome: Simulation) -> SimulatedMachine:
    assert outcome.machine is not None, (outcome.report.entries, outcome.log)
    return outcome.machine
