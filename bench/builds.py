"""How long it takes to have the system: from nothing, and again after a change to its configuration.

Both work in a state folder of their own, `.orlop/bench/state`, so neither the SDK nor the images that are in use are
touched, and "from nothing" is true of everything but the host's packages and its package manager's caches.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from orlop.built import remove
from orlop.files import need_space, remove_tree, write_atomic
from orlop.image.build import build
from orlop.model.words.version import Version
from orlop.processes import run
from orlop.steps import Steps
from orlop.workspace import Workspace

COLD_SECONDS = 2400  # after this it is no measurement but a hang
NEEDED_BYTES = 8_000_000_000
CHANGED = "mkosi.extra/usr/lib/sysctl.d/90-bench.conf"


def state(ws: Workspace) -> Path:
    return ws.state / "bench" / "state"


def cold_up(ws: Workspace, steps: Steps) -> float:
    """Seconds of `make up` with an empty state folder: environment, SDK, image, a machine, its container answering."""
    place = state(ws)
    log = ws.state / "logs" / "bench-up.log"
    make = ["make", "--no-print-directory", "-C", str(ws.root)]
    env = {"ORLOP_STATE": str(place), "MAKEFLAGS": ""}
    need_space(ws.state, NEEDED_BYTES, "building from nothing")
    if place.exists():
        _down(ws)
        remove_tree(place)
    with steps.step("make up, from nothing"):
        start = time.monotonic()
        try:
            run([*make, "up"], what="make up", log=log, env=env, timeout=COLD_SECONDS)
            return time.monotonic() - start
        finally:
            _down(ws)


def _down(ws: Workspace) -> None:
    """Stop and remove the lab of the bench's own state folder, whatever state it is in."""
    if (state(ws) / "venv").exists():
        env = {"ORLOP_STATE": str(state(ws)), "MAKEFLAGS": ""}
        run(["make", "--no-print-directory", "-C", ws.root, "down"], what="make down", env=env, timeout=300)


def warm_build(ws: Workspace, steps: Steps) -> float:
    """Seconds of `orlop image build` after one file of the system's configuration changed."""
    own = Workspace(ws.state / "bench" / "tree", state(ws))
    remove_tree(own.root)
    shutil.copytree(ws.os_tree, own.os_tree, symlinks=True)
    with steps.step("The image before the change"):
        build(own, steps)
    write_atomic(own.os_tree / CHANGED, f"# {time.time_ns()}\nkernel.printk_devkmsg=on\n")
    start = time.monotonic()
    with steps.step("The image after a change to its configuration"):
        made = build(own, steps)
    took = time.monotonic() - start
    remove(own, Version.parse(made.name))
    return took
