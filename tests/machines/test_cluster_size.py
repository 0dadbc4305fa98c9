"""A store of five members shrinks to one and grows to five again, by command, while somebody writes all the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orlop.lab import cluster, images
from orlop.lab.cluster import ask, wait_well
from orlop.lab.lab import Lab
from orlop.lab.plan import LabPlan
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.clusters import SECONDS, hosts, leader, orlop, run, until_said
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
LAB = "cz"
WRITER = """
Path("/run/stop").unlink(missing_ok=True)
last, worst, n = time.monotonic(), 0.0, 0
while not Path("/run/stop").exists():
    n += 1
    any_of(HOSTS, lambda e: e.put("/test/n", str(n)))
    worst, last = max(worst, time.monotonic() - last), time.monotonic()
    time.sleep(0.01)
print(json.dumps([n, worst]))
"""


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    made = cluster.plan(LAB, servers=5, workers=0)
    plan = LabPlan(
        images.resolve(ws, str(image)), LAB, nodes=5, containers=5, given=made.given, cluster=made, memory_mib=1024
    )
    with watched(ws, plan) as there:
        wait_well(there.lab.nodes, Steps(), timeout=SECONDS)
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def test_size_that_is_none_is_refused(lab: Lab) -> None:
    assert "1, 3 or 5 members, not 4" in orlop("cluster", "size", "n1", "4", "--name", LAB, code=1)
    ran = lab.nodes[0].run("orlop", "cluster", "size", "2")
    assert (ran.code, "1, 3 or 5 members, not 2" in ran.err) == (2, True)
    assert ask(lab.nodes[0]).size == 5


def test_it_shrinks_and_grows_and_goes_on_meanwhile(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    said: list[str] = []
    script = WRITER.replace("HOSTS", hosts(lab.nodes))
    writer = threading.Thread(target=lambda: said.append(run(lab.nodes[0], script, seconds=300)))
    writer.start()
    try:
        for size in (3, 1, 3, 5):
            told = orlop("cluster", "size", "n1", str(size), "--name", LAB)
            assert f"the store is to have {size} member" in told
            leads = leader(lab.nodes, ask(lab.nodes[0]))
            found = until_said(leads, f"{size} of {size} members answer", 2 * SECONDS)
            assert len(found.members) == size
            assert not any(member.is_learner for member in found.members)
    finally:
        lab.nodes[0].sh("touch /run/stop")
        writer.join()
    count, worst = json.loads(said[0].splitlines()[-1])
    record_property("writes while it changed", count)
    record_property("longest time without a write", worst)
    assert count > 100
    assert worst < 5.0
    wrote = run(lab.nodes[0], f'print(any_of({hosts(lab.nodes)}, lambda e: e.get("/test/n")))')
    assert wrote.strip() == str(count)
