"""Writes and reads by clients of a cluster of container machines, through cuts of the network and of the power.

One set of clients is on a machine that is never cut off, one on each of two servers, and is cut off with it. What all
of them saw must be the history of registers (tests/linearizable.py). A member that is cut off and asked for what it has
answers with what was true before: that history must be found out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orlop.lab import cluster, images
from orlop.lab.cluster import LabCluster, wait_well
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.model.cluster.names import STORE_PORT, url
from orlop.model.cluster.status import ClusterStatus
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.agents import SimulatedCa
from tests.linearizable import check
from tests.machines.machines import Machines, watched
from tests.recorder import Seen, by_register, told

SECONDS = 60.0
FAULT_SECONDS = 4.0
REGISTERS = ["r1", "r2", "r3"]


@pytest.fixture(scope="module")
def made() -> LabCluster:
    return cluster.plan("li", servers=3, workers=1)


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path, made: LabCluster) -> Iterator[Machines]:
    plan = LabPlan(
        images.resolve(ws, str(image)), "li", nodes=4, containers=4, given=made.given, cluster=made, memory_mib=1024
    )
    with watched(ws, plan) as there:
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


@pytest.fixture(scope="module")
def tls(made: LabCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a client of the store shows."""
    folder, key = tmp_path_factory.mktemp("client"), ec.generate_private_key(ec.SECP256R1())
    authority = SimulatedCa(made.founded.store.certificate, made.founded.store.key)
    signed = authority.sign(key.public_key(), "orlop", "recorder", timedelta(hours=2))
    (folder / "ca.crt").write_text(authority.certificate)
    (folder / "client.crt").write_text(signed)
    (folder / "client.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder


def well(lab: Lab) -> ClusterStatus:
    return wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)


def leader(lab: Lab) -> Node:
    (host,) = (member.host for member in well(lab).members if member.is_leader)
    return next(node for node in lab.nodes if node.ip == host)


@contextmanager
def clients(ws: Workspace, node: Node, tls: Path, **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A set of clients in the network of this machine, by this computer's own Python."""
    process = node.state().process
    assert process is not None
    asked = {"tls": str(tls), "name": node.name, "registers": REGISTERS, "within": 3.0, "stale": False,
             "clients": 3, "seed": 1, "seconds": 0.0} | given  # fmt: skip
    ran = subprocess.Popen(
        ["nsenter", f"--net=/proc/{process.pid}/ns/net", sys.executable, "-m", "tests.recorder"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ws.root,
    )  # fmt: skip
    try:
        assert ran.stdin is not None
        ran.stdin.write(json.dumps(asked))
        ran.stdin.close()
        ran.stdin = None
        yield ran
    finally:
        ran.kill()
        ran.communicate()


def what_it_saw(ran: subprocess.Popen[str], seconds: float) -> list[Seen]:
    out, _ = ran.communicate(timeout=seconds)
    assert ran.returncode == 0
    return told(out.splitlines())


def urls(nodes: list[Node]) -> list[str]:
    return [url(node.ip, STORE_PORT) for node in nodes]


def trouble(lab: Lab) -> list[str]:
    """One fault after another, each until it is over and the cluster is well again."""
    done = []
    for fault in ("cut a follower off", "cut the leader off", "power of the leader", "kill the leader's store"):
        first = leader(lab)
        victim = first if "leader" in fault else next(node for node in lab.nodes[:2] if node != first)
        done.append(f"{fault}: {victim.name}")
        match fault.split()[0]:
            case "cut":
                victim.cut()
                time.sleep(FAULT_SECONDS)
                victim.heal()
            case "power":
                victim.power_cut()
                time.sleep(FAULT_SECONDS)
                victim.start()
                wait_verdicts([victim], Steps(), timeout=SECONDS)
            case _:
                victim.run("systemctl", "kill", "--signal=SIGKILL", "orlop-etcd.service")
                time.sleep(FAULT_SECONDS)
        well(lab)
    return done


def test_what_clients_saw_through_cuts_and_kills_is_linearizable(
    ws: Workspace, lab: Lab, tls: Path, record_property: Callable[[str, object], None]
) -> None:
    well(lab)
    servers = lab.nodes[:3]
    length = 45.0
    with (
        clients(ws, lab.nodes[3], tls, urls=urls(servers), seconds=length) as whole,
        clients(ws, servers[0], tls, urls=urls(servers), seconds=length, seed=10) as first,
        clients(ws, servers[1], tls, urls=urls([*servers[1:], servers[0]]), seconds=length, seed=20) as second,
    ):
        began = time.monotonic()
        done = trouble(lab)
        record_property("faults", done)
        record_property("all of them took, s", time.monotonic() - began)
        seen = [one for each in (whole, first, second) for one in what_it_saw(each, length + 30)]
    record_property("operations", len(seen))
    record_property("without an answer", sum(op.end is None for _, op in seen))
    assert len(seen) > 1000
    assert max((op.end or op.start) - op.start for _, op in seen) > 0.5, "no fault was felt: nothing was proved"
    for register, history in by_register(seen).items():
        finding = check(history)
        assert finding.is_linearizable, (register, finding.stuck)


def test_what_a_member_that_is_cut_off_still_has_is_found_out(ws: Workspace, lab: Lab, tls: Path) -> None:
    """The checker sees a real stale read: the same clients, and one that asks only the member that is cut off."""
    mine = ["s1", "s2", "s3"]  # nobody has written them before
    first = leader(lab)
    lost = next(node for node in lab.nodes[:3] if node != first)
    others = [node for node in lab.nodes[:3] if node != lost]
    with clients(ws, lab.nodes[3], tls, urls=urls(others), seconds=3.0, name="a", registers=mine) as ran:
        seen = what_it_saw(ran, 30)
    # not unplugged: its own address would go, by which etcd's gateway asks etcd
    lost.sh("".join(f"ip route add blackhole {node.ip}/32;" for node in others))
    try:
        with clients(ws, lab.nodes[3], tls, urls=urls(others), seconds=6.0, name="b", seed=5, registers=mine) as ran:
            seen += what_it_saw(ran, 40)
        itself = [url("127.0.0.1", STORE_PORT)]
        with clients(ws, lost, tls, urls=itself, stale=True, name="stale", registers=mine) as ran:
            stale = what_it_saw(ran, 30)
    finally:
        lost.sh("".join(f"ip route del blackhole {node.ip}/32;" for node in others))
    assert all(check(history).is_linearizable for history in by_register(seen).values())
    assert len(stale) == len(mine)
    assert not all(check(history).is_linearizable for history in by_register([*seen, *stale]).values())
    well(lab)
