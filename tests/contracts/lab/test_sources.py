"""The real QEMU, told of every source: it takes what it is told, and what it starts for a connection ends with it.

The machines have nothing but their firmware; what a booted system makes of it is in tests/machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.lab import lab
from orlop.lab.images import LabImage
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe
from orlop.lab.source import Given, LabSource, Way
from orlop.machines import qmp
from orlop.machines.pids import find
from orlop.machines.tools import PROGRAMS
from orlop.sdk import tree
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]

CONFIG = b'{"ignition": {"version": "3.3.0"}}'


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    shared = Workspace.find()
    tree.ensure(shared, Steps())
    state = tmp_path / "state, 'of' a test"
    state.mkdir()
    (state / "sdk").symlink_to(shared.sdk)
    own = Workspace(shared.root, state)
    yield own
    for name in lab.names(own):
        lab.down(own, name)
    assert find((*PROGRAMS, "python3", "env"), [state]) == []


def up(ws: Workspace, image: LabImage, *given: Given, nodes: int = 1) -> lab.Lab:
    plan = LabPlan(image, name="a", nodes=nodes, memory_mib=256, given=given)
    return lab.up(ws, Steps(quiet=True), plan)


@pytest.mark.parametrize("way", [way for way in Way if way is not Way.ESP])
def test_a_machine_starts_with_it(ws: Workspace, image: LabImage, way: Way) -> None:
    made = up(ws, image, Given(LabSource(way), CONFIG))
    node = made.node("n1")
    assert node.running
    assert node.at.ignition.stat().st_mode & 0o777 == 0o600
    assert describe(made).nodes[0].source == way.value
    node.cut()
    node.heal()
    said = qmp.ask(node.at.qmp, "human-monitor-command", {"command-line": "info network"})
    assert ("md: index=0" in str(said)) == LabSource(way).has_service


def test_each_node_may_have_its_own(ws: Workspace, image: LabImage) -> None:
    made = up(ws, image, Given(LabSource(Way.AWS), CONFIG), Given(LabSource(Way.DISK), b"{}"), nodes=2)
    assert [node.source for node in describe(made).nodes] == ["aws", "disk"]
    assert [node.at.ignition.read_bytes() for node in made.nodes] == [CONFIG, b"{}"]
    with pytest.raises(BadInput, match="2 configurations for 3 nodes"):
        LabPlan(image, nodes=3, given=(Given(LabSource(Way.AWS), CONFIG), Given(LabSource(Way.DISK), b"{}")))


def test_what_cannot_be_given_leaves_nothing(ws: Workspace, image: LabImage) -> None:
    with pytest.raises(BadInput, match="has no ESP"):
        up(ws, image, Given(LabSource(Way.ESP), CONFIG))
    assert lab.names(ws) == []


def test_another_configuration_on_and_off(ws: Workspace, image: LabImage) -> None:
    made = up(ws, image, Given(LabSource(Way.AWS), CONFIG))
    node = made.node("n1")
    assert node.reconfigure(Given(LabSource(Way.AWS), b"2")), "what is served is served anew"
    assert not node.reconfigure(Given(LabSource(Way.GCP), b"3")), "but the firmware stays"
    node.power_cut()
    assert not node.reconfigure(Given(LabSource(Way.FW_CFG), b"4"))
    assert node.at.ignition.read_bytes() == b"4"
    node.start()
    assert describe(made).nodes[0].source == "fw_cfg"
    with pytest.raises(Missing):
        made.node("n2")
