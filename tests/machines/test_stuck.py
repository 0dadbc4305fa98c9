"""A machine in trouble from its first boot on, with a way out of each: bad by itself, and in an outage of its network.

It has a second port without a cable as well, which must not be among what is wrong: the card of the lab's private
network, unplugged, and configured by nobody. In this order: its first boot is bad; what is wrong is cured and the next
version takes its place by name; then a version is tried in an outage, under which the one before is bad too, so that it
is not to blame, and takes its place once the outage is over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing
from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.plan import LabPlan
from orlop.lab.standstill import Standstill
from orlop.lab.wait import wait_verdict
from orlop.machines import console, vm
from orlop.machines.console import Verdict
from orlop.model.words.version import Version
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.variants import Releases
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.updates import WAIT_SECONDS, arrives, ask_for, served, slot, stage, status

LAB = "vmstuck"
CURED = "/var/lib/cured"
CONFIG = (
    NodeConfig()
    .file("/etc/orlop/health.d/10-sensor", f'#!/bin/sh\n[ -e {CURED} ] || {{ echo "no sensor"; exit 1; }}\n', 0o755)
    .file("/etc/orlop/update.toml", 'format = 1\nstrategy = "off"\n')
    # an empty file takes the lab's own away: what holds for the second port is what the image has for any port
    .file("/etc/systemd/network/10-orlop-lab.network", "")
    # an outage is waited for, but not for a quarter of an hour
    .file("/etc/orlop/health.conf", "WAIT=25\n")
    .file("/etc/systemd/system/systemd-networkd-wait-online.service.d/50-test.conf", "[Service]\nTimeoutStartSec=12\n")
)


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with suppress(Missing):
        lab.down(ws, LAB)
    plan = LabPlan(images.resolve(ws, str(image)), name=LAB, cpus=1, memory_mib=1024, config=CONFIG)
    there = lab.up(ws, Steps(), plan)
    try:
        machine = there.node("n1")
        vm.set_links(machine.at, ["nic1"], up=False)
        yield machine
    finally:
        lab.down(ws, LAB)


def health(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/health.json"))
    return found


def test_a_bad_first_boot_says_what_is_wrong_and_a_port_without_cable_is_not(node: Node, releases: Releases) -> None:
    with pytest.raises(CommandFailed, match="judged its boot bad"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    node.wait_reached()
    assert "no-carrier" in node.sh("networkctl --no-legend --no-pager list")
    found = health(node)
    failed = [check for check in found["checks"] if not check["ok"]]
    assert [(c["check"], c["kind"], c["about"]) for c in failed] == [("health.d/10-sensor", "user", "10-sensor")]
    assert {"check": "network", "ok": True} in found["checks"]
    now = status(node)
    assert slot(now, releases.base)["tries_left"] == 2
    assert "no sensor" in now["health"]["reason"]


def test_it_is_replaced_by_name_and_what_was_wrong_is_over(node: Node, releases: Releases) -> None:
    node.sh(f"touch {CURED}")
    start = node.console_size()
    with served(releases.make(1)) as release:
        code, said = ask_for(node, release)
    assert code == 0, said
    arrives(node, release.version, start)
    found = status(node)
    assert found["denied"] == found["excused"] == []
    assert slot(found, releases.base)["boots"], "there is something to fall back to"
    assert health(node)["verdict"] == "good"


def said(node: Node, start: int, count: int) -> list[Verdict]:
    """The next verdicts on its console, which need no network."""
    until, still = time.monotonic() + count * WAIT_SECONDS, Standstill(node)
    while len(verdicts := console.verdicts(node.console_text(start))) < count:
        assert time.monotonic() < until, console.tail(node.console_text(start), 40)
        if still.why(node.console_text(start), time.monotonic()):
            still.cycle()
        time.sleep(0.5)
    return verdicts


@pytest.mark.follows
@pytest.mark.long  # three boots, each of which waits before it has a verdict
def test_an_outage_under_both_versions_is_not_the_new_one_s_and_passes(node: Node, releases: Releases) -> None:
    before = Version.parse(releases.make(1).name)
    with served(releases.make(2)) as release:
        stage(node, release)
        start = node.console_size()
        node.run("sh", "-c", "(sleep 3; systemctl reboot) > /dev/null 2>&1 &")
        node.cut()
        first, second = said(node, start, 2)
        assert [(v.version, v.good) for v in (first, second)] == [(str(release.version), False), (str(before), False)]
        assert "the network is not up" in first.reason and "the network is not up" in second.reason
        assert "orlop-health: waiting up to 25 s" in console.plain(node.console_text(start)), "before it went back"
        node.heal()
        node.wait_reached()
        until = time.monotonic() + WAIT_SECONDS
        while not (found := status(node))["excused"]:
            assert time.monotonic() < until, found
            time.sleep(2)
        assert found["denied"] == [] and found["state"]["is"] == "idle"
        assert [e["version"] for e in found["excused"]] == [str(release.version)]
        assert f"network is bad under {before} too" in found["excused"][0]["reason"]
        start = node.console_size()
        code, words = ask_for(node, release)
        assert code == 0, words
        arrives(node, release.version, start)
    found = status(node)
    assert found["denied"] == found["excused"] == []
