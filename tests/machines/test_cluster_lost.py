"""A cluster in trouble on container machines: alarms, a member whose data are damaged, and all servers lost for good.

Three servers and a worker. The tests follow each other: what one leaves is what the next begins with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orlop.errors import OrlopError
from orlop.lab import cluster, images
from orlop.lab.cluster import LabCluster, ask, wait_well
from orlop.lab.lab import Lab
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.model.cluster.names import AGENT_STATUS
from orlop.model.cluster.status import ClusterStatus
from orlop.steps import Steps
from orlop.store.snapshot.data import BUMP
from orlop.workspace import Workspace
from tests.machines.booting import new_disks
from tests.machines.clusters import SECONDS, hosts, leader, orlop, run, until_said
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
LAB = "cr"
# one value in its database is another one, as after a broken disk; its checksums are right
# a disk of its own, since all of these machines have this computer's, and a program that fills what is free on it
OWN_DISK = """
set -e
systemctl stop orlop-cluster orlop-etcd
cp -a /var/lib/orlop/etcd /var/lib/orlop/aside
mount -t tmpfs -o size=300m,mode=750,uid=972,gid=972 tmpfs /var/lib/orlop/etcd
cp -a /var/lib/orlop/aside/. /var/lib/orlop/etcd
cat > /run/systemd/system/fill.service <<END
[Service]
WorkingDirectory=/var/lib/orlop/etcd
ExecStart=sh -c 'while sleep 0.2; do dd if=/dev/zero of=filler oflag=append conv=notrunc bs=64K; done'
END
systemctl daemon-reload
systemctl start --no-block orlop-cluster
"""


@pytest.fixture(scope="module")
def planned() -> LabCluster:
    return cluster.plan(LAB, servers=3, workers=1, replace_after="10s")


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path, planned: LabCluster) -> Iterator[Machines]:
    plan = LabPlan(
        images.resolve(ws, str(image)),
        LAB,
        nodes=4,
        containers=4,
        given=planned.given,
        cluster=planned,
        memory_mib=1024,
    )
    with watched(ws, plan) as there:
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup") / "cr.snapshot"


def well(lab: Lab) -> ClusterStatus:
    return wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)


def test_snapshot_is_taken_by_itself_and_by_hand(lab: Lab, saved: Path) -> None:
    well(lab)
    run(lab.nodes[0], f'any_of({hosts(lab.nodes[:3])}, lambda e: e.put("/test/all", "kept"))')
    end = time.monotonic() + SECONDS
    while not all(ask(node).snapshots.at for node in lab.nodes[:3]):
        assert time.monotonic() < end, [ask(node).snapshots for node in lab.nodes[:3]]
        time.sleep(0.3)
    assert "last snapshot on this server" in orlop("cluster", "status", "n1", "--name", LAB)
    told = orlop("cluster", "backup", "n2", "--name", LAB, "-o", str(saved))
    assert f"{saved} has cluster {LAB} at revision " in told
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "is there already" in orlop("cluster", "backup", "n2", "--name", LAB, "-o", str(saved), code=1)
    assert "this machine is a worker" in orlop("cluster", "backup", "n4", "--name", LAB, "-o", f"{saved}2", code=1)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_doctor_finds_it_sound(lab: Lab) -> None:
    told = json.loads(lab.nodes[1].run("orlop", "cluster", "doctor", "--json").out)
    checks = {check["check"]: check for check in told["checks"]}
    # this computer's disks are shared by all machines, and judged as they are
    assert {name for name, check in checks.items() if check["grade"] != "good"} <= {"disks"}
    assert checks.keys() >= {"quorum", "leader", "members", "space", "disks", "clocks", "certificates", "snapshots"}
    assert "clocks of 3 servers agree" in checks["clocks"]["said"]


def test_full_store_makes_room_and_ends_its_alarm(lab: Lab) -> None:
    found = well(lab)
    script = f"""
for n in range(30):
    any_of({hosts(lab.nodes[:3])}, lambda e: e.put("/test/n", "x" * 100_000))
before = any_of({hosts(lab.nodes[:1])}, lambda e: e.status())
alarm = {{"action": "ACTIVATE", "memberID": str(before.member), "alarm": "NOSPACE"}}
Endpoint("{lab.nodes[0].ip}", context)._ask("maintenance/alarm", alarm)
until, now = time.monotonic() + {SECONDS}, before
while now.alarms or now.bytes_used >= before.bytes_used / 2:
    assert time.monotonic() < until, now
    time.sleep(0.1)
    now = any_of({hosts(lab.nodes[:1])}, lambda e: e.status())
any_of({hosts(lab.nodes[:1])}, lambda e: e.put("/test/after", "it takes writes"))
print(json.dumps([before.bytes_used, now.bytes_used]))
"""
    before, after = json.loads(run(lab.nodes[0], script, 2 * SECONDS))
    assert after < before / 2, "its history was not given up"
    assert {m.name for m in well(lab).members} == {m.name for m in found.members}


def ids(lab: Lab) -> dict[str, int]:
    """The members, by the address that they have."""
    script = f"""
found = any_of({hosts(lab.nodes[:3])}, lambda e: e.members())
print(json.dumps({{m.peer: m.id for m in found.members}}))
"""
    found: dict[str, int] = json.loads(run(next(n for n in lab.nodes[:3] if n.running), script))
    return found


@pytest.mark.parametrize("of_the_leader", [False, True])
def test_member_with_other_data_is_taken_out_and_learns(lab: Lab, of_the_leader: bool) -> None:
    found, before = well(lab), ids(lab)
    lead = leader(lab.nodes[:3], found)
    node = lead if of_the_leader else next(n for n in lab.nodes[:3] if n != lead)
    peer = f"https://{node.ip}:2380"
    script = f"""
