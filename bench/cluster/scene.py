"""The figures of a cluster, one function each, one after the other on one lab of container machines.

Three servers and two workers; the second worker is off at first, so that its joining can be measured. The same machines
without a cluster, in the same run, tell a slow computer from a slow cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.figures import Figure, FigureTarget
from orlop.errors import Missing, OrlopError, TimedOut
from orlop.lab import cluster as clusters
from orlop.lab import lab
from orlop.lab.cluster import LabCluster, wait_well
from orlop.lab.images import LabImage
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.model.cluster.names import AGENT_STATUS, AGENT_UNIT, CONTROL_UNIT, STORE_UNIT, Role
from orlop.model.cluster.status import ClusterStatus
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB, PLAIN = "bench-cluster", "bench-plain"
SERVERS, WORKERS = 3, 2
COUNT = 1000
SECONDS = 180.0  # for anything to happen
STEADY_SECONDS = 30.0
WRITE_SECONDS = 8.0
POLL = 0.05


@dataclass
class ClusterScene:
    """`values`: what was found so far, by key. `made`: what the lab's machines are given."""

    ws: Workspace
    steps: Steps
    image: LabImage
    payload: float
    made: LabCluster = field(init=False)
    lab: Lab = field(init=False)
    values: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.made = clusters.plan("bench", SERVERS, WORKERS)

    def clear(self) -> None:
        for name in (LAB, PLAIN):
            with suppress(Missing):
                lab.down(self.ws, name)

    @property
    def servers(self) -> list[Node]:
        return [node for node in self.lab.nodes[:SERVERS] if node.running]

    def well(self) -> ClusterStatus:
        return wait_well(self.servers, self.steps, timeout=SECONDS)

    def leader(self) -> Node:
        (host,) = (member.host for member in self.well().members if member.is_leader)
        return next(node for node in self.servers if node.ip == host)


def plain(scene: ClusterScene) -> float:
    """From `up` to good verdicts of as many machines that are in no cluster. Leaves nothing."""
    began, number = time.monotonic(), SERVERS + WORKERS
    made = lab.up(scene.ws, scene.steps, LabPlan(scene.image, name=PLAIN, nodes=number, containers=number))
    try:
        wait_verdicts(made.nodes, scene.steps, timeout=SECONDS)
        return time.monotonic() - began
    finally:
        lab.down(scene.ws, PLAIN)


def forming(scene: ClusterScene) -> float:
    """From `up` to a store whose three members answer. Leaves the lab, its second worker off."""
    number, began = SERVERS + WORKERS, time.monotonic()
    plan = LabPlan(scene.image, name=LAB, nodes=number, containers=number, given=scene.made.given, cluster=scene.made,
                   memory_mib=1024)  # fmt: skip
    scene.lab = lab.up(scene.ws, scene.steps, plan)
    scene.lab.nodes[-1].power_cut()  # it has not joined anything: there is nothing to join yet
    scene.well()
    took = time.monotonic() - began
    _until(lambda: all(_agent(node).get("connected") for node in scene.lab.nodes[:-1]), "not all have joined")
    return took


def forming_of_plain(scene: ClusterScene) -> float:
    return scene.values["forming"] / scene.values["plain"]


def joining(scene: ClusterScene) -> float:
    """Of the worker that was off: from its agent's start to the moment it has joined, by its own clock."""
    node, began = scene.lab.nodes[-1], time.monotonic()
    node.start()
    _until(lambda: _agent(node).get("connected"), "the worker does not join")
    scene.values["joining_power"] = time.monotonic() - began
    started = int(node.sh(f"systemctl show -P ExecMainStartTimestampMonotonic {AGENT_UNIT}")) / 1e6
    lines = node.sh(f"journalctl --unit={AGENT_UNIT} --output=json --boot --no-pager").splitlines()
    said = [json.loads(line) for line in lines]
    joined = [e for e in said if "has joined cluster" in str(e.get("MESSAGE"))]
    if not joined:
        raise OrlopError(f"{node.name} does not say that it has joined", hint=f"journalctl -u {AGENT_UNIT} there")
    return int(joined[-1]["__MONOTONIC_TIMESTAMP"]) / 1e6 - started


def joining_power(scene: ClusterScene) -> float:
    """Found while it joined."""
    return scene.values["joining_power"]


def leader_lost(scene: ClusterScene) -> float:
    """The longest time without an accepted write while the leader's machine loses its power; it is started again."""
    lost = scene.leader()
    writer = next(node for node in scene.servers if node != lost)
    hosts = [lost.ip, *(node.ip for node in scene.servers if node != lost)]
    with outside(scene, writer, "write", servers=hosts, seconds=WRITE_SECONDS) as run:
        run.hear()
        time.sleep(2.0)
        lost.power_cut()
        found = run.hear()
    lost.start()
    wait_verdicts([lost], scene.steps, timeout=SECONDS)
    scene.well()
    return float(found["worst"])


def agent_memory(scene: ClusterScene) -> float:
    """The largest of all machines."""
    return max(_memory(node, AGENT_UNIT) for node in scene.lab.nodes)


def control_memory_alone(scene: ClusterScene) -> float:
    return max(_memory(node, CONTROL_UNIT) for node in scene.servers)


