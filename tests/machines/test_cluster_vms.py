"""A cluster of whole machines: it forms, survives a power cut of its leader, and follows an update one by one.

Three servers are emulated; a worker is a container machine. The test gives it a server's certificate for the store:
it does not reboot, so it is from there that the store is watched. The tests follow each other.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import OrlopError
from orlop.lab import cluster, images
from orlop.lab.cluster import wait_well
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdict
from orlop.model.cluster.names import CA_FILE, CERTIFICATE_FILE, KEY_FILE, STORE_TLS
from orlop.model.cluster.status import ClusterStatus
from orlop.model.words.version import Version
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.variants import Releases
from tests.machines.clusters import WATCHER, run
from tests.machines.machines import Machines, watched
from tests.machines.publisher import Publisher, publishing
from tests.machines.updates import slot, status

pytestmark = [pytest.mark.follows, pytest.mark.long]
NOW = ("--waves", "at-once", "--patches", "0")
SECONDS = 600.0
UPDATE_SECONDS = 1500.0  # of three emulated machines, one after another
LONGEST_GAP = 30.0  # seconds without a write: an emulated machine takes long to elect a leader


@pytest.fixture(scope="module")
def publisher(ws: Workspace, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(ws, tmp_path_factory.mktemp("publisher") / "release") as there:
        there.release("publish", str(image), *NOW)
        yield there


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path, publisher: Publisher) -> Iterator[Machines]:
    follows = publisher.follower("alpha").split("\n", 2)[2]  # the head is there already
    made = cluster.plan("cv", servers=3, workers=1, more=follows)
    plan = LabPlan(
        images.resolve(ws, str(image)), "cv", nodes=4, containers=1, given=made.given, cluster=made, cpus=1,
        memory_mib=1024,
    )  # fmt: skip
    with watched(ws, plan) as there:
        watcher = there.lab.node("n4")
        watcher.sh(f"mkdir -p {STORE_TLS}")
        for file in (CA_FILE, CERTIFICATE_FILE, KEY_FILE):
            watcher.sh(f"cat > {STORE_TLS}/{file}", stdin=there.lab.node("n1").sh(f"cat {STORE_TLS}/{file}").encode())
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def well(lab: Lab) -> ClusterStatus:
    """As a member of the store sees it."""
    return wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)


@pytest.fixture
def watcher(lab: Lab) -> Node:
    return lab.node("n4")


def hosts(found: ClusterStatus) -> list[str]:
    return [member.host for member in found.members]


def test_whole_machines_form_a_cluster(lab: Lab, watcher: Node) -> None:
    found = well(lab)
    assert sorted(hosts(found)) == sorted(node.ip for node in lab.nodes[:3])
    limits = lab.node("n1").sh("systemctl show -P MemoryMax -P MemoryCurrent orlop-etcd.service").split()
    assert 0 < int(limits[1]) < int(limits[0]) == 384 << 20  # which container machines do not keep to
    script = f'any_of({hosts(found)!r}, lambda e: e.put("/test/vms", "kept")); print("written")'
    assert run(watcher, script) == "written\n"


def test_the_leader_loses_its_power_and_writes_go_on(
    lab: Lab, watcher: Node, record_property: Callable[[str, object], None]
) -> None:
    found = well(lab)
    (host,) = (member.host for member in found.members if member.is_leader)
    lost = next(node for node in lab.nodes if node.ip == host)
    others = [other for other in hosts(found) if other != host]
    lost.power_cut()
    cut = time.monotonic()
    script = f'any_of({others!r}, lambda e: e.put("/test/vms", "kept twice")); print("written")'
    assert run(watcher, script, SECONDS) == "written\n"
    record_property("seconds to the next write", time.monotonic() - cut)
    lost.start()
    wait_verdict(lost, Steps(), timeout=SECONDS)
    again = well(lab)
    assert {m.name for m in again.members} == {m.name for m in found.members}
    assert run(watcher, f'print(any_of(["{lost.ip}"], lambda e: e.get("/test/vms")))').strip() == "kept twice"


def test_an_update_takes_them_one_by_one_and_the_store_answers(
    lab: Lab, watcher: Node, publisher: Publisher, releases: Releases, record_property: Callable[[str, object], None]
) -> None:
    members = hosts(well(lab))
    said: list[str] = []
    script = WATCHER.format(hosts=members, seconds=UPDATE_SECONDS + 60, stop="/run/stop", each=5.0)
    watching = threading.Thread(target=lambda: said.append(run(watcher, script, UPDATE_SECONDS + 120)))
    watching.start()
    begun = time.monotonic()
    publisher.release("publish", str(releases.make(1)), *NOW)
    for node in lab.nodes[:3]:
        arrived(node, releases.version(1), begun + UPDATE_SECONDS)
    record_property("seconds for three updates", time.monotonic() - begun)
    watcher.sh("touch /run/stop")
    watching.join()
    seen = json.loads(said[0].splitlines()[-1])
    record_property("seconds without a write", seen["gap"])
    assert sorted(seen["were_away"]) == sorted(members), "each was away once"
    assert seen["away_at_once"] == 1, "never two"
    assert seen["gap"] < LONGEST_GAP
    again = well(lab)
    assert sorted(hosts(again)) == sorted(members)
    holders = json.loads(lab.node("n1").run("orlop", "machine", "locks", "--json").out)["groups"][0]["holders"]
    assert holders == []


def arrived(node: Node, version: Version, until: float) -> dict[str, Any]:
    """Its status, once it runs the version and its engine rests."""
    found: dict[str, Any] = {}
    while time.monotonic() < until:
        with suppress(OrlopError, ValueError, AssertionError):
            found = status(node)
            if slot(found, version)["running"] and found["state"]["is"] == "idle":
                return found
        time.sleep(10.0)  # asking costs an emulated machine a second or two
    raise AssertionError(f"{node.name}: {found}")
