"""A healthy machine in a second or two: booted and saved once, restored for whoever asks for the same one.

Why: a boot takes a minute without KVM, and most machine tests are not about booting. What two have in common is what
the first boot made: host keys, the machine id. Lifetime: saved labs `vm-…` stay for the next run, as long as the image
and the lab's own code are the same; whoever makes one removes those of other images or code. Sessions that run beside
each other make one together: who comes second waits for the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from orlop.errors import Missing
from orlop.files import locked
from orlop.lab import lab
from orlop.lab.lab import Lab
from orlop.lab.plan import LabPlan
from orlop.lab.saved import store
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.keeping import Made, keeping, made

BOOT_SECONDS = 1200.0
ANSWER_SECONDS = 600.0
_PREFIX = "vm-"


@contextmanager
def restored(ws: Workspace, plan: LabPlan, *, on: Collection[str] | None = None) -> Iterator[Lab]:
    """A lab as planned, whose machines have booted well some time ago. Ports of this computer are picked anew.

    `on`: the machines that are needed, by name; the others stay off. Restoring one takes some seconds of processor.
    """
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, plan.name)
    with lab.restored(ws, Steps(), _ensure(ws, plan), name=plan.name, on=on, timeout=ANSWER_SECONDS) as there:
        yield there


@contextmanager
def settled(ws: Workspace, plan: LabPlan, *, on: Collection[str] | None = None) -> Iterator[Made]:
    """`restored`; where labs are kept for the next session, the one that was kept, or that will be: all of it runs."""
    if keeping():
        with made(ws, plan, timeout=BOOT_SECONDS) as there:
            yield there
    else:
        with restored(ws, plan, on=on) as found:
            yield Made(found)


def _ensure(ws: Workspace, plan: LabPlan) -> str:
    """The name of the saved lab, which is made when there is none."""
    made_of = _made_of(ws, plan)
    name = made_of + hashlib.sha256(repr(replace(plan, name="a")).encode()).hexdigest()[:8]
    with locked(ws.cache / f"{name}.lock", "a saved machine", wait=BOOT_SECONDS):
        if name not in store.names(ws):
            for old in store.names(ws):
                if old.startswith(_PREFIX) and not old.startswith(made_of):
                    lab.remove_saved(ws, old)
            with suppress(Missing):
                lab.down(ws, name)
            with lab.running(ws, Steps(), replace(plan, name=name), timeout=BOOT_SECONDS):
                lab.save(ws, Steps(), name, name)
    return name


def _made_of(ws: Workspace, plan: LabPlan) -> str:
    """The beginning of the name, by the image and by the code that makes machines of it."""
    h = hashlib.sha256(store.fingerprint(plan.image.raw).encode())
    for file in sorted((ws.root / "orlop" / "lab").rglob("*.py")):
        h.update(file.read_bytes())
    return f"{_PREFIX}{h.hexdigest()[:8]}-"
