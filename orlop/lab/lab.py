"""A set of nodes: bring it up, find it again, bring it down.

Lifetime: from `up` to `down`, over any number of our own processes. Invariants: a lab that did not come up whole is
removed by the one that tried, Ctrl-C included; `down` removes anything that bears the lab's name, without needing its
record; several labs live side by side and share nothing but the lock and the numbers of this computer's ports.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from orlop.errors import Busy, CommandFailed, Missing, OrlopError, TimedOut
from orlop.files import MAKING, made_beside, need_space, remove_tree
from orlop.lab import cluster
from orlop.lab import state as records
from orlop.lab.machine import Node
from orlop.lab.make import allocate, make
from orlop.lab.paths import DEFAULT_LAB, LabPaths, is_lab_name, sdk_tools
from orlop.lab.plan import LabPlan
from orlop.lab.saved import restore as restoring
from orlop.lab.saved import save as saving
from orlop.lab.saved import store, unfinished
from orlop.lab.state import LabState
from orlop.lab.wait import wait_verdicts
from orlop.machines import accel, ports
from orlop.machines.container import cgroup, driver, limits
from orlop.machines.kind import MachineKind
from orlop.machines.pids import alive, find, kill
from orlop.machines.ports import Forward
from orlop.machines.tools import PROGRAMS
from orlop.processes import undisturbed
from orlop.sdk import tree
from orlop.steps import Steps
from orlop.workspace import Workspace

NODE_BYTES = 1_000_000_000  # what a node's disk may grow by soon
NATIVE = accel.Acceleration("native", "container machines run on this computer's own kernel")
COUNTED = accel.Acceleration("counted", "one instruction after the other, on a clock that counts them")
_GONE = ".gone-"


@dataclass(frozen=True)
class Lab:
    """A lab that exists. `state()` reads its record anew."""

    paths: LabPaths

    @property
    def name(self) -> str:
        return self.paths.name

    def state(self) -> LabState:
        return records.read(self.paths)

    def node(self, name: str) -> Node:
        return Node(self.paths, self.state().node(name).name)

    @property
    def nodes(self) -> list[Node]:
        return [Node(self.paths, n.name) for n in self.state().nodes]


def names(ws: Workspace) -> list[str]:
    """Every lab there is, whole or not."""
    if not ws.labs.is_dir():
        return []
    return sorted(entry.name for entry in ws.labs.iterdir() if is_lab_name(entry.name))


def open_lab(ws: Workspace, name: str) -> Lab:
    """Raises Missing (no such lab) or BadInput (a broken one)."""
    settle(ws)
    lab = Lab(LabPaths(ws, name))
    lab.state()
    return lab


def up(ws: Workspace, steps: Steps, plan: LabPlan) -> Lab:
    """Make a lab and power its nodes on; `bring_up` also waits for them.

    Raises Busy (the name or a port is taken), NoSpace, Missing (a tool), CommandFailed (with what QEMU said).
    """
    paths = LabPaths(ws, plan.name)
    settle(ws)
    _refuse_existing(paths)
    tree.ensure(ws, steps)
    _allow_containers(ws, steps, plan.containers)
    how = _accelerated(ws, plan)
    with records.lock(ws):
        _refuse_existing(paths)
        need_space(ws.state, plan.nodes * NODE_BYTES, f"a lab of {plan.nodes} nodes")
        nodes = allocate(plan, _taken(ws), ports.home(str(paths.folder)))
        try:
            with steps.step(f"Starting lab {plan.name}: {_what(plan)}, {how.name} ({how.why})"):
                make(paths, steps, plan, how, nodes)
        except BaseException:
            with undisturbed():
                _remove(paths)
            raise
    return Lab(paths)


def _accelerated(ws: Workspace, plan: LabPlan) -> accel.Acceleration:
    if plan.is_counted:
        return COUNTED
    return NATIVE if plan.containers == plan.nodes else choose_acceleration(ws)


def _what(plan: LabPlan) -> str:
    counts = {MachineKind.VM: plan.nodes - plan.containers, MachineKind.CONTAINER: plan.containers}
    kinds = [f"{count} × {kind}" for kind, count in counts.items() if count]
    return f"{' and '.join(kinds)} of {plan.memory_mib} MiB"


def bring_up(ws: Workspace, steps: Steps, plan: LabPlan, *, timeout: float, keep_failed: bool = False) -> Lab:
    """`up`, then wait until every node's verdict is good or, in a hard world, until each has said how it is; of a
    cluster, until that is well. When that fails the lab is removed, its consoles are kept in `.orlop/logs`, and the
    error says where; with `keep_failed` the lab stays.
    """
    lab = up(ws, steps, plan)
    try:
        with steps.step(f"Waiting for {plan.nodes} verdict{'s' if plan.nodes > 1 else ''}"):
            wait_verdicts(lab.nodes, steps, timeout=timeout, is_world_hard=plan.conditions.is_hard)
        if plan.cluster:
            with steps.step(f"Waiting for cluster {plan.cluster.founded.name}"):
                cluster.wait_well(lab.nodes[: plan.cluster.servers], steps, timeout=timeout)
    except BaseException as e:
        if keep_failed and isinstance(e, OrlopError):
            raise
        with undisturbed():
            consoles = _keep_consoles(lab.paths)
            _down_quietly(lab.paths)
        if isinstance(e, (CommandFailed, TimedOut)):
            _say_where(e, consoles)
        raise
    return lab


@contextmanager
def running(ws: Workspace, steps: Steps, plan: LabPlan, *, timeout: float) -> Iterator[Lab]:
    """A lab for the length of a block."""
    lab = bring_up(ws, steps, plan, timeout=timeout)
    try:
        yield lab
    finally:
        with undisturbed():
            _down_quietly(lab.paths)


def save(ws: Workspace, steps: Steps, name: str, saved: str, *, timeout: float | None = None) -> None:
    """Keep a lab under the name `saved`; it goes on. With `timeout`, in seconds: until its machines' clocks are right
    again and its container machines, which are powered off for it, have their verdict.

    Raises Missing, Busy (there is one of this name), BadInput (it cannot be kept), NoSpace, CommandFailed, TimedOut.
    """
    settle(ws)
    paths, place = LabPaths(ws, name), store.place(ws, saved)
    with records.lock(ws):
        state = records.read(paths)
        saving.check(paths, state)
        store.refuse_existing(ws, saved)
        need_space(ws.state, saving.bytes_needed(paths, state), f"saving lab {name!r}")
        try:
            with steps.step(f"Saving lab {name} as {saved}"), made_beside(place.folder) as work:
                saving.save(paths, steps, state, store.SavedPlace(work), saved)
        finally:
            store.tidy(ws)
    if timeout is not None:
        on = [node.name for node in records.read(paths).nodes if alive(node.process)]
        restoring.answered(paths, steps, on, timeout=timeout)


def restore(
    ws: Workspace,
    steps: Steps,
    saved: str,
    *,
    name: str = DEFAULT_LAB,
    publish: Sequence[Forward] = (),
    on: Collection[str] | None = None,
    timeout: float | None = None,
) -> Lab:
    """Make a lab out of a saved one. With `timeout`, in seconds: until its machines answer, with their clocks right.
    When that fails the lab is removed. `on`: which of its machines go on, by name; the others are off, as if their
    power had been taken when it was saved.

    Raises Missing, Busy (a name or a port is taken), BadInput (damaged, or of another QEMU, processor or machine),
    CommandFailed, TimedOut.
    """
    settle(ws)
    paths = LabPaths(ws, name)
    _refuse_existing(paths)
    tree.ensure(ws, steps)
    with ExitStack() as made, steps.step(f"Restoring {saved} as lab {name}"):
        with records.lock(ws):
            _refuse_existing(paths)
            record = store.read(ws, saved)
            store.check(ws, record, saved)
            if on is not None:
                record = replace(record, running=tuple(name for name in record.running if name in on))
            restoring.check(record, how := choose_acceleration(ws))
            _allow_containers(ws, steps, _containers(record.lab))
            need_space(ws.state, len(record.lab.nodes) * NODE_BYTES, f"a lab of {len(record.lab.nodes)} nodes")
            nodes = restoring.allocate(record, publish, _taken(ws), ports.home(str(paths.folder)))
            made.enter_context(_or_removed(paths))
            restoring.make(paths, record, store.place(ws, saved), how, nodes)
        restoring.load(paths, record)
        with records.lock(ws):
            restoring.start_containers(paths, record)
        if timeout is not None:
            restoring.answered(paths, steps, record.running, timeout=timeout)
        unfinished.unmark(paths.folder)
    return Lab(paths)


@contextmanager
def restored(
    ws: Workspace, steps: Steps, saved: str, *, name: str, on: Collection[str] | None = None, timeout: float
) -> Iterator[Lab]:
    """A lab out of a saved one for the length of a block; `on` as `restore` has it."""
    lab = restore(ws, steps, saved, name=name, on=on, timeout=timeout)
    try:
        yield lab
    finally:
        with undisturbed():
            _down_quietly(lab.paths)


@contextmanager
def _or_removed(paths: LabPaths) -> Iterator[None]:
    """When the block does not end well, nothing of the lab is left but its consoles, where they may tell why."""
    try:
        yield
    except BaseException as e:
        with undisturbed():
            consoles = _keep_consoles(paths) if isinstance(e, (CommandFailed, TimedOut)) else []
            _down_quietly(paths)
        if isinstance(e, OrlopError):
            _say_where(e, consoles)
        raise


def remove_saved(ws: Workspace, saved: str) -> None:
    """Remove a saved lab; labs that were made from it are not touched. Raises Missing."""
    with records.lock(ws), undisturbed():
        store.remove(ws, saved)


def settle(ws: Workspace) -> None:
    """See to what saves and restores left that were killed: machines that stand still go on, labs that are half made
    are removed.
    """
    if not store.leftovers(ws) and not any(unfinished.left(LabPaths(ws, name)) for name in names(ws)):
        return
    with records.lock(ws), undisturbed():
        for paths in (LabPaths(ws, name) for name in names(ws)):
            if (mark := unfinished.left(paths)) is None:
                continue
            if mark.doing == unfinished.SAVING:
                saving.go_on(paths, mark.off)
                unfinished.unmark(paths.folder)
            else:
                _remove(paths)
        store.tidy(ws)


def down(ws: Workspace, name: str) -> None:
    """Remove a lab, however broken: its processes, its folder, its sockets. Raises Missing when there is nothing."""
    paths = LabPaths(ws, name)
    with records.lock(ws), undisturbed():
        if not _remove(paths):
            raise Missing(f"there is no lab {name!r}", hint="`orlop lab list` shows the labs")


def _refuse_existing(paths: LabPaths) -> None:
    if paths.folder.exists() or paths.folder.is_symlink():
        raise Busy(
            f"there is a lab {paths.name!r} already",
            hint=f"`orlop lab status --name {paths.name}` shows it, `orlop lab down --name {paths.name}` removes it, "
            "--name gives another one its own name",
        )


def can_have(ws: Workspace, port: int) -> bool:
    """Whether a new lab could publish this port now."""
    return port not in _taken(ws) and ports.is_free(port)


def _taken(ws: Workspace) -> set[int]:
    """The ports that other labs' records hold."""
    return {port for lab in _records(ws) for node in lab.nodes for port in node.ports}


