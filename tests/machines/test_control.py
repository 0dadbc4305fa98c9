"""The control API on container machines: workers join by themselves, are seen, cordoned, put out, and outlive it.

The tests follow each other: what one leaves is what the next begins with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.lab import cluster, images
from orlop.lab.cluster import wait_well
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.model.cluster.names import AGENT_STATUS
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
PYTHON = ("/usr/lib/orlop/runtime/usr/bin/python3.13", "-I", "-S", "-B", "-")
SECONDS = 120.0  # for what takes some seconds on a quiet computer; a copy is noticed at its third report
AGENT_BYTES = 40 << 20


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    made = cluster.plan("ct", servers=1, workers=2)
    plan = LabPlan(
        images.resolve(ws, str(image)), "ct", nodes=3, containers=3, given=made.given, cluster=made, memory_mib=1024
    )
    with watched(ws, plan) as there:
        wait_well(there.lab.nodes[:1], Steps(), timeout=SECONDS)
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def listed(lab: Lab) -> dict[str, dict[str, Any]]:
    """By host name."""
    ran = lab.nodes[0].run("orlop", "machine", "list", "--json")
    assert ran.code == 0, ran.err
    return {machine["host"]: machine for machine in json.loads(ran.out)["machines"]}


def until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.3)


def agent(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh(f"cat {AGENT_STATUS} 2> /dev/null || echo '{{}}'"))
    return found


def test_all_join_by_themselves_and_are_seen(lab: Lab) -> None:
    until(lambda: all(agent(node).get("connected") for node in lab.nodes), "not all have joined")
    machines = listed(lab)
    assert {host: machine["role"] for host, machine in machines.items()} == {
        "n1": "server", "n2": "worker", "n3": "worker",
    }  # fmt: skip
    for node in lab.nodes:
        assert node.ip in machines[node.name]["report"]["addresses"]
        assert machines[node.name]["report"]["boot"] == node.sh("cat /proc/sys/kernel/random/boot_id").strip()
    shown = lab.nodes[0].run("orlop", "machine", "list").out.splitlines()
    assert shown[0].split() == ["MACHINE", "HOST", "ROLE", "IS", "CORDONED"] and len(shown) == 4


def test_what_is_decided_reaches_the_machine_at_once(lab: Lab) -> None:
    assert lab.nodes[0].run("orlop", "machine", "cordon", "n2", "--reason", "new disk").code == 0
    asked = time.monotonic()
    until(lambda: agent(lab.nodes[1]).get("decided", {}).get("cordoned") == "new disk", "n2 does not know")
    assert time.monotonic() - asked < 25, "it was not told: it learned it when it reported, each half minute"
    assert listed(lab)["n2"]["cordoned"] == "new disk"
    assert lab.nodes[0].run("orlop", "machine", "uncordon", "n2").code == 0


def test_agents_outlive_the_control_plane(lab: Lab) -> None:
    before = {node.name: agent(node)["machine"] for node in lab.nodes}
    lab.nodes[0].run("systemctl", "kill", "--signal=SIGKILL", "orlop-control.service")
    lab.nodes[0].run("systemctl", "restart", "orlop-agent.service")
    lab.nodes[1].run("systemctl", "restart", "orlop-agent.service")
    until(lambda: all(agent(node).get("connected") for node in lab.nodes), "not all are back")
    assert {node.name: agent(node)["machine"] for node in lab.nodes} == before
    assert {machine["machine"] for machine in listed(lab).values()} == set(before.values())


JUNK = r"""
import os, socket, sys, time
junk = (b"", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", bytes(70000), os.urandom(70000), b"\x16\x03\x01\x00\xc8\x01")
held = []
for host, port in (pair.rsplit(" ", 1) for pair in sys.argv[1:]):
    for raw in junk:
        s = socket.create_connection((host, int(port)), 5)
        try:
            s.sendall(raw)
        except OSError:
            pass
        s.close()
    for _ in range(100):  # half open: they say nothing, and stay
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((host, int(port)))
        held.append(s)
time.sleep(5)
print(len(held))
"""


def test_junk_on_every_port_ends_no_process(lab: Lab) -> None:
    """Every TCP port that a server and a worker listen on, from another machine of the cluster's network."""
    ours = "systemctl show -P NRestarts -P MainPID orlop-etcd orlop-cluster orlop-control orlop-agent sshd.socket"
    targets, before = [], {}
    for node in lab.nodes[:2]:
        ports = {line.split()[3].rpartition(":")[2] for line in node.sh("ss -Hltn").splitlines()
                 if not line.split()[3].startswith(("127.", "[::1]"))}  # fmt: skip
        targets += [f"{node.ip} {port}" for port in sorted(ports)]
        before[node.name] = node.sh(ours)
    assert {target.split()[1] for target in targets} >= {"2379", "2380", "7443"}
    ran = lab.nodes[2].run(*PYTHON, *targets, stdin=JUNK.encode(), timeout=SECONDS)
    assert ran.code == 0 and int(ran.out) == 100 * len(targets), ran.err
    assert {node.name: node.sh(ours) for node in lab.nodes[:2]} == before
    assert set(listed(lab)) == {"n1", "n2", "n3"}
    wait_well(lab.nodes[:1], Steps(), timeout=SECONDS)


def test_a_copy_of_a_machine_with_its_key_is_refused(lab: Lab) -> None:
    """n3 boots with what a copy of n2's disk has: its machine id, its key and its certificate."""
    places = ["/var/lib/orlop/machine-id", *(f"/var/lib/orlop/agent/{name}" for name in ("machine.key", "machine.crt"))]
    copied, own = ({place: node.sh(f"cat {place}") for place in places} for node in lab.nodes[1:3])
    become(lab.nodes[2], copied)
    try:
        until(lambda: "another machine with this identity runs" in agent(lab.nodes[2]).get("why", ""), "nobody noticed")
        assert agent(lab.nodes[1])["connected"] is True
        is_how = listed(lab)["n2"]["presence"]
        assert is_how.startswith("doubled: another one with its identity runs at"), is_how
    finally:
        become(lab.nodes[2], own)
    until(lambda: agent(lab.nodes[2]).get("connected"), "n3 is not itself again")


def become(node: Node, files: dict[str, str]) -> None:
    """Put these on the machine's disk, and start it from that."""
    node.sh("systemctl stop orlop-agent")
    for place, text in files.items():
        node.sh(f"cat > {place}", stdin=text.encode())
    node.sh("sync")
    node.power_cut()
    node.start()
    wait_verdicts([node], Steps(), timeout=SECONDS)


def test_one_that_is_expelled_is_out(lab: Lab) -> None:
    assert lab.nodes[0].run("orlop", "machine", "expel", "n3", "--reason", "stolen").code == 0
    lab.nodes[2].run("systemctl", "restart", "orlop-agent.service")
    until(lambda: "was expelled: stolen" in agent(lab.nodes[2]).get("why", ""), "n3 does not know")
    assert set(listed(lab)) == {"n1", "n2"}


def test_a_worker_cannot_do_what_servers_do(lab: Lab) -> None:
    ran = lab.nodes[1].run("orlop", "machine", "list")
    assert ran.code == 2 and "this machine is a worker" in ran.err


def test_they_are_small_and_may_do_little(lab: Lab) -> None:
    for node, unit in ((lab.nodes[1], "orlop-agent"), (lab.nodes[0], "orlop-control")):
        said = node.sh(f"cat /proc/$(systemctl show -P MainPID {unit})/status")
        values = dict(line.split(":", 1) for line in said.splitlines())
        assert values["CapEff"].split() == values["CapBnd"].split() == ["0" * 16]
        assert values["NoNewPrivs"].split() == ["1"] and "0" not in values["Uid"].split()
        if unit == "orlop-agent":
            assert int(values["VmRSS"].split()[0]) * 1024 <= AGENT_BYTES
