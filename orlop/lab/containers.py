"""The container machines of a lab: from the lab's record to a machine, and back into the record what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orlop.errors import Missing
from orlop.lab import demo
from orlop.lab import state as records
from orlop.lab.conditions import Uplink
from orlop.lab.identity import mac
from orlop.lab.nodeconfig import CREDENTIAL
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource, Way
from orlop.lab.state import LabState, NodeState
from orlop.machines.container import driver
from orlop.machines.container.words import ContainerMachine
from orlop.machines.pids import alive
from orlop.machines.ports import Forward

said = driver.said


def launch(paths: LabPaths, lab: LabState, node: NodeState) -> LabState:
    """Start a container machine and record it. Raises NotAllowed, Missing, Busy, CommandFailed."""
    at = paths.node(node.name)
    begins = at.console_log.stat().st_size if at.console_log.exists() else 0
    process = driver.start(paths.tools, described(paths, lab, node))
    lab = lab.with_node(replace(node, process=process, boots=(*node.boots, begins)))
    records.write(paths, lab)
    return lab


def end(paths: LabPaths, node: NodeState) -> bool:
    """Take its power. False when some of its processes do not end."""
    return driver.end(paths.key, node.name)


def plug(paths: LabPaths, lab: LabState, node: NodeState, *, up: bool) -> None:
    driver.plug(paths.tools, described(paths, lab, node), up=up)


def argv(
    paths: LabPaths,  # noqa: ARG001 — as every kind
    node: NodeState,
    remote: Sequence[str],
    *,
    tty: bool,
    extra: Sequence[str] = (),  # noqa: ARG001 — of ssh, which is not used here
) -> list[str]:
    """The command line that runs `remote` there; it needs no network, so a machine that is cut off is reached as well.

    Raises Missing when the machine has no process 1 now (it is being started again).
    """
    return driver.command(node.name, node.process, remote, tty=tty)


def is_boot_enough(before: LabSource | None, after: LabSource) -> bool:
    """The file is laid before the machine at each of its starts; an address is said when it is powered on."""
    return after.way is Way.FW_CFG and (before is None or before.way is Way.FW_CFG)


def described(paths: LabPaths, lab: LabState, node: NodeState) -> ContainerMachine:
    at = paths.node(node.name)
    return ContainerMachine(
        key=paths.key,
        name=node.name,
        at=at,
        usr=Path(lab.usr),
        net=namespace(lab),
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        macs=tuple(mac(lab.macs_of, node.index, nic) for nic in (0, 1)) if node.conditions.has_cards else (),
        forwards=(Forward(node.ssh_port, 22), *node.forwards),
        credentials=((CREDENTIAL, at.config),),
        url=node.source.url if node.source and node.source.way is Way.URL else "",
        binds=((paths.ws.demo_image, demo.MOUNT),) if node.media else (),
        is_cut=node.cut,
        is_far=node.conditions.nic is Uplink.NO_DHCP,
    )


def namespace(lab: LabState) -> Path:
    """The lab's network namespace. Raises Missing when its switch is gone."""
    if lab.switch is None or not alive(lab.switch):
        raise Missing(
            f"the network of lab {lab.name!r} is gone: its switch ended",
            hint=f"`orlop lab down --name {lab.name}`, then make the lab again",
        )
    return Path(f"/proc/{lab.switch.pid}/ns/net")