def _records(ws: Workspace) -> Iterator[LabState]:
    """Every lab's record. A broken lab has none: it holds what it holds by its processes only."""
    for name in names(ws):
        with suppress(OrlopError):
            yield records.read(LabPaths(ws, name))


def choose_acceleration(ws: Workspace) -> accel.Acceleration:
    """How whole machines run here: KVM, where it really runs a guest."""
    return accel.choose(sdk_tools(ws), ws.cache / "lab-acceleration")


def _allow_containers(ws: Workspace, steps: Steps, more: int) -> None:
    """See to it that this computer can have so many more container machines. Raises NotAllowed."""
    if more:
        driver.need_root()
        if refusal := limits.allow(more + sum(map(_containers, _records(ws)))):
            steps.note(refusal)


def _containers(lab: LabState) -> int:
    return sum(node.kind is MachineKind.CONTAINER for node in lab.nodes)


def _down_quietly(paths: LabPaths) -> None:
    with records.lock(paths.ws):
        _remove(paths)


def _keep_consoles(paths: LabPaths) -> list[tuple[Path, Path]]:
    """Copy the console logs to `.orlop/logs`, where they outlive the lab. Returns (old, new) places."""
    copies = []
    for old in sorted(paths.folder.glob("n*/console.log")):
        new = paths.ws.state / "logs" / f"lab-{paths.name}-{old.parent.name}-console.log"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old, new)
        copies.append((old, new))
    return copies


