"""The guide's first configuration boots, and the machine is what `orlop config simulate` said it would be.

A container machine: what makes its /etc makes that of whole ones, of which `shared/test_simulation.py` says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.machines import console
from orlop.provision.translate import translate
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.simulated import WITHOUT_LIMITS, is_as_simulated, simulated
from tests.pages import of

pytestmark = pytest.mark.machines

SECONDS = 60.0


@pytest.fixture(scope="module")
def text(ws: Workspace) -> str:
    (block,) = of(Path(__file__), ws.root / "docs/guide/config.md")
    return block.text


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path, text: str) -> Iterator[Node]:
    config = translate(text.encode()).ignition
    assert config is not None
    given = (Given(LabSource(Way.FW_CFG), config.encode()),)
    plan = LabPlan(images.resolve(ws, str(image)), name="vmguide", containers=1, given=given)
    with lab.running(ws, Steps(), plan, timeout=SECONDS) as there:
        yield there.node("n1")


def test_it_does_what_it_says(node: Node) -> None:
    assert console.failures(node.console_text()) == []
    assert node.sh("systemctl is-active ssh.socket").strip() == "active"
    assert node.sh("systemctl show --property=Result --value list-boots.service").strip() == "success"
    assert re.fullmatch(r"[0-9a-f]{32}\n", node.sh("cat /var/lib/boots/list"))
    assert node.sh("hostname").strip() == "node1"


def test_the_simulation_was_right(ws: Workspace, image: Path, text: str, node: Node) -> None:
    is_as_simulated(node, simulated(ws, image, text), WITHOUT_LIMITS)
