"""Going back: by hand, because a release was pulled back, because a version failed or its slot rots."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.update.boot import Uki
from orlop.model.update.decide import Settings
from orlop.model.update.memory import BY_HAND
from orlop.model.update.reboot import Off
from orlop.model.update.state import Healthy, Idle, Reverted, Staged, Target
from orlop.node.update.slot.verity import Damaged
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, SECOND, THIRD, V1, V2, V3, OneSlot, idle, rot, second_runs


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


def rots_while_it_reboots(world: World) -> None:
    goes = world.engine.outside.reboot

    def reboot() -> None:
        rot(world)
        goes()

    world.engine.outside.reboot = reboot


def test_going_back_to_a_slot_that_rotted_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    rot(world)
    with pytest.raises(Damaged, match="is not what the verity tree says"):
        world.engine.roll_back()
    assert world.engine.memory.denied == ()
    world.destiny(world.medium.durable)


def test_a_slot_that_rots_after_going_back_to_it_leads_forward_again(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    world.engine.roll_back()
    rots_while_it_reboots(world)
    world.run(lambda: world.engine.memory.denies(V1) is not None)
    world.run(lambda: world.engine.writer.facts().uki(V2) == Uki(V2) and idle(world))
    assert world.running.version == V2


def test_a_newer_slot_that_rots_after_going_back_to_it_leads_to_the_older_one(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.roll_back()
    world.run(lambda: world.running.version == V1 and idle(world))
    world.engine.roll_back()
    rots_while_it_reboots(world)
    world.run(lambda: isinstance(world.engine.memory.state, Reverted | Idle))
    assert world.running.version == V1


def test_a_slot_that_rots_before_the_machine_went_back_to_it_is_given_up(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.roll_back()
    rot(world)
    world.run(lambda: world.engine.writer.facts().other is None)
    world.run(lambda: idle(world))
    assert world.running.version == V2 and world.engine.writer.facts().names == (Uki(V2).name,)


@pytest.mark.parametrize("killed", [False, True])
def test_a_rollback_whose_reboot_does_not_come_is_gone_on_with(tmp_path: Path, killed: bool) -> None:
    world = second_runs(tmp_path)
    world.faults.unheard = 5
    world.engine.roll_back()
    world.run(lambda: world.faults.unheard < 3)
    assert world.engine.writer.facts().aside
    if killed:
        world.start_engine()
    world.run(lambda: world.running.version == V1 and idle(world))
    assert world.engine.writer.facts().uki(V1) == Uki(V1)


def test_a_rollback_does_not_wait_for_the_reboot_lock(tmp_path: Path) -> None:
    lock = OneSlot()
    world = second_runs(tmp_path, lock)
    lock.holder = "another machine"
    world.people = 1
    world.engine.roll_back()
    world.run(lambda: world.running.version == V1, limit=3)


def aside(world: World) -> bool:
    return world.engine.writer.facts().aside


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_bad_release_after_a_reboot_back_that_did_not_come_leads_back_all_the_same(
    tmp_path: Path, by_hand: bool
) -> None:
    """The running version stepped aside: it must not be behind the next one that fails."""
    world = second_runs(tmp_path)
    world.faults.unheard = 1000
    if by_hand:
        world.engine.roll_back()
    else:
        world.offered = Target(V1, FIRST.index.root_hash, "pull-back")
    world.now += timedelta(minutes=6)
    world.run(lambda: aside(world))
    world.publish(THIRD, "dead")
    world.engine.go_to(THIRD.target)
    world.run(lambda: world.engine.memory.state == Staged(Target(V3, THIRD.index.root_hash, "named")))
    assert world.destiny(world.medium.durable) == V2
    world.faults.unheard = 0
    world.run(lambda: world.engine.memory.denies(V3) is not None and idle(world))
    assert world.running.version == V2


def test_a_pull_back_that_is_withdrawn_leaves_the_running_version_first(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.faults.unheard = 1000
    world.offered = Target(V1, FIRST.index.root_hash, "pull-back")
    world.now += timedelta(minutes=6)
    world.run(lambda: aside(world))
    world.offered = SECOND.target
    world.engine.hold("testing")
    world.run(lambda: idle(world))
    assert world.engine.writer.facts().names == (Uki(V2).name,)


def test_going_back_from_what_has_yet_to_prove_itself_leaves_the_old_version_blessed(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "unhealthy")
    world.run(lambda: world.running.version == V2)
    world.engine.roll_back()
    world.run(lambda: world.running.version == V1)
    for _ in range(5):
        world.cut()
        assert world.running.version == V1


def test_a_staged_version_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST, settings=Settings(Off()))
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    with pytest.raises(BadInput, match="has not run yet"):
        world.engine.roll_back()


def test_power_cuts_on_the_way_back_do_not_lead_to_the_version_that_failed(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "unhealthy")
    world.run(lambda: world.running.version == V2)
    world.run(lambda: world.running.version == V1)
    for _ in range(5):
        world.cut()
        assert world.running.version == V1
        assert world.destiny(world.medium.durable) == V1


def test_a_journal_that_fell_behind_by_an_update_does_not_cost_the_version_to_go_back_to(tmp_path: Path) -> None:
    """/var was full all the time: it still says that the version before, blessed long since, is on trial."""
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Healthy))
    old = world.engine.journal.path.read_bytes()
    world.run(lambda: idle(world))
    world.publish(THIRD, "unhealthy")
    world.now += timedelta(minutes=6)
    world.run(lambda: world.running.version == V3)
    world.engine.journal.path.write_bytes(old)
    world.start_engine()
    world.run(lambda: world.engine.memory.denies(V3) is not None and idle(world))
    assert world.running.version == V2 and world.engine.memory.denies(V2) is None


def test_a_blessed_slot_that_rots_leads_back_to_the_other_one(tmp_path: Path) -> None:
    """Nothing counts its tries: the initrd does, and has the other version started once. Then it must not flap."""
    world = second_runs(tmp_path)
    world.medium.corrupt(world.engine.writer.disk.slots()[0].usr.first * 512, b"rot")
    world.cut()
    assert world.running.version == V1
    world.run(lambda: world.engine.memory.denies(V2) is not None and idle(world))
    denied = world.engine.memory.denies(V2)
    assert denied is not None and "does not start any more: " in denied.reason
    assert world.engine.writer.facts().names == (Uki(V1).name,)
    reboots = world.reboots
    for _ in range(30):
        world.step()
    world.cut()
    assert (world.running.version, world.reboots) == (V1, reboots + 1)
    world.publish(THIRD, "good")
    world.run(lambda: world.running.version == V3 and idle(world))


def test_a_version_that_somebody_chose_in_the_boot_menu_leaves_the_other_one(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.hold("testing")
    world.variables.once = V1
    world.cut()
    assert world.running.version == V1
    for _ in range(30):
        world.step()
    assert world.engine.memory.denied == () and len(world.engine.writer.facts().names) == 2
    world.cut()
    assert world.running.version == V2


def test_an_older_version_that_is_staged_is_what_a_reboot_by_somebody_else_starts(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.go_to(FIRST.target, BY_HAND)
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    world.cut()
    assert world.running.version == V1
    world.run(lambda: idle(world))
    assert world.is_blessed() and world.running.version == V1
