"""A hard world as the real QEMU makes it, for machines that have nothing but their firmware."""

from __future__ import annotations

from typing import Any

import pytest

from orlop.errors import BadInput, Busy
from orlop.lab import lab
from orlop.lab.conditions import Conditions, Uplink
from orlop.lab.images import LabImage
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe, lines
from orlop.machines import qmp
from orlop.machines.ports import is_free
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]


def up(ws: Workspace, image: LabImage, conditions: Conditions, *data_disks_mib: int) -> Node:
    plan = LabPlan(image, name="a", memory_mib=256, data_disks_mib=data_disks_mib, conditions=conditions)
    return lab.up(ws, Steps(quiet=True), plan).node("n1")


def monitor(node: Node, line: str) -> str:
    return str(qmp.ask(node.at.qmp, "human-monitor-command", {"command-line": line}))


def disks(node: Node) -> dict[str, Any]:
    """What QEMU says of each disk that can be written to, by name."""
    found: Any = qmp.ask(node.at.qmp, "query-block")
    return {each["device"]: each["inserted"] for each in found if not each["inserted"]["ro"]}


def test_disks_are_slow_have_large_sectors_and_go(ws: Workspace, image: LabImage) -> None:
    node = up(ws, image, Conditions(is_disk_slow=True, sector=4096, is_disk_gone=True), 16, 16)
    slow = {name: (disk["iops"], disk["bps"]) for name, disk in disks(node).items() if "iops" in disk}
    assert {name: slow[name] for name in ("disk", "data1", "data2")} == dict.fromkeys(
        ("disk", "data1", "data2"), (150, 10_000_000)
    )
    tree = monitor(node, "info qtree")
    assert tree.count("logical_block_size = 4096 (4 KiB)") == 2
    node.power_cut()
    node.start()
    assert {"disk", "data2"} <= disks(node).keys()
    assert "data1" not in disks(node)
    lab.down(ws, "a")


def test_the_clock_begins_where_it_is_told(ws: Workspace, image: LabImage) -> None:
    node = up(ws, image, Conditions(clock="2035-01-01"))
    time: Any = qmp.ask(node.at.qmp, "qom-get", {"path": "/machine", "property": "rtc-time"})
    assert (time["tm_year"] + 1900, time["tm_mon"] + 1, time["tm_mday"]) == (2035, 1, 1)
    lab.down(ws, "a")


@pytest.mark.parametrize("nic", [Uplink.NO_CARRIER, Uplink.NO_DHCP])
def test_what_is_unplugged_at_first_is_plugged_in_by_heal(ws: Workspace, image: LabImage, nic: Uplink) -> None:
    node = up(ws, image, Conditions(nic))
    with pytest.raises(Busy, match="is cut off"):
        node.argv(["true"])
    assert ("nic0far" in monitor(node, "info network")) == (nic is Uplink.NO_DHCP)
    (report,) = describe(lab.open_lab(ws, "a")).nodes
    assert (report.network, report.conditions) == ("cut", (f"nic {nic}",))
    node.heal()
    assert node.argv(["true"])
    lab.down(ws, "a")


@pytest.mark.parametrize(
    ("hard", "why"),
    [(Conditions(Uplink.NONE), "no network card"), (Conditions(is_ipv6_only=True), "IPv4 alone")],
    ids=["none", "ipv6"],
)
def test_what_cannot_be_reached_says_so_and_listens_nowhere(
    ws: Workspace, image: LabImage, hard: Conditions, why: str
) -> None:
    node = up(ws, image, hard)
    with pytest.raises(BadInput, match=why):
        node.argv(["true"])
    assert is_free(node.state().ssh_port)
    assert "127.0.0.1" not in "\n".join(lines(describe(lab.open_lab(ws, "a"))))
    if not hard.has_cards:
        assert "nic0" not in monitor(node, "info network")
        with pytest.raises(BadInput, match="has no network card"):
            node.heal()
    lab.down(ws, "a")
