from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orlop.machines.definition import definition
from orlop.machines.paths import MachinePaths
from orlop.machines.ports import Forward
from orlop.machines.qemu import Drive, Nic, Service, SwitchPort, WayOut, WholeMachine, command
from tests.unit.machines.tooling import TOOLS


def machine(lab: str = "a", forwards: tuple[Forward, ...] = (Forward(8080, 80),)) -> WholeMachine:
    folder, run = Path("/s/lab") / lab, Path("/tmp") / lab
    out = WayOut(forwards, (Service("169.254.169.254", ("answer", lab)),))
    return WholeMachine(
        name=f"{lab}/n1",
        uuid="6f0c2a3e-0000-5000-8000-000000000001",
        at=MachinePaths(folder / "n1", run / "q", run / "c", run / "s"),
        cpus=2,
        memory_mib=2048,
        accelerator="tcg",
        drives=(Drive("disk", folder / "disk", "system"), Drive("media", folder / "media", "media", is_raw=True)),
        nics=(Nic("nic0", "m0", out), Nic("nic1", "m1", SwitchPort(run / "sw"))),
        fw_cfg=(("opt/x", folder / "x"),),
        strings=(folder / "text",),
    )


def test_where_a_machine_is_does_not_matter() -> None:
    here, there = machine(), machine("b", forwards=())
    assert command(here, TOOLS) != command(there, TOOLS)
    assert definition(here, TOOLS) == definition(there, TOOLS)


WITHOUT_SERVICE = (Nic("nic0", "m0", WayOut()), machine().nics[1])


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 1},
        {"memory_mib": 1024},
        {"accelerator": "kvm"},
        {"uuid": "6f0c2a3e-0000-5000-8000-000000000002"},
        {"nics": machine().nics[:1]},
        {"nics": WITHOUT_SERVICE},
        {"nics": (replace(machine().nics[0], mac="m9"), machine().nics[1])},
        {"drives": machine().drives[:1]},
        {"drives": (replace(machine().drives[0], serial="other"), machine().drives[1])},
        {"fw_cfg": ()},
        {"tables": ("type=1,product=P",)},
        {"strings": ()},
    ],
    ids=str,
)
def test_what_a_machine_is_does(change: dict[str, object]) -> None:
    changed = replace(machine(), **change)  # type: ignore[arg-type]
    assert definition(changed, TOOLS) != definition(machine(), TOOLS)