def thousand(scene: ClusterScene) -> float:
    """The memory of the control that a thousand machines report to; what else is found is kept for the next figures."""
    token = str(scene.made.founded.token(Role.WORKER, datetime.now(UTC) + timedelta(hours=1)))
    worker, first = scene.lab.nodes[-1], scene.servers[0]
    hosts = [first.ip, *(node.ip for node in scene.servers[1:])]
    values = scene.values
    with outside(scene, worker, "crowd", servers=hosts, count=COUNT, token=token) as run:
        values["joined"] = run.hear()["joined"]
        before, began = {node: _spent(node) for node in scene.servers}, time.monotonic()
        time.sleep(STEADY_SECONDS)
        seconds = time.monotonic() - began
        spent = {unit: sum(_spent(node)[unit] - before[node][unit] for node in before) for unit in before[first]}
        values["control_share"], values["store_share"] = (spent[unit] / seconds for unit in (CONTROL_UNIT, STORE_UNIT))
        values["store_memory"] = max(_memory(node, STORE_UNIT) for node in scene.servers)
        memory = _memory(first, CONTROL_UNIT)
        run.go_on()
        said = run.hear()
    if said["failures"]:
        raise OrlopError(f"not all reports were taken: {said['failures']}")
    values |= {"writes": said["writes"], "latency": said["latency"] * 1e3, "own": said["own"] * 1e3}
    return memory


def found(key: str) -> Callable[[ClusterScene], float]:
    """A figure that an earlier one has found beside its own."""
    return lambda scene: scene.values[key]


def fan_out(scene: ClusterScene) -> float:
    machine = _agent(scene.lab.nodes[0])["machine"]
    first = scene.servers[0]
    with outside(scene, scene.lab.nodes[-1], "fan_out", servers=[first.ip], count=COUNT, machine=machine) as run:
        run.hear()
        run.go_on()
        return float(run.hear()["worst"]) * 1e3


def payload(scene: ClusterScene) -> float:
    return scene.payload


# What is measured, in this order. A smaller value is always the better one.
FIGURES: tuple[tuple[Figure, Callable[[ClusterScene], float]], ...] = (
    (Figure("plain", f"{SERVERS + WORKERS} container machines without a cluster: up to good verdicts", "s"), plain),
    (Figure("forming", "  as 3 servers and 2 workers: up to a healthy cluster", "s", FigureTarget(15)), forming),
    (Figure("forming_of_plain", "  of it, in parts of the former", ""), forming_of_plain),
    (Figure("joining", "a worker joins, from its agent's start", "s", FigureTarget(2)), joining),
    (Figure("joining_power", "  from its power on", "s"), joining_power),
    (Figure("leader_lost", "leader's power cut: up to the next accepted write", "s", FigureTarget(2)), leader_lost),
    (Figure("agent_memory", "memory of the agent, the largest", "bytes", FigureTarget(40e6)), agent_memory),
    (Figure("control_alone", "memory of control, without machines", "bytes"), control_memory_alone),
    (Figure("thousand", f"  with {COUNT} machines", "bytes", FigureTarget(120e6)), thousand),
    (Figure("joined", f"  {COUNT} joined, by their tokens", "s"), found("joined")),
    (Figure("control_share", "  all of control at rest, of one core", "", FigureTarget(0.2)), found("control_share")),
    (Figure("store_share", "  all of etcd, of one core", ""), found("store_share")),
    (Figure("store_memory", "  memory of etcd, the largest", "bytes"), found("store_memory")),
    (Figure("writes", "  writes a second, of a machine", "", FigureTarget(0.2)), found("writes")),
    (Figure("latency", "  a report, handshake included, the median", "ms"), found("latency")),
    (Figure("own", "  one is told what was decided about it", "ms", FigureTarget(1000)), found("own")),
    (Figure("fan_out", f"a change: up to the last of {COUNT} who watch", "ms", FigureTarget(1000)), fan_out),
    (Figure("payload", "payload of the image", "bytes", FigureTarget(160e6)), payload),
)


@dataclass
class OutsideRun:
    process: subprocess.Popen[str]

    def hear(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise OrlopError(f"bench.cluster.outside ended with {self.process.wait()}", hint="see what it said above")
        values: Mapping[str, Any] = json.loads(line)
        return values

    def go_on(self) -> None:
        self.send("")

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@contextmanager
def outside(scene: ClusterScene, node: Node, deed: str, **given: Any) -> Iterator[OutsideRun]:
    """Such a process, in the network of `node`; it is gone when the block ends."""
    record, founded = node.state().process, scene.made.founded
    assert record is not None
    given |= {
        "ca": founded.ca.certificate, "ca_key": founded.ca.key,
        "store_ca": founded.store.certificate, "store_ca_key": founded.store.key,
    }  # fmt: skip
    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/{record.pid}/ns/net", sys.executable, "-m", "bench.cluster.outside", deed],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=scene.ws.root,
    )  # fmt: skip
    try:
        run = OutsideRun(process)
        run.send(json.dumps(given))
        yield run
    finally:
        process.kill()
        process.communicate()


def _until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > end:
            raise TimedOut(f"{what} within {SECONDS:.0f} s")
        time.sleep(POLL)


def _agent(node: Node) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(node.sh(f"cat {AGENT_STATUS} 2> /dev/null || echo '{{}}'"))
    except (OrlopError, ValueError):  # it is starting
        return {}
    return found


def _memory(node: Node, unit: str) -> float:
    """Its resident size, in bytes."""
    said = node.sh(f"cat /proc/$(systemctl show -P MainPID {unit})/status")
    return next(float(int(line.split()[1]) << 10) for line in said.splitlines() if line.startswith("VmRSS:"))


def _spent(node: Node) -> dict[str, float]:
    """Processor seconds of control and of the store on a server, with those of children that have ended."""
    spent = {}
    for unit in (CONTROL_UNIT, STORE_UNIT):
        words = node.sh(f"cat /proc/$(systemctl show -P MainPID {unit})/stat").rpartition(")")[2].split()
        spent[unit] = sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return spent
