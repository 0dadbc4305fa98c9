"""Machines that are booted again and again with one configuration or another, each in a lab of its own.

Whole machines, which read it by QEMU's fw_cfg and have a further disk each, for what takes an initrd, disks or a first
boot; else a container machine, which does the rest of it by the same programs in a second or two. None is kept for the
next session: their tests begin with a boot.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.files import remove_tree
from orlop.lab import images, lab
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.standstill import Standstill
from orlop.lab.wait import wait_verdict
from orlop.machines import console, ssh
from orlop.machines.console import BootStage
from orlop.machines.container import driver
from orlop.machines.kind import MachineKind
from orlop.machines.vm import make_disk, make_empty_disk
from orlop.provision.translate import translate
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import VERDICT_SECONDS

DATA_MIB = 256
TREE_HASH = (
    "cd /etc && find . -printf '%p %y %m %U %G %l\\n' | sort > /run/tree && "
    "find . -type f | sort | xargs sha256sum >> /run/tree && sha256sum < /run/tree"
)
EMPTY = b'{"ignition": {"version": "3.3.0"}}'


def butane(text: str) -> bytes:
    result = translate(("variant: orlop\nversion: 1.0.0\n" + text).encode())
    assert result.ignition is not None, result.report.entries
    return result.ignition.encode()


@contextmanager
def booting(ws: Workspace, image: Path, name: str, *, demo: bool = False) -> Iterator[Lab]:
    """A lab called `name` of one whole machine that is off, and has never booted."""
    given = (Given(LabSource(Way.FW_CFG), EMPTY),)
    image_of = images.resolve(ws, str(image))
    plan = LabPlan(image_of, name=name, cpus=1, memory_mib=1024, demo=demo, given=given, data_disks_mib=(DATA_MIB,))
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, name)
    there = lab.up(ws, Steps(), plan)
    try:
        for node in there.nodes:
            node.power_cut()  # a lab is made by powering it on: the firmware has not found the disk yet
            new_disks(node)
        yield there
    finally:
        lab.down(ws, name)


@contextmanager
def starting(ws: Workspace, image: Path, name: str) -> Iterator[Node]:
    """A container machine in a lab called `name`, started once with a configuration that says nothing."""
    plan = LabPlan(
        images.resolve(ws, str(image)), name=name, containers=1, given=(Given(LabSource(Way.FW_CFG), EMPTY),)
    )
    with suppress(Missing):
        lab.down(ws, name)
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")


def is_container(node: Node) -> bool:
    return node.state().kind is MachineKind.CONTAINER


def new_disks(node: Node) -> None:
    """A machine that has never booted, and so has other host keys."""
    ssh.forget(node.paths.login, node.name)
    if is_container(node):
        remove_tree(node.at.var)
        driver.make(node.at)
        return
    for disk in (node.at.disk, node.at.data_disk(1)):
        disk.unlink()
    make_disk(node.paths.tools, node.paths.base, node.at.disk, 12)
    make_empty_disk(node.paths.tools, node.at.data_disk(1), DATA_MIB)


def off(node: Node) -> None:
    """Take its power, with all that was written on its disk."""
    if node.running:
        if not is_container(node):  # what a container machine wrote is this computer's to keep
            node.run("sync")
        node.power_cut()


def boot(node: Node, config: bytes, *, fresh: bool = False) -> dict[str, Any]:
    """Start the machine with a configuration, to a good verdict; returns what it says of its configuration."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(LabSource(Way.FW_CFG), config))
    node.start()
    wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    assert console.failures(node.console_text()) == []
    return report(node)


def wait_answers(node: Node) -> None:
    """Wait until commands reach a machine that boots, which is some time before its verdict.

    It is asked once its system has begun: what is sent before that is sent again late. Each time it has longer.
    """
    until, still, patience = time.monotonic() + VERDICT_SECONDS, Standstill(node), 5.0
    while True:
        text, now = node.console_text(), time.monotonic()
        assert node.running and now < until, console.tail(text)
        if still.why(text, now):
            still.cycle()
        if console.stage(console.last_boot(text)) >= BootStage.SYSTEM:
            with suppress(TimedOut):
                if node.run("true", timeout=patience).code == 0:
                    return
            patience += 5.0
        time.sleep(1.0)


def report(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    assert found["ok"] is True
    return found


def failed_boot(node: Node, config: bytes, *, fresh: bool = False) -> str:
    """Start the machine with a configuration it cannot boot with; returns what the console said about it."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(LabSource(Way.FW_CFG), config))
    node.start()
    with pytest.raises(CommandFailed, match="cannot come up"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = console.plain(node.console_text()).split("\n")
    if is_container(node):  # says all of it at its end, without the name
        return "\n".join(said)
    node.power_cut()
    return "\n".join(line for line in said if line.startswith("orlop-config: "))
