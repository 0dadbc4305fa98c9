"""Which machines of a lab are containers, and what such a lab refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.lab import containers
from orlop.lab.images import LabImage
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.machines.kind import MachineKind

IMAGE = LabImage(Path("/i/orlop_20261128.1.raw"), "20261128.1")


def test_the_last_machines_of_a_mixed_lab_are_the_containers() -> None:
    plan = LabPlan(IMAGE, nodes=5, containers=3)
    assert [plan.kind_of(i) for i in range(1, 6)] == [MachineKind.VM, MachineKind.VM, *[MachineKind.CONTAINER] * 3]


@pytest.mark.parametrize("way", [way for way in Way if way is not Way.FW_CFG])
def test_ways_of_a_whole_machine_are_refused_with_the_reason(way: Way) -> None:
    config = (Given(LabSource(way), b"{}"),)
    with pytest.raises(BadInput, match=f"--config-source {way} is for whole machines"):
        LabPlan(IMAGE, containers=1, given=config)
    LabPlan(IMAGE, given=config)
    LabPlan(IMAGE, nodes=2, containers=1, given=(config[0], Given(LabSource(Way.FW_CFG), b"{}")))


def test_what_a_container_machine_cannot_have_is_refused() -> None:
    LabPlan(IMAGE, containers=1, given=(Given(LabSource(Way.URL, "http://a/b"), b""),))
    with pytest.raises(BadInput, match="--data-disk is for whole machines"):
        LabPlan(IMAGE, containers=1, data_disks_mib=(64,))
    with pytest.raises(BadInput, match="2 container machines of 1"):
        LabPlan(IMAGE, containers=2)


def test_when_a_boot_is_enough() -> None:
    file, url = LabSource(Way.FW_CFG), LabSource(Way.URL, "http://a/b")
    assert containers.is_boot_enough(None, file)
    assert containers.is_boot_enough(file, file)
    assert not containers.is_boot_enough(url, file)
    assert not containers.is_boot_enough(file, url)
