"""A cluster on container machines: it forms by itself, and gets well by itself. Three members and a server that waits.

The tests follow each other: what one leaves is what the next begins with.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orlop.lab import cluster, images
from orlop.lab.cluster import ask, wait_well
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.model.cluster.status import ClusterStatus
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.clusters import SECONDS, hosts, leader, run, until_said
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
WRITES, LOST = "/run/test-writes", "/run/test-lost"


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    made = cluster.plan("cl", servers=4, workers=1, replace_after="10s")
    plan = LabPlan(
        images.resolve(ws, str(image)), "cl", nodes=5, containers=5, given=made.given, cluster=made, memory_mib=1024
    )
    with watched(ws, plan) as there:
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def servers(lab: Lab) -> list[Node]:
    return lab.nodes[:4]


def well(lab: Lab, *, among: list[Node] | None = None) -> ClusterStatus:
    return wait_well(among or servers(lab), Steps(), timeout=SECONDS)


def members(lab: Lab, status: ClusterStatus) -> list[Node]:
    """The machines that have a member."""
    hosts = {member.host for member in status.members}
    return [node for node in servers(lab) if node.ip in hosts]


def test_three_form_a_cluster_and_the_fourth_waits(lab: Lab) -> None:
    found = well(lab)
    assert (found.size, len(found.members)) == (3, 3)
    assert [member.is_learner for member in found.members] == [False] * 3
    waiting = next(node for node in servers(lab) if node not in members(lab, found))
    until_said(waiting, "waits for a place")
    assert {node.name for node in members(lab, found)} >= {"n1"}


def test_worker_has_no_key_and_none_of_the_units(lab: Lab) -> None:
    worker = lab.node("n5")
    assert worker.sh("ls -R /etc/orlop/cluster").split() == ["/etc/orlop/cluster:", "token"]
    assert worker.run("orlop", "cluster").code == 2
    loaded = worker.sh("systemctl list-units --all --plain --no-legend 'orlop-cluster*' 'orlop-etcd*'")
    assert loaded == ""
    listening = worker.sh("ss -Hltn")
    assert ":2379" not in listening
    assert ":2380" not in listening


def test_the_store_is_a_system_container_without_a_capability(lab: Lab) -> None:
    status = leader(servers(lab), well(lab)).sh(
        "pid=$(systemctl show -P MainPID orlop-etcd);"
        "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status;"
        "ls /proc/$pid/root/usr/bin; stat -c '%U %a' /var/lib/orlop/etcd /etc/orlop/cluster/store-ca.key"
    )
    words = status.split()
    assert "0" not in words[words.index("Uid:") + 1 : words.index("Uid:") + 5]
    assert words[words.index("CapEff:") + 1] == words[words.index("CapBnd:") + 1] == "0" * 16
    assert (words[words.index("NoNewPrivs:") + 1], words[words.index("Seccomp:") + 1]) == ("1", "2")
    assert words[-5:] == ["etcd", "orlop-etcd", "750", "root", "600"]


def test_the_store_takes_nobody_without_its_certificate(lab: Lab) -> None:
    script = """
import http.client, ssl
open_to_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
open_to_all.check_hostname = False
open_to_all.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection("127.0.0.1", 2379, context=open_to_all, timeout=5)
try:
    connection.request("POST", "/v3/kv/range", b'{"key": "AA=="}')
    print("it answers", connection.getresponse().status)
except OSError as e:  # TLS 1.3: a client learns that it is refused when it reads, or writes
    print("refused", e)
"""
    assert run(lab.node("n1"), script).startswith("refused")


def test_leader_loses_its_power_and_writes_go_on(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    found = well(lab)
    lost = leader(servers(lab), found)
    others = [node for node in members(lab, found) if node != lost]
    script = f"""
end, last, worst, n, after = time.monotonic() + {SECONDS}, time.monotonic(), 0.0, 0, 0
while after < 50 and time.monotonic() < end:
    n += 1
    any_of({hosts(others)}, lambda e: e.put("/test/n", str(n)))
    Path("{WRITES}").touch()
    worst, last = max(worst, time.monotonic() - last), time.monotonic()
    after += worst > 0.5 and Path("{LOST}").exists()
    time.sleep(0.01)
print(json.dumps([n, worst, after]))
"""
    said: list[str] = []
    writer = threading.Thread(target=lambda: said.append(run(others[0], script, 2 * SECONDS)))
    writer.start()
    others[0].sh(f"until [ -e {WRITES} ]; do sleep 0.1; done")
    lost.power_cut()
    others[0].sh(f"touch {LOST}")
    writer.join()
    count, worst, after = json.loads(said[0].splitlines()[-1])
    record_property("seconds without a write", worst)
    assert after == 50, "there was no gap at all, or no other leader"
    assert run(others[0], f'print(any_of({hosts(others)}, lambda e: e.get("/test/n")))').strip() == str(count)


def test_server_that_waited_takes_the_place_of_the_lost_one(lab: Lab) -> None:
    on = [node for node in servers(lab) if node.running]
    assert len(on) == 3
    until = time.monotonic() + SECONDS
    while members(lab, found := well(lab, among=on)) != on:  # what a server wrote down may be of before the power cut
        assert time.monotonic() < until, found
        time.sleep(0.5)
    assert all(member.answers for member in found.members)


def test_lost_server_that_comes_back_knows_that_its_place_is_taken(lab: Lab) -> None:
    (lost,) = (node for node in servers(lab) if not node.running)
    lost.start()
    wait_verdicts([lost], Steps(), timeout=SECONDS)
    until = time.monotonic() + SECONDS
    while "waits for a place" not in (said := ask(lost).why):
        assert time.monotonic() < until, said
        time.sleep(0.3)
    assert lost.sh("ls /var/lib/orlop/etcd") == ""


def test_all_lose_their_power_at_once_and_nothing_is_lost(lab: Lab) -> None:
    found = well(lab)
    there = members(lab, found)
    run(there[0], f'any_of({hosts(there)}, lambda e: e.put("/test/all", "kept"))')
    for node in servers(lab):
        node.power_cut()
    for node in servers(lab):
        node.start()
    wait_verdicts(servers(lab), Steps(), timeout=SECONDS)
    again = well(lab)
    assert {m.name for m in again.members} == {m.name for m in found.members}
    assert run(there[0], f'print(any_of({hosts(there)}, lambda e: e.get("/test/all")))').strip() == "kept"
