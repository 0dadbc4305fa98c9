"""A machine of its own for tests that change what the shared ones must keep: their /etc, their /var, their identity.

A whole one is restored, so all of them begin as one and the same machine, some time after its first boot. A container
machine is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.lab import images
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.provision.translate import translate
from orlop.workspace import Workspace
from tests.machines.booting import DATA_MIB
from tests.machines.keeping import made
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.saved import settled

CONFIG = b"""variant: orlop
version: 1.0.0
storage:
  files:
    - {path: /etc/orlop-test.conf, mode: 0644, contents: {inline: "etc\\n"}}
    - {path: /var/lib/orlop-test.conf, mode: 0644, overwrite: true, contents: {inline: "var\\n"}}
"""


@contextmanager
def spare(ws: Workspace, image: Path, name: str) -> Iterator[Node]:
    """A booted machine in a lab called `name`, whose configuration has a file in /etc and one in /var."""
    with settled(ws, spare_plan(ws, image, name)) as there:
        yield there.lab.node("n1")


@contextmanager
def spare_container(ws: Workspace, image: Path, name: str) -> Iterator[Node]:
    """A container machine with the same configuration."""
    plan = LabPlan(images.resolve(ws, str(image)), name=name, containers=1, given=_given())
    with made(ws, plan, timeout=VERDICT_SECONDS) as there:
        yield there.lab.node("n1")


def spare_plan(ws: Workspace, image: Path, name: str) -> LabPlan:
    """One plan for all, so that one boot is enough for all: with a disk that only some use."""
    return LabPlan(
        images.resolve(ws, str(image)),
        name=name,
        cpus=1,
        memory_mib=1024,
        given=_given(),
        data_disks_mib=(DATA_MIB,),
    )


def _given() -> tuple[Given, ...]:
    ignition = translate(CONFIG).ignition
    assert ignition is not None
    return (Given(LabSource(Way.FW_CFG), ignition.encode()),)
