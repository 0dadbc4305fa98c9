"""All machines of a lab stopped at one moment and kept; then they go on.

The caller holds the lab lock, and makes the folder beside its place. Invariant: however this ends, short of our being
killed, the machines run again; and when we are killed, the mark in the lab's folder lets the next command see to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orlop.errors import BadInput, Missing, OrlopError, TimedOut
from orlop.files import write_atomic
from orlop.lab import state as labs
from orlop.lab import vms
from orlop.lab.machine import Node, launch
from orlop.lab.paths import LabPaths
from orlop.lab.saved import keep, record, store, unfinished
from orlop.lab.saved.record import Record
from orlop.lab.saved.store import SavedPlace
from orlop.lab.state import LabState, NodeState
from orlop.machines import memory, qmp
from orlop.machines.definition import definition
from orlop.machines.kind import MachineKind
from orlop.machines.pids import alive
from orlop.processes import undisturbed
from orlop.steps import Steps

OFF_SECONDS = 120.0
_HEAD = 4096


def check(paths: LabPaths, lab: LabState) -> None:
    """Raise BadInput for a lab that could not be restored as it is."""
    for node in lab.nodes:
        at = paths.node(node.name)
        if at.write_log.exists():
            raise BadInput(
                f"{node.name} has its disk's writes recorded, from the disk's beginning: a saved one would begin later",
                hint="save a lab without the recording",
            )
        for disk in keep.disks(at):
            with disk.open("rb") as f:
                below = keep.backing(f.read(_HEAD))
            if Path(below).is_relative_to(paths.folder):
                raise BadInput(
                    f"lab {paths.name!r} was made before labs could be saved: its disks say where they are",
                    hint=f"`orlop lab down --name {paths.name}`, then make it again",
                )


def bytes_needed(paths: LabPaths, lab: LabState) -> int:
    """At most so many: memory counts as if the machines used all of it."""
    disks = sum(disk.stat().st_blocks * 512 for node in lab.nodes for disk in keep.disks(paths.node(node.name)))
    return disks + sum(node.memory_mib << 20 for node in running(lab, MachineKind.VM))


def running(lab: LabState, kind: MachineKind) -> list[NodeState]:
    return [node for node in lab.nodes if node.kind is kind and alive(node.process)]


def save(paths: LabPaths, steps: Steps, lab: LabState, place: SavedPlace, name: str) -> None:
    """Fill the folder of the saved lab. Raises CommandFailed (QEMU said no), TimedOut (a machine does not stop)."""
    machines, containers = running(lab, MachineKind.VM), running(lab, MachineKind.CONTAINER)
    place.folder.chmod(0o700)
    for node in lab.nodes:
        place.node(node.name).folder.mkdir()
    with _halted(paths, steps, machines, containers):
        version = memory.version(paths.node(machines[0].name)) if machines else ""
        began = time.monotonic()
        memory.save({paths.node(node.name): place.memory(node.name) for node in machines})
        _keep_files(paths, lab, place)
        steps.note(f"kept in {time.monotonic() - began:.1f} s, while they stood still")
    about = Record(
        name=name,
        saved=int(time.time()),
        lab=_neutral(paths, lab),
        running=tuple(node.name for node in (*machines, *containers)),
        qemu=version,
        processor=memory.processor(lab.acceleration.name),
        disk=store.fingerprint(Path(lab.image)),
        definitions=_definitions(paths, lab),
        files=dict(_sizes(place.folder)),
    )
    write_atomic(place.record, record.dump(about), mode=0o600)


@contextmanager
def _halted(
    paths: LabPaths, steps: Steps, machines: Sequence[NodeState], containers: Sequence[NodeState]
) -> Iterator[None]:
    """The machines do not run for the length of the block: containers are powered off in order, then all whole machines
    stopped at one moment.
    """
    off = tuple(node.name for node in containers)
    try:
        unfinished.mark(paths.folder, unfinished.SAVING, off)
        if containers:
            with steps.step(f"Powering {len(containers)} container machines off"):
                _power_off([Node(paths, node.name) for node in containers])
        for node in machines:
            qmp.ask(paths.node(node.name).qmp, "stop")
        yield
        with undisturbed():
            go_on(paths, off)
            unfinished.unmark(paths.folder)
    except BaseException:  # Ctrl-C may also come between the block and `undisturbed`
        with undisturbed():
            go_on(paths, off)
            unfinished.unmark(paths.folder)
        raise


def _power_off(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.run("systemctl", "poweroff")
    until = time.monotonic() + OFF_SECONDS
    while still := [node for node in nodes if node.running]:
        if time.monotonic() > until:
            raise TimedOut(
                f"{still[0].name} did not go off within {OFF_SECONDS:.0f} s",
                hint=f"`orlop lab logs {still[0].name}` shows what it waits for",
            )
        time.sleep(0.05)


def go_on(paths: LabPaths, containers: Sequence[str]) -> None:
    """Let every machine go on that a save stopped, and start those that it powered off."""
    lab, failed = labs.read(paths), None
    for node in running(lab, MachineKind.VM):
        try:
            memory.go_on(paths.node(node.name))
        except Missing:  # it ended by itself
            continue
        except OrlopError as e:  # the others go on all the same
            failed = e
    for name in containers:
        if not alive(lab.node(name).process):
            lab = launch(paths, lab, name)
    if failed:
        raise failed


def _keep_files(paths: LabPaths, lab: LabState, place: SavedPlace) -> None:
    keep.put([(paths.folder / name, how) for name, how in keep.LAB_FILES.items()], place.folder)
    for node in lab.nodes:
        at, to = paths.node(node.name), place.node(node.name)
        keep.put([(f, how) for f in sorted(at.folder.iterdir()) if (how := keep.node_file(f.name))], to.folder)
        if node.kind is MachineKind.CONTAINER:
            keep.copy([at.var], to.folder)


def _neutral(paths: LabPaths, lab: LabState) -> LabState:
    """The lab's record without what is its own: processes, where it was made; files of its folder by name."""

    def named(file: str) -> str:
        return Path(file).name if Path(file).parent == paths.folder else file

    return replace(
        lab,
        image=named(lab.image),
        usr=named(lab.usr) if lab.usr else "",
        run="",
        switch=None,
        saved="",
        born=lab.born or str(paths.folder),
        nodes=tuple(replace(node, process=None) for node in lab.nodes),
    )


def _definitions(paths: LabPaths, lab: LabState) -> dict[str, str]:
    whole = [node for node in lab.nodes if node.kind is MachineKind.VM]
    return {node.name: definition(vms.described(paths, lab, node), paths.tools) for node in whole}


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for file in (*folder.glob("*"), *folder.glob("n*/*")):
        if file.is_file() and not file.is_symlink():
            yield str(file.relative_to(folder)), file.stat().st_size
