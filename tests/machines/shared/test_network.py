"""The private network between the nodes, and what unplugging one does to it and to everything else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orlop.errors import Busy, TimedOut
from orlop.lab import demo
from orlop.lab.machine import Node
from tests.machines.machines import Machines


def reaches(node: Node, other: str, *, timeout: int = 5) -> bool:
    """Whether the demo on `other` answers a container on `node`."""
    ran = node.run(
        "podman", "exec", "demo", "wget", "-q", "-T", str(timeout), "-O", "-", f"http://{other}:{demo.PORT}/"
    )
    return ran.code == 0 and "This page comes from a container" in ran.out


@pytest.fixture
def healed(machines: Machines) -> Iterator[Node]:
    """The second node, plugged in again whatever happens."""
    yield machines.n2
    machines.n2.heal()
    machines.n2.wait_reached(180)


def test_nodes_reach_each_other_by_address_and_by_name(machines: Machines) -> None:
    one, two = machines.n1, machines.n2
    assert (one.ip, two.ip) == ("10.77.0.11", "10.77.0.12")
    for node, other in ((one, two), (two, one)):
        assert f"{node.ip}/24" in node.sh("ip -4 -o address")
        assert reaches(node, other.ip)
        assert reaches(node, other.name)


def test_cut_takes_a_node_off_every_network_and_heal_brings_it_back(machines: Machines, healed: Node) -> None:
    one, two = machines.n1, healed
    boot = two.sh("cat /proc/sys/kernel/random/boot_id")
    assert reaches(one, two.ip)
    two.cut()
    assert not reaches(one, two.ip)
    with pytest.raises(Busy, match="n2 is cut off from its network"):
        two.run("true")
    with pytest.raises(TimedOut):
        demo.fetch(two.port(demo.PORT), timeout=5)
    assert demo.sentence(demo.fetch(one.port(demo.PORT), timeout=30)), "the other node does not care"
    two.heal()
    two.wait_reached(180)
    assert two.sh("cat /proc/sys/kernel/random/boot_id") == boot, "it never went down"
    assert reaches(one, two.ip)
    assert reaches(two, one.ip)
    assert demo.fetch(two.port(demo.PORT), timeout=60)
