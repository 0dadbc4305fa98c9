"""Whole updates on a simulated machine: good, bad, cut off, killed, lied to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orlop.model.boot import Uki
from orlop.model.update import Idle, Staged
from orlop.model.version import Version
from tests.simulators.releases import release
from tests.simulators.world import World

V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
FIRST = release(str(V1), blocks=64)
SECOND = release(str(V2), blocks=64, like=FIRST)
THIRD = release(str(V3), blocks=64, like=SECOND)


def idle(world: World) -> bool:
    return world.engine.memory.state == Idle() and world.engine.memory.checked_at is not None


def test_a_good_release_is_installed_and_blessed(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    facts = world.engine.writer.facts()
    assert facts.uki(V2) == Uki(V2)
    assert facts.other == V1 and facts.uki(V1) == Uki(V1)


def test_twice_in_a_row_uses_both_slots(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    for found in (SECOND, THIRD):
        world.publish(found, "good")
        world.run(lambda: world.offered is not None and world.running.version == world.offered.version and idle(world))
    assert world.engine.writer.facts().names == ("orlop_20261202.1.efi", "orlop_20261203.1.efi")


@pytest.mark.parametrize("kind", ["unhealthy", "dead"])
def test_a_bad_release_is_left_denied_and_not_tried_again(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, kind)
    world.run(lambda: world.engine.memory.denies(V2) is not None and idle(world))
    assert world.running.version == V1
    reboots = world.reboots
    for _ in range(50):
        world.step()
    assert (world.running.version, world.reboots) == (V1, reboots)
    world.publish(THIRD, "good")
    world.run(lambda: world.running.version == V3 and idle(world))


def test_a_newer_release_replaces_a_staged_one(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    world.publish(THIRD, "good")
    world.now += timedelta(minutes=6)
    world.run(lambda: world.running.version == V3 and idle(world))
    assert world.reboots == 2


def test_back_by_hand_and_not_forward_again(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    world.engine.roll_back()
    world.run(lambda: world.running.version == V1)
    for _ in range(50):
        world.step()
    assert world.running.version == V1
    denied = world.engine.memory.denies(V2)
    assert denied is not None and denied.reason == "rolled back by hand"
