"""A saved lab's machines made again, in another lab: with its own ports, sockets and disks.

The caller holds the lab lock for `make`, and removes what there is when anything here does not end well. Invariant:
nothing of the saved lab is written to; its disks lie below new ones, its memory is only read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orlop.errors import BadInput, CommandFailed, Missing
from orlop.files import made_beside
from orlop.lab import state as labs
from orlop.lab import vms
from orlop.lab.machine import Node, launch
from orlop.lab.make import start_switch
from orlop.lab.paths import LabPaths
from orlop.lab.saved import clock, keep, unfinished
from orlop.lab.saved.record import Record
from orlop.lab.saved.store import SavedPlace
from orlop.lab.state import LabState, NodeState
from orlop.lab.wait import wait_verdicts
from orlop.machines import memory, ports
from orlop.machines.accel import Acceleration
from orlop.machines.definition import definition
from orlop.machines.kind import MachineKind
from orlop.machines.paths import make_private
from orlop.machines.pids import alive
from orlop.machines.ports import Forward
from orlop.sdk.run import sdk_run
from orlop.steps import Steps

_MEMORY = "memory"
_OVERLAYS = 'while [ $# -gt 0 ]; do qemu-img create -q -f qcow2 -b "$2" -F qcow2 "$1" || exit; shift 2; done'
_DISK_SECONDS = 120.0


def check(record: Record, how: Acceleration) -> None:
    """Raise BadInput when this computer cannot go on with the machines."""
    was = record.lab.acceleration.name
    if not record.definitions:
        return
    if how.name != was:
        raise BadInput(
            f"the saved lab {record.name!r} ran under {was}, and here machines run under {how.name} ({how.why})",
            hint="make the lab again and save that",
        )
    if memory.processor(was) != record.processor:
        raise BadInput(
            f"the saved lab {record.name!r} was saved on another processor than this computer's",
            hint="make the lab again and save that",
        )


def allocate(record: Record, publish: Sequence[Forward], taken: set[int], near: int) -> tuple[NodeState, ...]:
    """Give every node new ports, for the same ports of the node and those in `publish`. Raises Busy."""
    choose = ports.Chooser(set(taken), near)
    wished = {f.guest: f.host for f in publish}
    given = {
        node.name: {guest: choose(host + node.index - 1) for guest, host in wished.items() if host}
        for node in record.lab.nodes
    }  # first, so that none is picked away
    return tuple(
        replace(
            node,
            ssh_port=choose(0),
            forwards=tuple(
                Forward(given[node.name].get(guest) or choose(0), guest)
                for guest in dict.fromkeys([*(f.guest for f in node.forwards), *wished])
            ),
        )
        for node in record.lab.nodes
    )


def make(
    paths: LabPaths, record: Record, place: SavedPlace, how: Acceleration, nodes: tuple[NodeState, ...]
) -> LabState:
    """Make the lab's things, and start its whole machines without a memory. Raises BadInput, CommandFailed, Busy."""
    with made_beside(paths.folder) as work:  # there is never a folder without the mark
        work.chmod(0o700)
        unfinished.mark(work, unfinished.RESTORING)
    make_private(paths.run)
    old = record.lab
    lab = replace(
        old,
        name=paths.name,
        image=str(paths.folder / old.image),
        usr=str(paths.folder / old.usr) if old.usr else "",
        created=int(time.time()),
        acceleration=how if record.definitions else old.acceleration,
        run=str(paths.run),
        nodes=nodes,
        saved=record.name,
    )
    _refuse_others(paths, lab, record)
    labs.write(paths, lab)
    _fill(paths, lab, place)
    lab = replace(lab, switch=start_switch(paths, nodes))
    labs.write(paths, lab)
    for node in lab.nodes:
        if node.kind is MachineKind.VM and node.name in record.running:
            for port in node.ports:
                ports.need_free(port, ())
            lab = vms.begin(paths, lab, node, "-incoming", "defer")
    return lab


