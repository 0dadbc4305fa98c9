"""What a hard world is made of: which words go together, and what a machine is told of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.lab.conditions import Conditions, Uplink
from orlop.lab.images import LabImage
from orlop.lab.make import allocate
from orlop.lab.paths import LabPaths
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.vms import SLOW, argv
from orlop.machines.qemu import SwitchPort, WayOut
from orlop.workspace import Workspace
from tests.unit.lab.test_vms import NODE, machine

IMAGE = LabImage(Path("/x"), "")
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("", ""),
        ("2035-01-01", "2035-01-01T00:00:00"),
        ("2001-09-09T01:46:40", "2001-09-09T01:46:40"),
        ("+3d", "2026-12-04T12:00:00"),
        ("-10m", "2026-12-01T11:50:00"),
        ("-2w", "2026-11-17T12:00:00"),
    ],
)
def test_a_clock_begins_at_a_date_or_is_off(clock: str, expected: str) -> None:
    assert Conditions(clock=clock).clock_at(NOW) == expected


@pytest.mark.parametrize(
    "clock", ["yesterday", "3d", "+3y", "1901-01-01", "2035-13-01", "2035-01-01T00:00+02:00", "+ 3d", "+999999w"]
)
def test_what_is_no_time_is_refused(clock: str) -> None:
    with pytest.raises(BadInput, match="is not a time") as caught:
        Conditions(clock=clock)
    assert "2035" in caught.value.hint


HARD: list[dict[str, Any]] = [
    {"is_ipv6_only": True},
    {"is_disk_slow": True},
    {"sector": 4096},
    {"is_disk_gone": True},
    {"clock": "2035-01-01"},
]


@pytest.mark.parametrize("hard", HARD, ids=str)
def test_what_a_container_machine_cannot_meet_is_refused_with_the_reason(hard: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"is for whole machines: (a container machine has|what leads out)"):
        Conditions(**hard).check_containers()


@pytest.mark.parametrize("nic", Uplink)
def test_networks_of_every_kind_are_for_both_kinds_of_machine(nic: Uplink) -> None:
    plan = LabPlan(IMAGE, nodes=2, containers=1, conditions=Conditions(nic))
    assert {node.cut for node in allocate(plan, set(), 22000)} == {nic in (Uplink.NO_CARRIER, Uplink.NO_DHCP)}


def test_what_is_about_further_disks_needs_one() -> None:
    for hard in ({"sector": 4096}, {"is_disk_gone": True}):
        with pytest.raises(BadInput, match="needs a further disk"):
            LabPlan(IMAGE, conditions=Conditions(**hard))
        LabPlan(IMAGE, conditions=Conditions(**hard), data_disks_mib=(64,))
    with pytest.raises(BadInput, match="--sector 520"):
        Conditions(sector=520)


@pytest.mark.parametrize("way", [Way.URL, Way.AWS])
def test_a_configuration_that_is_fetched_needs_a_network(way: Way) -> None:
    given = (Given(LabSource(way), b"{}"),)
    for hard in (Conditions(Uplink.NONE), Conditions(is_ipv6_only=True)):
        with pytest.raises(BadInput, match="cannot fetch its configuration"):
            LabPlan(IMAGE, given=given, conditions=hard)
    LabPlan(IMAGE, given=given, conditions=Conditions(Uplink.NO_DHCP))


def test_cards_of_a_hard_world() -> None:
    def nics(conditions: Conditions) -> list[tuple[str, bool]]:
        return [
            (nic.plug, isinstance(nic.net, SwitchPort)) for nic in machine(replace(NODE, conditions=conditions)).nics
        ]

    assert nics(Conditions(Uplink.NONE)) == []
    assert nics(Conditions(Uplink.NO_CARRIER)) == nics(Conditions()) == [("nic0", False), ("nic1", True)]
    assert nics(Conditions(Uplink.NO_DHCP)) == [("nic0far", False), ("nic1", True)]
    (out, _) = machine(replace(NODE, conditions=Conditions(is_ipv6_only=True))).nics
    assert out.net == WayOut(options="ipv4=off,ipv6=on"), "QEMU would forward nothing there"


def test_disks_of_a_hard_world() -> None:
    node = replace(NODE, data_disks=2, boots=(0,))
    system, *data = machine(replace(node, conditions=Conditions(is_disk_slow=True, sector=4096))).drives
    assert (system.sector, system.most) == (512, SLOW), "the image was made for it"
    assert [(drive.sector, drive.most) for drive in data] == [(4096, SLOW)] * 2
    gone = replace(node, conditions=Conditions(is_disk_gone=True))
    assert [drive.name for drive in machine(gone).drives] == ["disk", "data1", "data2"]
    assert [drive.name for drive in machine(replace(gone, boots=(0, 99))).drives] == ["disk", "data2"]


def test_a_machine_that_no_command_reaches_says_so(tmp_path: Path) -> None:
    paths = LabPaths(Workspace(tmp_path, tmp_path), "a")
    for hard, why in ((Conditions(Uplink.NONE), "no network card"), (Conditions(is_ipv6_only=True), "IPv4 alone")):
        with pytest.raises(BadInput, match=why) as caught:
            argv(paths, replace(NODE, conditions=hard), ["true"], tty=False)
        assert "orlop lab console n1" in caught.value.hint
