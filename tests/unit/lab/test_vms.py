"""A whole machine of a lab, from the lab's record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orlop.lab import vms
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource
from orlop.lab.state import LabState, NodeState
from orlop.machines.accel import Acceleration
from orlop.machines.definition import definition
from orlop.machines.ports import Forward
from orlop.machines.qemu import WholeMachine, command
from orlop.workspace import Workspace
from tests.unit.machines.tooling import TOOLS

NODE = NodeState("n1", 1, 22000, (Forward(8080, 80),), 1, 1024)


def machine(
    node: NodeState = NODE, *, state: Path = Path("/s"), lab: str = "a", born: str = "", source: LabSource | None = None
) -> WholeMachine:
    paths = LabPaths(Workspace(Path("/r"), state), lab)
    record = LabState(lab, "/i", "", 1, Acceleration("tcg", ""), "", (node,), born=born)
    return vms.described(paths, record, replace(node, source=source))


def test_a_machine_has_a_card_that_leads_out_and_one_on_the_private_network() -> None:
    text = " ".join(command(machine(), TOOLS))
    assert "hostfwd=tcp:127.0.0.1:22000-:22,hostfwd=tcp:127.0.0.1:8080-:80" in text
    assert "-netdev vde,id=nic1net,sock=/tmp/orlop-" in text
    assert "-fw_cfg name=opt/io.systemd.credentials/tmpfiles.extra,file=/s/lab/a/n1/tmpfiles.extra" in text
    assert "orlop-media" not in text


def test_further_disks_are_empty_ones_and_the_demo_s() -> None:
    text = " ".join(command(machine(replace(NODE, media=True, data_disks=2)), TOOLS))
    assert (
        "file=/s/lab/a/media.erofs,format=raw,readonly=on -device virtio-blk-pci,drive=media,serial=orlop-media" in text
    )
    assert [f"data{n}.qcow2" in text for n in (1, 2, 3)] == [True, True, False]


def test_addresses_and_the_uuid_stay_those_of_the_lab_it_was_made_in() -> None:
    here, there = machine(), machine(lab="b", born="/s/lab/a")
    macs = [nic.mac for nic in here.nics]
    assert (here.uuid, macs) == (there.uuid, [nic.mac for nic in there.nics])
    assert definition(here, TOOLS) == definition(there, TOOLS)
    other = machine(lab="b")
    assert other.uuid != here.uuid
    assert not set(macs) & {nic.mac for nic in other.nics}