def _say_where(e: OrlopError, consoles: Sequence[tuple[Path, Path]]) -> None:
    """Let the error name the consoles where they are now."""
    for old, new in consoles:
        e.message, e.hint = (text.replace(str(old), str(new)) for text in (e.message, e.hint))
    e.args = (e.message,)


def _remove(paths: LabPaths) -> bool:
    """End and delete everything of the lab; the caller holds the lock. False when there was nothing."""
    ours = (paths.folder, paths.run)
    there = any(place.exists() or place.is_symlink() for place in ours)
    there |= cgroup.remove(paths.key)
    for _ in range(20):  # one may have been starting another when it was ended
        processes = find(PROGRAMS, ours)
        if not processes:
            break
        there = True
        stuck = [p.pid for p in processes if not kill(p)]
        if stuck:
            raise OrlopError(f"processes {stuck} of lab {paths.name!r} do not end", hint="try again in a moment")
    if paths.folder.exists() or paths.folder.is_symlink():
        os.rename(paths.folder, paths.folder.parent / f"{_GONE}{paths.name}-{os.getpid()}")
    for aside in (_GONE, MAKING):
        for left in paths.ws.labs.glob(f"{aside}{paths.name}-*"):
            remove_tree(left)
    remove_tree(paths.run)
    if paths.ws.labs.is_dir() and not any(paths.ws.labs.iterdir()):
        paths.ws.labs.rmdir()
    return there