alarm = {{"action": "ACTIVATE", "memberID": "{before[peer]}", "alarm": "CORRUPT"}}
Endpoint("{node.ip}", context)._ask("maintenance/alarm", alarm)
"""
    run(node, script)
    end = time.monotonic() + SECONDS
    while (now := ids(lab)).get(peer, before[peer]) == before[peer]:
        assert time.monotonic() < end, (now, [ask(n).why for n in lab.nodes[:3]])
        time.sleep(0.2)
    again = well(lab)
    while any(m.troubles for m in again.members):  # a server tells what it saw a moment ago
        assert time.monotonic() < end, again
        time.sleep(0.5)
        again = well(lab)
    assert len(again.members) == 3
    assert run(node, f'print(any_of({hosts(lab.nodes[:3])}, lambda e: e.get("/test/all")))').strip() == "kept"


def test_full_disk_of_one_server_is_said_and_nothing_is_lost(lab: Lab, machines: Machines) -> None:
    node = next(n for n in lab.nodes[:3] if n != leader(lab.nodes[:3], well(lab)))
    others = [n for n in lab.nodes[:3] if n != node]
    node.sh(OWN_DISK)
    well(lab)
    with machines.expect(node, "failed to start"):
        node.sh("systemctl start --no-block fill")
        until_said(node, "/var has 0 MB free, too few for its member")
        script = f"""
until, n, status = time.monotonic() + {SECONDS}, 0, Path("/run/orlop/cluster/status.json")
while "answer" not in json.loads(status.read_text())["why"].replace("members answer", ""):
    assert time.monotonic() < until, "its etcd has room still"
    n += 1
    any_of({hosts(others)}, lambda e: e.put(f"/test/full/{{n % 50}}", str(n) * 20_000))
any_of({hosts(others)}, lambda e: e.put("/test/while-full", "written"))
"""
        run(leader(lab.nodes[:3], ask(others[0])), script, seconds=2 * SECONDS)
        until_said(node, "its etcd does not answer: /var has 0 MB free, too few for its member")
        node.sh("systemctl stop fill; rm /var/lib/orlop/etcd/filler")
        assert len(well(lab).members) == 3
    assert run(node, f'print(any_of({hosts([node])}, lambda e: e.get("/test/while-full")))').strip() == "written"


def test_restore_is_refused_while_the_cluster_is_there(lab: Lab, saved: Path) -> None:
    well(lab)
    told = orlop("cluster", "restore", "n1", str(saved), "--name", LAB, code=1)
    assert "this server has data of a store already" in told
    assert "hint: `orlop node reset`" in told


def test_all_servers_are_lost_and_the_cluster_begins_anew_from_the_backup(
    lab: Lab, saved: Path, planned: LabCluster, record_property: Callable[[str, object], None]
) -> None:
    before = ask(lab.nodes[0])
    run(lab.nodes[0], f'any_of({hosts(lab.nodes[:3])}, lambda e: e.put("/test/later", "after the backup"))')
    old = int(run(lab.nodes[0], f"print(any_of({hosts(lab.nodes[:3])}, lambda e: e.members()).cluster)"))
    revision = int(run(lab.nodes[0], f"print(any_of({hosts(lab.nodes[:3])}, lambda e: e.status()).revision)"))
    servers = lab.nodes[:3]
    for node in servers:
        node.power_cut()
        new_disks(node)
        # as the guide has it: none of them may make an empty store
        node.reconfigure(cluster.given(planned.founded.server()))
    begun = time.monotonic()
    for node in servers:
        node.start()
    wait_verdicts(servers, Steps(), timeout=2 * SECONDS)
    until_said(servers[1], "no server of the cluster answers yet")

    damaged = saved.with_name("damaged")
    damaged.write_bytes(saved.read_bytes()[:-1])
    assert "is not a whole snapshot" in orlop("cluster", "restore", "n2", str(damaged), "--name", LAB, code=1)
    told = orlop("cluster", "restore", "n2", str(saved), "--name", LAB)
    assert f"cluster {LAB} begins anew with what it had at revision" in told

    after = well(lab)
    record_property("seconds from power on to a cluster of three", time.monotonic() - begun)
    assert {m.host for m in after.members} == {m.host for m in before.members}
    everywhere = hosts(servers)
    assert run(servers[0], f'print(any_of({everywhere}, lambda e: e.get("/test/all")))').strip() == "kept"
    assert run(servers[0], f'print(any_of({everywhere}, lambda e: e.get("/test/later")))').strip() == "None"
    assert int(run(servers[0], f"print(any_of({everywhere}, lambda e: e.members()).cluster)")) != old
    now = int(run(servers[0], f"print(any_of({everywhere}, lambda e: e.status()).revision)"))
    assert BUMP < now < 2 * BUMP
    assert now > revision
    refused = servers[2].run("orlop", "cluster", "restore", stdin=b"")
    assert refused.code == 2
    assert "has data of a store already" in refused.err


def test_worker_goes_on_with_the_new_cluster(lab: Lab) -> None:
    """Its certificate is of the cluster's CA, and its record was in the backup or is made anew."""
    end = time.monotonic() + SECONDS
    while True:
        with suppress(OrlopError, ValueError):
            said = json.loads(lab.node("n4").sh(f"cat {AGENT_STATUS}"))
            listed = json.loads(lab.nodes[0].run("orlop", "machine", "list", "--json").out)["machines"]
            if said.get("connected") and {m["host"] for m in listed} == {"n1", "n2", "n3", "n4"}:
                return
        assert time.monotonic() < end, (lab.node("n4").sh(f"cat {AGENT_STATUS}"), listed)
        time.sleep(0.5)
