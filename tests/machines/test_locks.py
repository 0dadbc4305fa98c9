"""The reboot lock on container machines: three servers that are asked to reboot at once do it one by one.

The fourth is a server that waits for a place: it has a certificate for the store, and stays on. The tests follow each
other: what one leaves is what the next begins with.
"""

from __future__ import annotations

import json
import threading
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
from orlop.model.reset.request import REQUEST
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.clusters import WATCHER, run
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
SECONDS = 120.0  # for what takes some seconds on a quiet computer
REBOOT_SECONDS = 180.0  # of all three
LONGEST_GAP = 5.0  # seconds without a write while one of three is away: an election, and a client that tries the next


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    made = cluster.plan("cr", servers=4, workers=0)
    plan = LabPlan(
        images.resolve(ws, str(image)), "cr", nodes=4, containers=4, given=made.given, cluster=made, memory_mib=1024
    )
    with watched(ws, plan) as there:
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def locks(node: Node) -> dict[str, list[dict[str, Any]]]:
    """Who holds one, by group."""
    ran = node.run("orlop", "machine", "locks", "--json")
    assert ran.code == 0, ran.err
    return {group["group"]: group["holders"] for group in json.loads(ran.out)["groups"]}


def until(is_so: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.5)


def boot(node: Node) -> str:
    return node.sh("cat /proc/sys/kernel/random/boot_id").strip()


def all_listed(node: Node) -> bool:
    ran = node.run("orlop", "machine", "list", "--json")
    return ran.code == 0 and len(json.loads(ran.out)["machines"]) == 4


def test_one_holds_it_and_is_named_until_somebody_releases_it(lab: Lab) -> None:
    wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)
    until(lambda: all_listed(lab.nodes[0]), "not all have joined")
    n1, n2 = lab.nodes[:2]
    assert n1.run("orlop", "reboot", "--lock-only").code == 0
    (holder,) = locks(n2)["servers"]
    assert (holder["host"], holder["role"]) == ("n1", "server")
    refused = n2.run("orlop", "reboot")
    assert refused.code == 2 and "the slot of group servers is held: n1" in refused.err
    assert n2.run("orlop", "reset", "--yes").code == 2
    assert n2.run("test", "-e", REQUEST).code == 1, "a reset that is refused leaves no wish behind"
    shown = n2.run("orlop", "machine", "locks").out.splitlines()
    assert shown[0].split() == ["GROUP", "SLOTS", "HOLDER", "HOST", "SINCE", "IS"] and "n1" in shown[1]
    assert n2.run("orlop", "machine", "unlock", "n1", "--reason", "a test").code == 0
    assert locks(n2)["servers"] == []


def test_three_asked_at_once_reboot_one_by_one_and_the_store_answers(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    found = wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)
    hosts = [member.host for member in found.members]
    there = [node for node in lab.nodes if node.ip in hosts]
    (watcher,) = (node for node in lab.nodes if node.ip not in hosts)
    before = {node.name: boot(node) for node in there}
    said: list[str] = []
    script = WATCHER.format(hosts=hosts, seconds=REBOOT_SECONDS, stop="/run/stop", each=1.0)
    watching = threading.Thread(target=lambda: said.append(run(watcher, script, REBOOT_SECONDS + 60)))
    watching.start()
    begun = time.monotonic()
    asking = [threading.Thread(target=node.run, args=("orlop", "reboot", "--wait", "150")) for node in there]
    for thread in asking:
        thread.start()

    def is_over() -> bool:
        try:
            return all(boot(node) != before[node.name] for node in there) and not any(locks(watcher).values())
        except (AssertionError, OSError, RuntimeError):
            return False
        except Exception:  # noqa: BLE001  a machine that reboots in this moment
            return False

    until(is_over, "not all have rebooted and given the lock back", REBOOT_SECONDS - 10)
    record_property("seconds for three reboots", time.monotonic() - begun)
    watcher.sh("touch /run/stop")
    watching.join()
    for thread in asking:
        thread.join()
    seen = json.loads(said[0].splitlines()[-1])
    record_property("seconds without a write", seen["gap"])
    assert sorted(seen["were_away"]) == sorted(hosts), "each was away once"
    assert seen["away_at_once"] == 1, "never two"
    assert seen["gap"] < LONGEST_GAP
    wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)


def test_while_a_member_is_away_no_other_may_go(lab: Lab) -> None:
    found = wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)
    hosts = [member.host for member in found.members]
    lost, asks, *_ = (node for node in lab.nodes if node.ip in hosts)
    lost.power_cut()
    refused = asks.run("orlop", "reboot")
    assert refused.code == 2 and "the store needs this server" in refused.err and "does not answer" in refused.err
    lost.start()
    wait_well([asks], Steps(), timeout=SECONDS)
    until(lambda: asks.run("orlop", "reboot", "--lock-only").code == 0, "it is well again, and still refused")
    assert asks.run("orlop", "machine", "unlock", asks.name, "--reason", "a test").code == 0
