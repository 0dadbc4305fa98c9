"""Machines whose only version has not proven itself: they are replaced, by themselves and by name, and never lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.update.boot import Uki
from orlop.model.update.decide import Settings
from orlop.model.update.memory import BY_HAND
from orlop.model.update.reboot import Off
from orlop.model.update.state import Booted, Failed, Staged, Target
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, SECOND, THIRD, V1, V2, V3, idle, rot


def first_boot(folder: Path, kind: str = "unhealthy", tries: int = 3) -> World:
    """A machine that was just made, and whose first boot is bad."""
    world = World(folder, FIRST, tries=tries, kind=kind)
    world.run(lambda: isinstance(world.engine.memory.state, Failed))
    return world


def arrives(world: World, version: object) -> None:
    world.run(lambda: world.running.version == version and world.is_blessed() and idle(world))


def test_a_machine_whose_first_boot_was_bad_says_so_and_waits_for_a_release(tmp_path: Path) -> None:
    world = first_boot(tmp_path)
    reboots = world.reboots
    for _ in range(30):
        world.step()
    assert world.reboots == reboots and world.engine.memory.checked_at is not None
    step = world.step()
    assert step is not None and step.reason == (
        f"{V1} is not healthy: a unit failed; there is no other version to go back to: the next release replaces it"
    )


@pytest.mark.parametrize("tries", [3, 1])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_bad_first_version_is_replaced(tmp_path: Path, by_name: bool, tries: int) -> None:
    world = first_boot(tmp_path, tries=tries)
    world.publish(SECOND, "good")
    if by_name:
        world.engine.hold("testing")
        assert world.engine.go_to(SECOND.target)
    arrives(world, V2)


def test_a_first_version_that_was_mended_is_blessed_and_updates(tmp_path: Path) -> None:
    """A cable was out, and is in again at the next boot."""
    world = first_boot(tmp_path)
    world.mend()
    world.cut()
    arrives(world, V1)
    assert world.engine.memory.denied == ()
    world.publish(SECOND, "good")
    world.now += timedelta(minutes=6)
    arrives(world, V2)


def test_a_first_version_without_a_verdict_is_replaced_by_name_at_once_and_by_itself_in_time(tmp_path: Path) -> None:
    world = World(tmp_path / "named", FIRST, tries=3, kind="hung")
    world.publish(SECOND, "good")
    world.step()
    assert isinstance(world.engine.memory.state, Booted) and world.engine.go_to(SECOND.target)
    arrives(world, V2)
    world = World(tmp_path / "alone", FIRST, tries=3, kind="hung")
    world.publish(SECOND, "good")
    arrives(world, V2)


@pytest.mark.parametrize("kind", ["dead", "unhealthy", "hung"])
@pytest.mark.parametrize("tries", [3, 1])
def test_what_follows_a_bad_first_version_and_is_bad_too_leads_back_to_it(
    tmp_path: Path, tries: int, kind: str
) -> None:
    """Its tries are counted anew: with none left on either, the newer one would be started for ever."""
    world = first_boot(tmp_path, tries=tries)
    world.publish(SECOND, kind)
    world.run(lambda: world.engine.memory.denies(V2) is not None)
    assert world.running.version == V1 and not world.is_blessed()
    for _ in range(4):
        world.cut()
    assert world.running.version == V1
    world.publish(THIRD, "good")
    arrives(world, V3)


def test_a_journal_that_is_lost_while_the_first_version_is_bad_and_another_is_staged_leads_forward(
    tmp_path: Path,
) -> None:
    """What is staged and was never tried is no version to go back to."""
    world = first_boot(tmp_path, tries=1)
    world.settings = Settings(Off())
    world.start_engine()
    world.publish(SECOND, "dead")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    world.engine.journal.path.unlink()
    world.start_engine()
    world.step()
    assert isinstance(world.engine.memory.state, Staged)
    assert world.engine.writer.facts().uki(V1) == Uki(V1, 9, 3)
    world.cut()
    assert world.running.version == V1
    world.run(lambda: world.engine.memory.denies(V2) is not None)


def test_a_bad_version_whose_predecessor_rotted_is_replaced(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "unhealthy")
    world.run(lambda: world.running.version == V2)
    rot(world)
    world.run(lambda: world.engine.writer.facts().other is None)
    assert world.running.version == V2
    world.publish(THIRD, "good")
    arrives(world, V3)


def test_what_is_named_during_a_trial_follows_it(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2)
    world.publish(THIRD, "good")
    world.offered = SECOND.target
    assert not world.engine.go_to(THIRD.target, BY_HAND)
    with pytest.raises(BadInput, match="not settled yet") as e:
        world.engine.look()
    assert "--to VERSION" in e.value.hint
    world.start_engine()
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    assert world.engine.memory.state == Staged(Target(V3, THIRD.index.root_hash, "named"))
    assert world.engine.memory.reboot == BY_HAND and world.engine.memory.wish is None
    assert world.is_blessed() and world.running.version == V2


def test_a_named_version_that_the_trial_itself_leads_to_is_no_wish_any_more(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "unhealthy")
    world.run(lambda: world.running.version == V2)
    world.engine.go_to(FIRST.target)
    arrives(world, V1)
    assert world.engine.memory.wish is None


def test_a_passing_disk_error_costs_no_way_back(tmp_path: Path) -> None:
    """A block that cannot be read is no proof that the slot is not whole."""
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "unhealthy")
    world.run(lambda: world.running.version == V2)
    other = world.engine.writer.disk.slots()[1]
    world.medium.unreadable.add(other.usr.first * 512 // 4096 + 3)
    for _ in range(5):
        world.step()
    assert world.running.version == V2 and "cannot be read" in world.engine.memory.failure
    world.medium.unreadable.clear()
    arrives(world, V1)


def test_a_first_version_that_hung_and_is_named_again_does_not_keep_the_machine(tmp_path: Path) -> None:
    """While another one was on trial it stood by with more tries than that: they are not kept when it is chosen."""
    world = World(tmp_path, FIRST, tries=3, kind="hung")
    world.publish(SECOND, "good")
    arrives(world, V2)
    world.engine.go_to(FIRST.target)
    world.run(lambda: world.running.version == V1)
    assert world.counted == Uki(V1, 2, 1)
    world.run(lambda: world.running.version == V2, limit=80)
