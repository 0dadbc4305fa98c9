"""A set of nodes: bring it up, find it again, bring it down.

Lifetime: from `up` to `down`, over any number of our own processes. Invariants: a lab that did not come up whole is
removed by the one that tried, Ctrl-C included; `down` removes anything that bears the lab's name, without needing its
record; several labs live side by side and share nothing but the lock and the numbers of this computer's ports.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from orlop.errors import BadInput, Busy, CommandFailed, Missing, OrlopError, TimedOut
from orlop.files import need_space, remove_tree, write_atomic
from orlop.lab import accel, demo, ports, ssh
from orlop.lab import state as records
from orlop.lab.images import Image
from orlop.lab.machine import Node, launch, make_disk, make_empty_disk
from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.paths import DEFAULT_LAB, PROGRAMS, Paths, is_lab_name, make_private
from orlop.lab.pids import find, from_file, kill
from orlop.lab.ports import Forward
from orlop.lab.qemu import FIRMWARE_VARS, mac, private_ip
from orlop.lab.source import Given
from orlop.lab.state import Acceleration, LabState, NodeState
from orlop.lab.wait import wait_verdicts
from orlop.processes import run
from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace

MAX_NODES = 32
MAX_DATA_DISKS = 8
MAX_CPUS = 64
NODE_BYTES = 1_000_000_000  # what a node's disk may grow by soon
_GONE = ".gone-"


@dataclass(frozen=True)
class Plan:
    """What to bring up. `publish` holds for n1; each further node gets the host ports counted up by one. `given`: the
    user's configuration, one for all nodes or one for each. `data_disks_mib`: further disks, empty, a node.
    """

    image: Image
    name: str = DEFAULT_LAB
    nodes: int = 1
    cpus: int = 2
    memory_mib: int = 2048
    disk_gib: int = 12
    publish: tuple[Forward, ...] = ()
    demo: bool = False
    config: NodeConfig = field(default_factory=NodeConfig)
    given: tuple[Given, ...] = ()
    data_disks_mib: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise BadInput(f"--nodes {self.nodes} is not possible", hint=f"give 1 to {MAX_NODES}")
        if not 1 <= self.cpus <= MAX_CPUS:
            raise BadInput(f"--cpus {self.cpus} is not possible", hint=f"give 1 to {MAX_CPUS}")
        if not 256 <= self.memory_mib <= 1 << 20:
            raise BadInput(f"--memory {self.memory_mib} is not possible", hint="give MiB, for example 2048")
        if not 4 <= self.disk_gib <= 4096:
            raise BadInput(f"--disk {self.disk_gib} is not possible", hint="give GiB, 4 to 4096")
        if len(self.given) not in {0, 1, self.nodes}:
            raise BadInput(f"{len(self.given)} configurations for {self.nodes} nodes", hint="give one, or one a node")
        if len(self.data_disks_mib) > MAX_DATA_DISKS or any(not 16 <= mib <= 4 << 20 for mib in self.data_disks_mib):
            raise BadInput(
                f"--data-disk {' '.join(map(str, self.data_disks_mib))} is not possible",
                hint=f"give MiB, 16 or more, for at most {MAX_DATA_DISKS} disks",
            )
        guests = [22, *(f.guest for f in self.publish)]
        hosts = [f.host + i for f in self.publish if f.host for i in range(self.nodes)]
        if len(set(guests)) != len(guests) or len(set(hosts)) != len(hosts) or max(hosts, default=0) > 65535:
            raise BadInput(
                "--publish names a port twice, the node's SSH port 22, or one above 65535",
                hint="each HOST:GUEST needs its own ports; node k takes HOST+k-1",
            )

    def given_to(self, index: int) -> Given | None:
        """What node `index`, from 1, is given."""
        return self.given[(index - 1) % len(self.given)] if self.given else None


@dataclass(frozen=True)
class Lab:
    """A lab that exists. `state()` reads its record anew."""

    paths: Paths

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
    lab = Lab(Paths(ws, name))
    lab.state()
    return lab


def up(ws: Workspace, steps: Steps, plan: Plan) -> Lab:
    """Make a lab and power its nodes on; `bring_up` also waits for them.

    Raises Busy (the name or a port is taken), NoSpace, Missing (a tool), CommandFailed (with what QEMU said).
    """
    paths = Paths(ws, plan.name)
    _refuse_existing(paths)
    tree.ensure(ws, steps)
    how = accel.choose(ws)
    with records.lock(ws):
        _refuse_existing(paths)
        need_space(ws.state, plan.nodes * NODE_BYTES, f"a lab of {plan.nodes} nodes")
        nodes = _allocate(plan, _taken(ws), ports.home(str(paths.folder)))
        try:
            with steps.step(f"Starting lab {plan.name}: {plan.nodes} × {plan.memory_mib} MiB, {how.name} ({how.why})"):
                _make(paths, steps, plan, how, nodes)
        except BaseException:
            with undisturbed():
                _remove(paths)
            raise
    return Lab(paths)


def bring_up(ws: Workspace, steps: Steps, plan: Plan, *, timeout: float, keep_failed: bool = False) -> Lab:
    """`up`, then wait until every node's verdict is good. When that fails the lab is removed, its consoles are kept
    in `.orlop/logs`, and the error says where; with `keep_failed` the lab stays.
    """
    lab = up(ws, steps, plan)
    try:
        with steps.step(f"Waiting for {plan.nodes} verdict{'s' if plan.nodes > 1 else ''}"):
            wait_verdicts(lab.nodes, steps, timeout=timeout)
    except BaseException as e:
        if keep_failed and isinstance(e, OrlopError):
            raise
        with undisturbed():
            kept = _keep_consoles(lab.paths)
            _down_quietly(lab.paths)
        if isinstance(e, (CommandFailed, TimedOut)):
            for old, new in kept:
                e.message = e.message.replace(str(old), str(new))
            e.args = (e.message,)
        raise
    return lab


@contextmanager
def running(ws: Workspace, steps: Steps, plan: Plan, *, timeout: float) -> Iterator[Lab]:
    """A lab for the length of a block."""
    lab = bring_up(ws, steps, plan, timeout=timeout)
    try:
        yield lab
    finally:
        with undisturbed():
            _down_quietly(lab.paths)


def down(ws: Workspace, name: str) -> None:
    """Remove a lab, however broken: its processes, its folder, its sockets. Raises Missing when there is nothing."""
    paths = Paths(ws, name)
    with records.lock(ws), undisturbed():
        if not _remove(paths):
            raise Missing(f"there is no lab {name!r}", hint="`orlop lab list` shows the labs")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and the wish to end us until the block is over."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _refuse_existing(paths: Paths) -> None:
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
    held: set[int] = set()
    for name in names(ws):
        try:
            held.update(port for node in records.read(Paths(ws, name)).nodes for port in node.ports)
        except OrlopError:  # a broken lab holds what it holds by its processes only
            continue
    return held


def _allocate(plan: Plan, taken: set[int], near: int) -> tuple[NodeState, ...]:
    """Give every node its ports. Raises Busy before anything is made."""
    held = set(taken)

    def choose(wanted: int) -> int:
        port = wanted or ports.pick(held, near)
        ports.need_free(port, held)
        held.add(port)
        return port

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
        )
        for i, forwards in enumerate(given, 1)
    )


def _make(paths: Paths, steps: Steps, plan: Plan, how: Acceleration, nodes: tuple[NodeState, ...]) -> None:
    ws = paths.ws
    paths.folder.mkdir(parents=True, mode=0o700)
    make_private(paths.run)
    base = _base(paths, plan.image.raw)
    lab = LabState(
        name=plan.name,
        image=str(base),
        version=plan.image.version,
        created=int(time.time()),
        acceleration=how,
        run=str(paths.run),
        nodes=nodes,
        demo=plan.demo,
    )
    records.write(paths, lab)
    key = ssh.make_key(paths)
    extra = plan.config
    if plan.demo:
        demo.make_media(ws, steps, paths.media)
        extra = demo.config() + extra
    _start_switch(paths)
    lab = replace(lab, switch=from_file(paths.switch_pid))
    records.write(paths, lab)
    for node in nodes:
        at = paths.node(node.name)
        at.folder.mkdir()
        write_atomic(at.config, (_node_config(lab, node, key) + extra).tmpfiles(), mode=0o600)
        if given := plan.given_to(node.index):
            write_atomic(at.ignition, given.config, mode=0o600)
        shutil.copyfile(ws.sdk / FIRMWARE_VARS, at.vars)
        make_disk(paths, base, at.disk, plan.disk_gib)
        for number, mib in enumerate(plan.data_disks_mib, 1):
            make_empty_disk(paths, at.data_disk(number), mib)
    for node in nodes:
        lab = launch(paths, lab, node.name)


def _node_config(lab: LabState, node: NodeState, key: str) -> NodeConfig:
    addresses = {n.name: private_ip(n.index) for n in lab.nodes}
    made = NodeConfig().ssh_access(key).names(node.name, addresses)
    return made.private_address(mac(lab.name, node.index, 1), f"{private_ip(node.index)}/24")


def _base(paths: Paths, raw: Path) -> Path:
    try:
        os.link(raw, paths.base)
    except OSError:  # another file system, or a file that may not be linked: use it where it is
        return raw
    return paths.base


# `run` ends what is left in its process group. vde_switch leaves it when it makes itself a daemon, and writes its pid
# file after that: so the command lasts until both that and the socket are there.
_AND_LISTENS = (
    'ctl=$1 pid=$2; shift 2; "$@" || exit; for _ in $(seq 200); do '
    '[ -S "$ctl" ] && [ -s "$pid" ] && exit; sleep 0.05; done; exit 1'
)


def _start_switch(paths: Paths) -> None:
    argv = ["sh", "-c", _AND_LISTENS, "switch", str(paths.switch / "ctl"), str(paths.switch_pid)]
    argv += ["vde_switch", "-d", "-s", str(paths.switch), "-m", "0600", "-n", str(2 * MAX_NODES)]
    argv += ["-p", str(paths.switch_pid)]
    run(in_sdk(paths.ws, argv, die_with_parent=False), what="starting the private network", timeout=30)


def _down_quietly(paths: Paths) -> None:
    with records.lock(paths.ws):
        _remove(paths)


def _keep_consoles(paths: Paths) -> list[tuple[Path, Path]]:
    """Copy the console logs to `.orlop/logs`, where they outlive the lab. Returns (old, new) places."""
    kept = []
    for old in sorted(paths.folder.glob("n*/console.log")):
        new = paths.ws.state / "logs" / f"lab-{paths.name}-{old.parent.name}-console.log"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old, new)
        kept.append((old, new))
    return kept


def _remove(paths: Paths) -> bool:
    """End and delete everything of the lab; the caller holds the lock. False when there was nothing."""
    ours = (paths.folder, paths.run)
    there = any(place.exists() or place.is_symlink() for place in ours)
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
    for left in paths.ws.labs.glob(f"{_GONE}{paths.name}-*"):
        remove_tree(left)
    remove_tree(paths.run)
    if paths.ws.labs.is_dir() and not any(paths.ws.labs.iterdir()):
        paths.ws.labs.rmdir()
    return there
