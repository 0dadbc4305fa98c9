"""Units on container machines: three servers and a worker, with a replicated service of Quadlet and plain units.

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
from orlop.lab.demo import MOUNT
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdicts
from orlop.oci.demo import REF
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import Machines, watched

pytestmark = pytest.mark.follows
SECONDS = 120.0
LOST_SECONDS = 30.0  # a quiet computer needs 8, of which some are the grace that a machine has
STARTED_SECONDS = 15.0  # what was seen is in the report
AGENT_BYTES = 40 << 20
PYTHON = ("/usr/lib/orlop/runtime/usr/bin/python3.13", "-I", "-S", "-B", "-")
# from a person's request to what the machine's systemd says, seen every 20 ms
TIMED = """
import json, time
from orlop.node.cluster.admin import control

text = "[Service]\\nExecStart=/usr/bin/sleep infinity\\n"
seconds = []
with control("a test") as asked:
    for number in range(5):
        path, began = f"/v1/units/timed{number}.service", time.monotonic()
        asked.ask("PUT", path, {"text": text, "target": "launched"})
        while [at["active"] for at in asked.ask("GET", path)["placed"]] != ["active"]:
            assert time.monotonic() < began + 30
            time.sleep(0.02)
        seconds.append(round(time.monotonic() - began, 3))
    for number in range(5):
        asked.ask("DELETE", f"/v1/units/timed{number}.service")
print(json.dumps(seconds))
"""
WEB = f"""\
[Unit]
Description=A page, on as many machines

[Container]
Image=oci:{MOUNT}:{REF}
Network=none
Environment=MACHINE=%H

