"""The real QEMU, told of every source: it takes what it is told, and what it starts for a connection ends with it.

The machines have nothing but their firmware; what a booted system makes of it is in tests/vm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.lab import lab, qmp
from orlop.lab.images import Image
from orlop.lab.lab import Plan
from orlop.lab.paths import PROGRAMS
from orlop.lab.pids import find
from orlop.lab.report import describe
from orlop.lab.source import Given, Source, Way
from orlop.processes import run
from orlop.sdk import tree
from orlop.sdk.run import in_sdk
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


@pytest.fixture
def image(ws: Workspace, tmp_path: Path) -> Image:
    raw = tmp_path / "orlop_20260101.1.raw"
    raw.touch()
    os.truncate(raw, 64 << 20)
    table = in_sdk(ws, ["sfdisk", "-q", raw], binds=[tmp_path])
    run(table, what="making a disk with an empty partition table", stdin=b"label: gpt\n", timeout=30)
    return Image(raw, "20260101.1")


def up(ws: Workspace, image: Image, *given: Given, nodes: int = 1) -> lab.Lab:
    plan = Plan(image, name="a", nodes=nodes, memory_mib=256, given=given)
    return lab.up(ws, Steps(quiet=True), plan)


@pytest.mark.parametrize("way", [way for way in Way if way is not Way.ESP])
def test_a_machine_starts_with_it(ws: Workspace, image: Image, way: Way) -> None:
    made = up(ws, image, Given(Source(way), CONFIG))
    node = made.node("n1")
    assert node.running
    assert node.at.ignition.stat().st_mode & 0o777 == 0o600
    assert describe(made).nodes[0].source == way.value
    node.cut()
    node.heal()
    said = qmp.ask(node.at.qmp, "human-monitor-command", {"command-line": "info network"})
    assert ("md: index=0" in str(said)) == Source(way).has_service


def test_each_node_may_have_its_own(ws: Workspace, image: Image) -> None:
    made = up(ws, image, Given(Source(Way.AWS), CONFIG), Given(Source(Way.DISK), b"{}"), nodes=2)
    assert [node.source for node in describe(made).nodes] == ["aws", "disk"]
    assert [node.at.ignition.read_bytes() for node in made.nodes] == [CONFIG, b"{}"]
    with pytest.raises(BadInput, match="2 configurations for 3 nodes"):
        Plan(image, nodes=3, given=(Given(Source(Way.AWS), CONFIG), Given(Source(Way.DISK), b"{}")))


def test_what_cannot_be_given_leaves_nothing(ws: Workspace, image: Image) -> None:
    with pytest.raises(BadInput, match="has no ESP"):
        up(ws, image, Given(Source(Way.ESP), CONFIG))
    assert lab.names(ws) == []


def test_another_configuration_on_and_off(ws: Workspace, image: Image) -> None:
    made = up(ws, image, Given(Source(Way.AWS), CONFIG))
    node = made.node("n1")
    assert node.reconfigure(Given(Source(Way.AWS), b"2")), "what is served is served anew"
    assert not node.reconfigure(Given(Source(Way.GCP), b"3")), "but the firmware stays"
    node.power_cut()
    assert not node.reconfigure(Given(Source(Way.FW_CFG), b"4"))
    assert node.at.ignition.read_bytes() == b"4"
    node.start()
    assert describe(made).nodes[0].source == "fw_cfg"
    with pytest.raises(Missing):
        made.node("n2")
