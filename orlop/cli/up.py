"""`orlop up` and `orlop down`: from a clone to a container that answers, in one command.

Doing it again is safe: what runs and answers is left alone, what is off is started, what is broken is made anew.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from orlop.built import find, read_manifest
from orlop.cli.session import steps, workspace
from orlop.errors import BadInput, Busy, Missing, OrlopError
from orlop.image import build, keys
from orlop.lab import demo, images, lab
from orlop.lab.lab import Lab
from orlop.lab.paths import DEFAULT_LAB
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdict
from orlop.machines import ports
from orlop.steps import Steps
from orlop.workspace import Workspace

NODE = "n1"
ANSWER_SECONDS = 180.0
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the boot's verdict.", min=1)]


def up(ctx: typer.Context, timeout: Timeout = 600) -> None:
    """Make everything, boot one machine and fetch a page from a container on it."""
    ws, log = workspace(), steps(ctx)
    there = _existing(ws, log)
    if there is None:
        there = _make(ws, log, timeout)
    elif not there.node(NODE).running:
        with log.step(f"Starting {NODE} again, from the disk it left"):
            there.node(NODE).start()
            wait_verdict(there.node(NODE), log, timeout=timeout)
    else:
        log.note(f"lab {there.name} runs already, image {there.state().version}")
        _say_if_stale(ws, log, there)
    port = there.node(NODE).port(demo.PORT)
    with log.step("Asking the container"):
        page = demo.fetch(port, timeout=ANSWER_SECONDS)
    print(f"http://{ports.LOOPBACK}:{port}/  {demo.sentence(page)}")
    orlop = _called(ws)
    for words, does in (
        (f"lab exec {NODE}", "a shell on it"),
        ("lab status", "what runs, and how to reach it"),
        ("down", "stop it and remove it"),
    ):
        log.note(f"  {f'{orlop} {words}':<24} # {does}")


def _called(ws: Workspace) -> str:
    """How this very command is called from the folder we are in, so that the line can be pasted."""
    wrapper = ws.root / "bin" / "orlop"
    there = shutil.which("orlop")
    if there and Path(there).resolve() in (wrapper, (ws.state / "venv/bin/orlop").resolve()):
        return "orlop"
    return shlex.quote(os.path.relpath(wrapper))


def down(ctx: typer.Context) -> None:
    """Stop what `orlop up` started and remove it."""
    ws, log = workspace(), steps(ctx)
    try:
        lab.down(ws, DEFAULT_LAB)
        log.note("stopped and removed")
    except Missing:
        log.note("nothing runs")


def _existing(ws: Workspace, log: Steps) -> Lab | None:
    """The lab to go on with. A broken one is removed first; one that somebody made for another purpose raises Busy."""
    try:
        there = lab.open_lab(ws, DEFAULT_LAB)
    except Missing:
        return None
    except BadInput as e:
        log.note(f"{e.message}; making it anew")
        lab.down(ws, DEFAULT_LAB)
        return None
    if there.state().demo:
        return there
    raise Busy(
        f"there is a lab {DEFAULT_LAB!r} without the demo",
        hint="`orlop lab down` removes it; `orlop lab up --name NAME` makes one that `orlop up` does not mind",
    )


def _make(ws: Workspace, log: Steps, timeout: float) -> Lab:
    folder = build.build(ws, log)
    wished = ports.Forward(demo.PORT if lab.can_have(ws, demo.PORT) else 0, demo.PORT)
    plan = LabPlan(image=images.resolve(ws, str(folder)), demo=True, publish=(wished,))
    return lab.bring_up(ws, log, plan, timeout=timeout)


def _say_if_stale(ws: Workspace, log: Steps, there: Lab) -> None:
    try:
        runs = read_manifest(find(ws, there.state().version)).inputs
    except OrlopError:  # the image it was made from is gone, or never was one of ours
        return
    if runs != build.input_key(ws, keys.find(ws)):
        log.note("the sources have changed since it was built; `make down`, then `make up` boots what they are now")
