"""Updates of a booted machine: good ones stay, bad ones lead back to what ran before, by themselves.

One machine goes through all of it, in the order of this file; every test leaves it healthy and settled on a version,
from which the next one starts. Releases are numbered; another session may use the same ones. The long ones are left out
of `make machines`, and are what `make long` runs. A second update in a row is in test_update_troubles.py.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.lab import demo
from orlop.lab.machine import Node
from orlop.model.words.version import Version
from orlop.workspace import Workspace
from simulators.httpd import Vices, cuts
from simulators.variants import NOTE, Releases, VariantKind
from tests.machines.machines import Machines
from tests.machines.three import TOLD
from tests.machines.updates import (
    WAIT_SECONDS,
    arrives,
    ask_for,
    last_try,
    reboot_to,
    served,
    slot,
    stage,
    status,
    updating,
)

FILE = "/var/lib/kept"
INDEX = ".index.json"
BREAKS = 50


@pytest.fixture(scope="module")
def machine(ws: Workspace, image: Path) -> Iterator[Machines]:
    with updating(ws, image) as there:
        there.n1.sh(
            f"echo precious > {FILE}; mkdir {TOLD}; podman volume create kept; echo 1 > $(podman volume mount kept)/x"
        )
        yield there


@pytest.fixture
def node(machine: Machines) -> Node:
    return machine.n1


def running(node: Node) -> Version:
    return Version.parse(node.sh(". /usr/lib/os-release; echo $IMAGE_VERSION").strip())


def is_whole(node: Node, version: Version) -> None:
    """It runs this version, with all that was in /var and the container on it."""
    assert running(node) == version
    assert node.sh(f"cat {FILE}; cat $(podman volume mount kept)/x") == "precious\n1\n"
    assert str(version) in demo.fetch(node.port(demo.PORT), timeout=120)
    assert node.sh("systemctl --failed --no-legend --plain") == ""


def denied(found: dict[str, Any], version: Version) -> dict[str, Any]:
    return next(d for d in found["denied"] if d["version"] == str(version))


def test_a_release_comes_up_and_stays_with_container_and_data(node: Node, releases: Releases) -> None:
    with served(releases.make(1)) as release:
        found = stage(node, release)
    before = slot(found, releases.base)
    assert before["running"] and before["blessed"]
    assert found["progress"]["received"] < found["progress"]["total"] / 10  # most of it is here already
    reboot_to(node, release.version)
    is_whole(node, release.version)
    assert node.sh(f"cat {NOTE}") == f"This is {release.version}, made for a test.\n"
    assert slot(status(node), releases.base)["boots"]  # to go back to
    assert f"orlop_{release.version}.efi" in node.sh("ls /boot/EFI/Linux").split()


@pytest.mark.follows("test_a_release_comes_up_and_stays_with_container_and_data")
def test_going_back_by_hand_and_not_coming_again(node: Node, releases: Releases) -> None:
    start = node.console_size()
    node.sh("orlop rollback")
    arrives(node, releases.base, start)
    is_whole(node, releases.base)
    found = status(node)
    assert denied(found, releases.version(1))["reason"] == "rolled back by hand"


def test_wrong_bytes_are_refused_and_nothing_is_started_from_them(node: Node, releases: Releases) -> None:
    runs = running(node)
    with served(releases.make(2), Vices(other_bytes=1.0, spares=INDEX)) as release:
        code, said = ask_for(node, release, "--no-reboot")
        assert code == 2 and "error: " in said, said
        found = status(node)
        assert found["failure"] and slot(found, runs)["running"]
        assert all(
            s["version"] in (str(runs), None) for s in found["slots"]
        )  # the other slot can be started by nothing
        assert f"orlop_{release.version}" not in node.sh("ls /boot/EFI/Linux | grep efi$")


def fails(
    machine: Machines, folder: Path, *kinds: str, tries: int = 1, vices: Vices | None = None
) -> tuple[dict[str, Any], str]:
    """Update to a release that cannot stay; the status afterwards, and the console of it."""
    node = machine.n1
    runs = running(node)
    with served(folder, vices) as release:
        stage(node, release)
        if vices:
            assert sum(path.endswith((".efi", ".raw")) for path, _ in release.server.asked) > BREAKS
    if tries == 1:
        last_try(node, release.version)
    with machine.expect(node, *kinds):
        said = reboot_to(node, runs)
    is_whole(node, runs)
    found = status(node)
    assert denied(found, release.version)["reason"]
    assert not any(s["version"] == str(release.version) and s["boots"] for s in found["slots"])
    return found, said


def test_a_download_that_breaks_fifty_times_arrives_and_its_kernel_that_panics_is_tried_three_times_and_left(
    machine: Machines, releases: Releases
) -> None:
    """It is whole when it has arrived: the kernel starts. That a good one stays does not depend on its way here."""
    vices = Vices(cut_after=cuts(*itertools.repeat(10_000, BREAKS)), spares=INDEX)
    _, said = fails(machine, releases.make(4, VariantKind.PANICS), "kernel panic", tries=3, vices=vices)
    assert said.count("Kernel panic - not syncing") == 3


def test_a_health_check_that_fails_leads_back_at_once(machine: Machines, releases: Releases) -> None:
    folder = releases.make(2)
    machine.n1.sh(f"echo fails > {TOLD}/{folder.name}")
    found, said = fails(machine, folder, "failed to start", "dependency failed", tries=3)
    assert "told to fail" in denied(found, releases.version(2))["reason"]
    assert said.count(f"verdict=bad version={folder.name}") == 1  # it is not tried again


FAILED = ("failed to start", "dependency failed", "emergency mode")


@pytest.mark.long
def test_a_unit_that_fails_leads_back_at_once(machine: Machines, releases: Releases) -> None:
    found, said = fails(machine, releases.make(6, VariantKind.UNHEALTHY), *FAILED, tries=3)
    assert "orlop-test-unhealthy.service" in denied(found, releases.version(6))["reason"]
    assert said.count(f"verdict=bad version={releases.version(6)}") == 1


@pytest.mark.long
def test_a_health_check_that_hangs_leads_back(machine: Machines, releases: Releases) -> None:
    folder = releases.make(7)
    machine.n1.sh(f"echo hangs > {TOLD}/{folder.name}")
    found, _ = fails(machine, folder, *FAILED, tries=3)
    assert "10-told did not answer within 10 s" in denied(found, releases.version(7))["reason"]


@pytest.mark.long
def test_an_initrd_that_fails_leads_back(machine: Machines, releases: Releases) -> None:
    _, said = fails(machine, releases.make(8, VariantKind.NO_INITRD), *FAILED)
    assert "orlop-initrd: rebooting" in said


@pytest.mark.long
def test_a_slot_that_rots_once_it_is_staged_is_never_used(machine: Machines, releases: Releases) -> None:
    """Its first block, which the kernel needs to mount it."""
    node, runs = machine.n1, running(machine.n1)
    with served(releases.make(9)) as release:
        found = stage(node, release)
    number = {"A": 2, "B": 4}[slot(found, release.version)["slot"]]
    node.sh(f"dd if=/dev/urandom of=/dev/vda{number} bs=4k count=1 conv=fsync,notrunc")
    last_try(node, release.version)
    with machine.expect(node, "verity", *FAILED):
        reboot_to(node, runs)
    is_whole(node, runs)
    assert denied(status(node), release.version)["reason"]


@pytest.mark.long
def test_a_boot_that_never_comes_to_a_verdict_leads_back(machine: Machines, releases: Releases) -> None:
    fails(machine, releases.make(10, VariantKind.HANGS), *FAILED)


@pytest.mark.long
def test_a_slot_that_rots_once_it_is_blessed_leads_back_to_the_other(machine: Machines, releases: Releases) -> None:
    """Nothing counts its tries any more: the initrd does."""
    node, runs = machine.n1, running(machine.n1)
    with served(releases.make(11)) as release:
        stage(node, release)
    reboot_to(node, release.version)
    number = {"A": 2, "B": 4}[slot(status(node), release.version)["slot"]]
    with machine.expect(node, "verity", *FAILED):
        node.sh(f"dd if=/dev/urandom of=/dev/vda{number} bs=4k count=1 conv=fsync,notrunc")
        said = reboot_to(node, runs)
    assert said.count("orlop-initrd: rebooting") == 3
    until, found = time.monotonic() + WAIT_SECONDS, status(node)
    while not any(d["version"] == str(release.version) for d in found["denied"]):
        assert time.monotonic() < until, found
        time.sleep(1.0)
        found = status(node)
    assert "does not start any more" in denied(found, release.version)["reason"]
    is_whole(node, runs)