def _refuse_others(paths: LabPaths, lab: LabState, record: Record) -> None:
    for node in (node for node in lab.nodes if node.kind is MachineKind.VM):
        here = definition(vms.described(paths, lab, node), paths.tools)
        if here != record.definitions.get(node.name):
            raise BadInput(
                f"{node.name} of the saved lab {record.name!r} is another machine than this orlop makes now",
                hint="make the lab again and save that",
            )


def _fill(paths: LabPaths, lab: LabState, place: SavedPlace) -> None:
    """The lab's files: linked, copied, and for each disk a new one over the saved one."""
    keep.put([(place.folder / name, how) for name, how in keep.LAB_FILES.items()], paths.folder)
    if lab.usr and not Path(lab.usr).exists():  # one that could not be mounted, and was unpacked elsewhere
        raise Missing(f"the image's usr for container machines, {lab.usr}, is gone", hint="make the lab again")
    overlays: list[str | Path] = []
    for node in lab.nodes:
        at, saved = paths.node(node.name), place.node(node.name)
        at.folder.mkdir()
        disks = keep.disks(saved)
        files = [file for file in sorted(saved.folder.iterdir()) if file not in disks]
        keep.put([(file, how) for file in files if (how := keep.node_file(file.name))], at.folder)
        for disk in disks:
            own = at.folder / disk.name
            below = keep.layer(own)
            os.link(disk, below)
            overlays += [own, below.name]
        if place.memory(node.name).exists():
            os.link(place.memory(node.name), at.folder / _MEMORY)  # there until it is read, also after an `rm`
        if node.kind is MachineKind.CONTAINER:
            keep.copy([saved.var], at.folder)
    if overlays:
        argv = ["sh", "-c", _OVERLAYS, "overlays", *overlays]
        sdk_run(paths.ws, argv, what="making the disks", binds=[Path(lab.image).parent], timeout=_DISK_SECONDS)


def load(paths: LabPaths, record: Record) -> None:
    """Give the machines their memory and let them go on, all at one moment. Raises BadInput, CommandFailed."""
    lab = labs.read(paths)
    on = [node for node in lab.nodes if alive(node.process) and node.kind is MachineKind.VM]
    for node in on[:1]:
        if (here := memory.version(paths.node(node.name))) != record.qemu:
            raise BadInput(
                f"the saved lab {record.name!r} is of QEMU {record.qemu}, and here is QEMU {here}",
                hint="make the lab again and save that",
            )
    files = {paths.node(node.name): paths.node(node.name).folder / _MEMORY for node in on}
    try:
        memory.load(files)
    except CommandFailed as e:
        e.hint = f"`orlop lab saved rm {record.name}` removes the saved lab; make its lab again and save that"
        raise
    for file in files.values():
        file.unlink()
    for node in on:
        if node.cut:
            vms.plug(paths, lab, node, up=False)
    memory.run(files)


def start_containers(paths: LabPaths, record: Record) -> None:
    """Start the container machines that were on, from their /var. The caller holds the lock."""
    lab = labs.read(paths)
    for node in lab.nodes:
        if node.kind is MachineKind.CONTAINER and node.name in record.running:
            lab = launch(paths, lab, node.name)


def answered(paths: LabPaths, steps: Steps, running: Sequence[str], *, timeout: float) -> None:
    """Wait until each of these machines runs a command, its clock right; containers, which boot, until their verdict.

    Raises TimedOut or CommandFailed.
    """
    lab = labs.read(paths)
    on = [node for node in lab.nodes if node.name in running]
    whole = []
    for node in on:
        if node.kind is not MachineKind.VM:
            continue
        if node.cut or not node.conditions.has_ipv4:
            steps.note(f"{node.name} is not reached by a command: its clock is behind by the time it stood still")
        elif node.conditions.clock:
            steps.note(f"{node.name} was made with a clock that is wrong: it is left as it is")
        else:
            whole.append(Node(paths, node.name))
    clock.put_right(whole, timeout=timeout)
    if containers := [Node(paths, node.name) for node in on if node.kind is MachineKind.CONTAINER]:
        wait_verdicts(containers, steps, timeout=timeout)
