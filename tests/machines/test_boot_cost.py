"""A boot costs no more than it did: its guest instructions until the demo answers, first boot and later one.

The figures are kept in boot-cost.json. They are the same on any computer, however busy (orlop/lab/counted), so what
makes them grow is in the image. Another kernel or systemd of the archive is such a thing too.
"""

from __future__ import annotations

from pathlib import Path

from orlop.lab import images
from orlop.lab.counted.boot import first_and_later
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines import boot_cost

LAB = "vmcost"


def test_a_boot_costs_no_more_than_it_did(ws: Workspace, image: Path) -> None:
    first, later = first_and_later(ws, Steps(), images.resolve(ws, str(image)), LAB, is_judged=True)
    costs = {"first": first, "later": later}
    if boot_cost.is_recording():
        boot_cost.record(costs)
    trouble = boot_cost.trouble(costs)
    assert not trouble, trouble
