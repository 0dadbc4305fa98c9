"""Machines that are booted again and again with one configuration or another, read by QEMU's fw_cfg.

They have a lab of their own, with a further disk each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing
from orlop.lab import console, images, lab, ssh
from orlop.lab.lab import Lab, Plan
from orlop.lab.machine import Node, make_disk, make_empty_disk
from orlop.lab.source import Given, Source, Way
from orlop.lab.wait import wait_verdict
from orlop.provision.translate import translate
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import VERDICT_SECONDS

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
def booting(ws: Workspace, image: Path, name: str, nodes: int = 1) -> Iterator[Lab]:
    """A lab called `name` of so many machines, booted once with a configuration that says nothing."""
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, name)
    plan = Plan(
        images.resolve(ws, str(image)),
        name=name,
        nodes=nodes,
        cpus=1,
        memory_mib=1024,
        given=(Given(Source(Way.FW_CFG), EMPTY),),
        data_disks_mib=(DATA_MIB,),
    )
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there


def new_disks(node: Node) -> None:
    """A machine that has never booted, and so has other host keys."""
    ssh.forget(node.paths, node.name)
    for disk in (node.at.disk, node.at.data_disk(1)):
        disk.unlink()
    make_disk(node.paths, node.paths.base, node.at.disk, 12)
    make_empty_disk(node.paths, node.at.data_disk(1), DATA_MIB)


def off(node: Node) -> None:
    if node.running:
        node.run("sync")
        node.power_cut()


def boot(node: Node, config: bytes, *, fresh: bool = False) -> dict[str, Any]:
    """Start the machine with a configuration, to a good verdict; returns what it says of its configuration."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(Source(Way.FW_CFG), config))
    node.start()
    wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    assert console.failures(node.console_text()) == []
    return report(node)


def report(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    assert found["ok"] is True
    return found


def failed_boot(node: Node, config: bytes, *, fresh: bool = False) -> str:
    """Start the machine with a configuration it cannot boot with; returns what the console said about it."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(Source(Way.FW_CFG), config))
    node.start()
    with pytest.raises(CommandFailed, match="cannot come up"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = [line for line in console.plain(node.console_text()).split("\n") if line.startswith("orlop-config: ")]
    node.power_cut()
    return "\n".join(said)
