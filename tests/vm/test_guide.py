"""The guide's first configuration boots, and the machine is what `orlop config simulate` said it would be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import console, images, lab
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.source import Given, Source, Way
from orlop.provision.translate import translate
from orlop.simulate.machine import Machine
from orlop.simulate.run import Config, prepare, simulate
from orlop.simulate.snapshot import Entry, Kind
from orlop.simulate.units import PRESET
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import VERDICT_SECONDS

pytestmark = pytest.mark.vm

TOPS = ("etc", "home")
LETTERS = {Kind.FILE: "f", Kind.FOLDER: "d", Kind.LINK: "l"}
# its own identity, and what the lab's network needs
OF_THE_MACHINE = {"/etc/machine-id", "/etc/hosts", "/etc/systemd/network/10-orlop-lab.network"}


@pytest.fixture(scope="module")
def text(ws: Workspace) -> str:
    guide = (ws.root / "docs/guide/config.md").read_text()
    found = re.search(r"^```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def simulated(ws: Workspace, image: Path, text: str) -> Machine:
    result = translate(text.encode())
    assert result.ignition is not None
    outcome = simulate(ws, prepare(ws, Steps(), image.name), Config("node.bu", result.ignition, result.root))
    assert outcome.machine is not None, outcome.log
    return outcome.machine


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path, text: str) -> Iterator[Node]:
    config = translate(text.encode()).ignition
    assert config is not None
    given = (Given(Source(Way.FW_CFG), config.encode()),)
    plan = Plan(images.resolve(ws, str(image)), name="vmguide", cpus=1, memory_mib=1024, given=given)
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")


def test_it_does_what_it_says(node: Node) -> None:
    assert console.failures(node.console_text()) == []
    assert node.sh("systemctl is-active ssh.socket").strip() == "active"
    assert node.sh("systemctl show --property=Result --value list-boots.service").strip() == "success"
    assert re.fullmatch(r"[0-9a-f]{32}\n", node.sh("cat /var/lib/boots/list"))
    assert node.sh("hostname").strip() == "node1"


def test_the_simulation_was_right(node: Node, simulated: Machine) -> None:
    """Every path with its kind, mode, owner and target, and every byte of every file."""
    listing = node.sh(f"cd / && find {' '.join(TOPS)} -xdev -printf '%p|%y|%m|%U|%G|%l\\n' 2>/dev/null || :")
    sums = node.sh("cd / && find etc -xdev -type f -exec sha256sum {} +")
    there = {f"/{line.partition('|')[0]}": line.partition("|")[2] for line in listing.splitlines()}
    digests = {f"/{line[66:]}": line[:64] for line in sums.splitlines()}
    wanted = {p: e for p, e in simulated.root.items() if p.split("/")[1] in TOPS}
    assert {p: v for p, v in there.items() if p not in OF_THE_MACHINE} == {p: _line(e) for p, e in wanted.items()}
    digests.pop(PRESET)  # Ignition orders its lines as chance has it
    assert {p: d for p, d in digests.items() if p not in OF_THE_MACHINE} == {
        path: entry.digest for path, entry in wanted.items() if path in digests
    }


def _line(entry: Entry) -> str:
    return f"{LETTERS[entry.kind]}|{entry.mode:o}|{entry.uid}|{entry.gid}|{entry.target}"