[X-Fleet]
Replicas=2
Memory=64M
"""
PLAIN = "[Unit]\nDescription=It waits\n[Service]\nExecStart=/usr/bin/sleep infinity\n"


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    made = cluster.plan("un", servers=3, workers=1)
    plan = LabPlan(
        images.resolve(ws, str(image)), "un", nodes=4, containers=4, given=made.given, cluster=made, memory_mib=1024,
        demo=True,
    )  # fmt: skip
    with watched(ws, plan) as there:
        wait_well(there.lab.nodes[:3], Steps(), timeout=SECONDS)
        yield there


@pytest.fixture
def lab(machines: Machines) -> Lab:
    return machines.lab


def server(lab: Lab, but: Node | None = None) -> Node:
    return next(node for node in lab.nodes[:3] if node.running and node != but)


def unit(lab: Lab, *words: str, good: tuple[int, ...] = (0,), stdin: str = "", but: Node | None = None) -> str:
    """What `orlop unit` prints on a server; `but` is not asked."""
    asked = server(lab, but)
    if stdin:
        asked.sh(f"mkdir -p /run/t && cat > /run/t/{words[-1]}", stdin=stdin.encode())
        words = (*words[:-1], f"/run/t/{words[-1]}")
    ran = asked.run("orlop", "unit", *words, timeout=SECONDS)
    assert ran.code in good, ran.err + ran.out
    return ran.out


def until(is_so: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def active(lab: Lab, name: str, but: Node | None = None) -> dict[str, str]:
    """Instance → the machine that says it is active."""
    found = json.loads(unit(lab, "status", name, "--json", good=(0, 1), but=but))["placed"]
    return {at["instance"]: at["host"] for at in found if at["active"] == "active" and at["is_present"]}


def machines_of(lab: Lab) -> dict[str, dict[str, Any]]:
    """Those that are connected, by host name."""
    found = json.loads(unit(lab, "list-machines", "--json"))["machines"]
    return {machine["host"]: machine for machine in found if machine["server"]}


def runs(node: Node, service: str) -> bool:
    return node.sh(f"systemctl is-active {service} || true").strip() == "active"


def test_every_machine_offers_itself(lab: Lab) -> None:
    until(lambda: len(machines_of(lab)) == 4, "not all machines are connected")
    assert all(
        machine["closed"] == "" and machine["cpu"] and machine["memory"] for machine in machines_of(lab).values()
    )


def test_a_plain_unit_is_started_within_a_moment(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    said = unit(lab, "start", "plain.service", stdin=PLAIN)
    assert said.startswith("Unit plain.service launched on ")
    (host,) = active(lab, "plain.service").values()
    assert runs(lab.node(host), "plain.service")
    listed = unit(lab, "list-units").splitlines()
    assert listed[0].split() == ["UNIT", "MACHINE", "ACTIVE", "SUB"]
    assert listed[1].split()[0] == "plain.service" and listed[1].split()[2:] == ["active", "running"]
    assert unit(lab, "cat", "plain.service") == PLAIN
    ran = server(lab).run(*PYTHON, stdin=TIMED.encode(), timeout=SECONDS)
    assert ran.code == 0, ran.err
    seconds = json.loads(ran.out)
    record_property("submit to active, seconds", seconds)
    assert sorted(seconds)[len(seconds) // 2] < STARTED_SECONDS


def test_a_replicated_service_of_quadlet_runs_apart(lab: Lab) -> None:
    unit(lab, "start", "web@.container", stdin=WEB)
    found = active(lab, "web@.container")
    assert set(found) == {"web@1.container", "web@2.container"} and len(set(found.values())) == 2
    for instance, host in found.items():
        service = instance.replace(".container", ".service")
        node = lab.node(host)
        assert service in node.sh("podman ps --format '{{.Labels.PODMAN_SYSTEMD_UNIT}}'")
        assert node.sh(f"systemctl show -P MemoryMax {service}").strip() == str(64 << 20)
    said = unit(lab, "explain", "web@.container")
    assert "web@1.container is on " in said and "it suits best" in said
    rows = unit(lab, "list-unit-files").splitlines()
    assert rows[0].split() == ["UNIT", "HASH", "DSTATE", "STATE", "TARGET"]
    assert rows[2].split()[2:] == ["launched", "launched", "2", "of", "2"]


def test_what_no_machine_can_run_is_said_at_once(lab: Lab) -> None:
    began = time.monotonic()
    ran = server(lab).run("sh", "-c", f"printf '%s' '{PLAIN}[X-Fleet]\nMachineMetadata=disk=ssd\n' > /run/t/no.service;"
                          "orlop unit start /run/t/no.service")  # fmt: skip
    assert ran.code == 1 and "no machine can run it: 4 machines: it has no disk, not disk=ssd" in ran.err
    assert time.monotonic() - began < 30
    assert "disk=ssd" in unit(lab, "explain", "no.service", good=(1,))
    unit(lab, "destroy", "no.service")


def test_restarting_an_agent_touches_no_unit(lab: Lab) -> None:
    instance, host = next(iter(active(lab, "web@.container").items()))
    node, service = lab.node(host), instance.replace(".container", ".service")
    before = node.sh(f"systemctl show -P MainPID {service}")
    for _ in range(2):
        node.sh("systemctl restart orlop-agent")
    time.sleep(7)  # longer than one may be away
    assert node.sh(f"systemctl show -P MainPID {service}") == before
    assert active(lab, "web@.container")[instance] == host


def test_units_of_a_lost_machine_run_elsewhere(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    worker = lab.node("n4")
    for node in lab.nodes[:3]:
        assert server(lab).run("orlop", "machine", "cordon", node.name, "--reason", "it goes to n4").code == 0
    unit(lab, "start", "moves.service", stdin=PLAIN)
    for node in lab.nodes[:3]:
        assert server(lab).run("orlop", "machine", "uncordon", node.name).code == 0
    found = active(lab, "web@.container") | active(lab, "moves.service")
    lost = {instance for instance, host in found.items() if host == "n4"}
    assert "moves.service" in lost
    worker.power_cut()
    began = time.monotonic()

    def elsewhere() -> bool:
        now = active(lab, "web@.container") | active(lab, "moves.service")
        return set(now) == set(found) and "n4" not in now.values()

    until(elsewhere, "not all run again")
    took = time.monotonic() - began
    record_property("machine lost to units elsewhere, seconds", took)
    assert took <= LOST_SECONDS
    now = active(lab, "web@.container") | active(lab, "moves.service")
    assert all(now[instance] == host for instance, host in found.items() if host != "n4"), "only what was lost moves"
    assert "it was lost" in unit(lab, "explain", "moves.service")
    worker.start()
    wait_verdicts([worker], Steps(), timeout=SECONDS)
    until(lambda: machines_of(lab).get("n4", {}).get("closed") == "", "n4 is not back")
    time.sleep(2)
    assert active(lab, "web@.container") | active(lab, "moves.service") == now, "what runs stays"
    for instance in lost:
        assert not runs(worker, instance.replace(".container", ".service")), "the old owner does not act"


def test_a_machine_that_was_cut_off_gives_up_what_is_anothers(lab: Lab) -> None:
    unit(lab, "start", "away.service", stdin=PLAIN + "[X-Fleet]\nAvoid=web@* moves* plain*\n")
    (host,) = active(lab, "away.service").values()
    node = lab.node(host)
    node.cut()
    until(lambda: active(lab, "away.service", node).get("away.service") not in {None, host}, "it runs nowhere else")
    assert runs(node, "away.service"), "nothing stops because a network did"
    node.heal()
    until(lambda: not runs(node, "away.service"), "the old owner goes on")
    assert active(lab, "away.service", node)["away.service"] != host
    unit(lab, "destroy", "away.service", but=node)
    until(lambda: len(machines_of(lab)) == 4, "it is not back")


def test_a_drained_machine_gives_its_units_up(lab: Lab) -> None:
    instance, host = next(iter(active(lab, "web@.container").items()))
    assert server(lab).run("orlop", "machine", "drain", host, "--reason", "new disk").code == 0
    until(lambda: host not in active(lab, "web@.container").values() and len(active(lab, "web@.container")) == 2,
          "its units have not moved")  # fmt: skip
    assert "it is drained: new disk" in unit(lab, "explain", "web@.container")
    assert not runs(lab.node(host), instance.replace(".container", ".service"))
    assert server(lab).run("orlop", "machine", "uncordon", host).code == 0


def test_a_server_is_lost_and_units_are_still_decided_about(lab: Lab) -> None:
    lost = lab.nodes[0]
    found = active(lab, "web@.container")
    lost.power_cut()

    def elsewhere() -> bool:
        now = active(lab, "web@.container")
        return set(now) == set(found) and "n1" not in now.values()

    until(elsewhere, "not all run again")
    unit(lab, "stop", "moves.service")
    unit(lab, "start", "moves.service")
    assert "n1" not in active(lab, "moves.service").values()
    lost.start()
    wait_verdicts([lost], Steps(), timeout=SECONDS)
    wait_well(lab.nodes[:3], Steps(), timeout=SECONDS)
    until(lambda: len(machines_of(lab)) == 4, "n1 is not back")


def test_without_any_server_a_machine_runs_what_it_had_across_its_own_reboot(lab: Lab) -> None:
    worker = lab.node("n4")
    text = f"{PLAIN}[X-Fleet]\nMachineID={machines_of(lab)['n4']['machine']}\n"
    unit(lab, "start", "stays.service", stdin=text)
    for node in lab.nodes[:3]:
        node.sh("systemctl stop orlop-control")
    worker.power_cut()
    worker.start()
    wait_verdicts([worker], Steps(), timeout=SECONDS)
    until(lambda: runs(worker, "stays.service"), "it does not run")
    assert "no server answers" in worker.sh("journalctl -b -u orlop-agent")
    for node in lab.nodes[:3]:
        node.sh("systemctl start orlop-control")
    until(lambda: active(lab, "stays.service") == {"stays.service": "n4"}, "its machine is not heard again")


def test_agents_are_small(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    for node in lab.nodes:
        said = node.sh("cat /proc/$(systemctl show -P MainPID orlop-agent)/status")
        values = dict(line.split(":", 1) for line in said.splitlines())
        assert values["CapEff"].split() == ["0" * 16]
        resident = int(values["VmRSS"].split()[0]) * 1024
        record_property(f"agent of {node.name}, bytes", resident)
        assert resident <= AGENT_BYTES


def test_destroying_leaves_nothing_behind(lab: Lab) -> None:
    names = ["web@.container", "plain.service", "moves.service", "stays.service"]
    unit(lab, "destroy", *names)
    until(
        lambda: all(not node.sh("ls /run/orlop/units 2> /dev/null || true").split() for node in lab.nodes),
        "something is left",
    )
    for node in lab.nodes:
        assert (
            node.sh("ls /run/containers/systemd; ls /run/systemd/system | grep -e plain -e moves -e web || true") == ""
        )
    assert unit(lab, "list-unit-files").splitlines()[1:] == []
