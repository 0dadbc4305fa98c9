"""Make a lab's things and power its machines on: what `lab.up` does once it may.

Lifetime: called once for a lab, under the lock; who calls it removes what there is when it does not end well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orlop.cluster import folder as folders
from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.image.unpacked import can_mount, unpacked
from orlop.lab import demo, vms
from orlop.lab import state as records
from orlop.lab.identity import mac, private_ip
from orlop.lab.images import LabImage
from orlop.lab.machine import launch
from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.paths import LabPaths
from orlop.lab.plan import MAX_NODES, LabPlan
from orlop.lab.state import LabState, NodeState
from orlop.machines import ports, ssh, switch
from orlop.machines.accel import Acceleration
from orlop.machines.container import cgroup, driver
from orlop.machines.container.words import NO_LIMITS
from orlop.machines.kind import MachineKind
from orlop.machines.paths import make_private
from orlop.machines.pids import ProcessId
from orlop.machines.ports import Forward
from orlop.steps import Steps


def allocate(plan: LabPlan, taken: set[int], near: int) -> tuple[NodeState, ...]:
    """Give every node its ports. Raises Busy before anything is made."""
    choose = ports.Chooser(set(taken), near)
    publish = plan.publish
    if plan.demo and all(f.guest != demo.PORT for f in publish):
        publish = (*publish, Forward(0, demo.PORT))
    given = [
        tuple(Forward(choose(f.host + i) if f.host else 0, f.guest) for f in publish) for i in range(plan.nodes)
    ]  # the ports that were asked for first, so that none is picked away
    return tuple(
        NodeState(
            name=f"n{i}",
            index=i,
            ssh_port=choose(0),
            forwards=tuple(Forward(f.host or choose(0), f.guest) for f in forwards),
            cpus=plan.cpus,
            memory_mib=plan.memory_mib,
            media=plan.demo,
            data_disks=len(plan.data_disks_mib),
            source=wished.source if (wished := plan.given_to(i)) else None,
            kind=plan.kind_of(i),
            cut=plan.conditions.begins_cut,
            conditions=plan.conditions,
        )
        for i, forwards in enumerate(given, 1)
    )


def make(paths: LabPaths, steps: Steps, plan: LabPlan, how: Acceleration, nodes: tuple[NodeState, ...]) -> None:
    ws = paths.ws
    paths.folder.mkdir(parents=True, mode=0o700)
    make_private(paths.run)
    base = _linked(plan.image.raw, paths.base)
    has_containers = any(node.kind is MachineKind.CONTAINER for node in nodes)
    lab = LabState(
        name=plan.name,
        image=str(base),
        version=plan.image.version,
        created=int(time.time()),
        acceleration=how,
        run=str(paths.run),
        nodes=nodes,
        demo=plan.demo,
        usr=str(usr_for_containers(paths, steps, plan.image)) if has_containers else "",
    )
    records.write(paths, lab)
    if plan.cluster:
        folders.write(paths.cluster, plan.cluster.founded, datetime.now(UTC))
    key = ssh.make_key(paths.tools, paths.login, f"orlop-lab-{paths.name}")
    if plan.demo:
        demo.make_media(ws, steps, paths.media)
    lab = replace(lab, switch=start_switch(paths, nodes))
    records.write(paths, lab)
    can_limit = not has_containers or cgroup.prepare(paths.key)[1]
    if not can_limit:
        steps.note("this computer hands out no cgroup controllers: containers on container machines have no limits")
    for node in nodes:
        at = paths.node(node.name)
        at.folder.mkdir()
        config = _node_config(lab, node, key, can_limit=can_limit) + plan.config
        write_atomic(at.config, config.tmpfiles(), mode=0o600)
        if given := plan.given_to(node.index):
            write_atomic(at.ignition, given.config, mode=0o600)
        match node.kind:
            case MachineKind.VM:
                vms.make(paths, node, base, plan.disk_gib, plan.data_disks_mib)
            case MachineKind.CONTAINER:
                driver.make(at)
    for node in nodes:
        lab = launch(paths, lab, node.name)


def _node_config(lab: LabState, node: NodeState, key: str, *, can_limit: bool) -> NodeConfig:
    is_ipv6 = node.conditions.is_ipv6_only
    addresses = {n.name: private_ip(n.index, is_ipv6=is_ipv6) for n in lab.nodes}
    node_config = NodeConfig().ssh_access(key).names(node.name, addresses)
    node_config = node_config.private_address(
        mac(lab.name, node.index, 1), f"{addresses[node.name]}/{64 if is_ipv6 else 24}"
    )
    if node.kind is MachineKind.CONTAINER and not can_limit:
        for path, text in NO_LIMITS.items():
            node_config = node_config.file(path, text)
    return node_config + demo.config(has_disk=node.kind is MachineKind.VM) if node.media else node_config


def _linked(file: Path, to: Path) -> Path:
    """A hard link, so that the lab outlives the image's folder."""
    try:
        os.link(file, to)
    except OSError:  # another file system, or a file that may not be linked: use it where it is
        return file
    return to


def usr_for_containers(paths: LabPaths, steps: Steps, image: LabImage) -> Path:
    """The image's usr as container machines can have it: the file, where it can be mounted, else a folder.

    Raises BadInput when all there is of the image is its disk.
    """
    if image.usr is None:
        raise BadInput(
            f"container machines are made from an image folder, and {image.raw} is a disk alone",
            hint="give a version or a folder to --image, or take `--kind vm`",
        )
    if can_mount(image.usr):
        return _linked(image.usr, paths.usr)
    return unpacked(paths.ws, steps, image.version).usr


def start_switch(paths: LabPaths, nodes: Sequence[NodeState]) -> ProcessId | None:
    """The private network."""
    kinds = {node.kind for node in nodes}
    return switch.start(paths.tools, paths.switch, paths.switch_pid, kinds, 2 * MAX_NODES)
