"""Whole updates on a simulated machine: good, bad, cut off, killed, lied to."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.model.update.boot import Uki
from orlop.model.update.memory import KEPT
from orlop.model.update.state import Staged, Target
from orlop.node.update.slot import device
from orlop.node.update.slot.device import Device
from orlop.node.update.slot.progress import Progress
from orlop.node.update.slot.verity import Damaged
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, SECOND, THIRD, V1, V2, V3, OneSlot, idle


def test_a_good_release_is_installed_and_blessed(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    facts = world.engine.writer.facts()
    assert facts.uki(V2) == Uki(V2)
    assert facts.other == V1 and facts.uki(V1) == Uki(V1)


def test_reading_the_slots_is_heard_of_as_writing_is(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    heard: list[tuple[str, int]] = []

    def go_on(progress: Progress) -> bool:
        heard.append((progress.step, progress.done))
        return True

    world.engine.outside.go_on = go_on
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    assert heard[0] == ("comparing", 0)
    assert "fetching" in {step for step, _ in heard}
    assert "verifying" in {step for step, _ in heard}


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


def test_the_lock_is_given_back_only_when_the_new_version_is_blessed(tmp_path: Path) -> None:
    lock = OneSlot()
    world = World(tmp_path, FIRST, lock=lock)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2)
    assert lock.holder == "me"
    world.run(lambda: idle(world))
    assert lock.said == ["taken", "given back"]
    assert world.engine.writer.facts().uki(V2) == Uki(V2)


def test_no_reboot_while_another_machine_holds_the_lock(tmp_path: Path) -> None:
    lock = OneSlot()
    lock.holder = "another machine"
    world = World(tmp_path, FIRST, lock=lock)
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    failures = set()
    for _ in range(20):
        world.step()
        failures.add(world.engine.memory.failure)
    assert world.running.version == V1 and any("another machine holds the lock" in why for why in failures)
    lock.holder = ""
    world.run(lambda: world.running.version == V2)


def test_after_a_failed_update_the_lock_is_kept_until_one_succeeds(tmp_path: Path) -> None:
    lock = OneSlot()
    world = World(tmp_path, FIRST, lock=lock)
    world.publish(SECOND, "dead")
    world.run(lambda: world.engine.memory.denies(V2) is not None and idle(world))
    for _ in range(20):
        world.step()
    assert lock.holder == "me"
    world.publish(THIRD, "good")
    world.run(lambda: world.running.version == V3 and idle(world))
    assert lock.holder == ""


def test_a_refusal_takes_away_nothing_that_was_kept(tmp_path: Path) -> None:
    lock = OneSlot()
    world = World(tmp_path, FIRST, lock=lock)
    world.publish(SECOND, "dead")
    world.run(lambda: world.engine.memory.lock == KEPT and idle(world))
    lock.holder = "another machine"  # or the cluster's, whose store is not well now
    world.publish(THIRD, "good")
    world.run(lambda: "holds the lock" in world.engine.memory.failure)
    assert world.engine.memory.lock == KEPT
    lock.holder = "me"
    world.run(lambda: world.running.version == V3 and idle(world))
    assert lock.holder == ""


def test_the_lock_is_told_which_etcd_comes(tmp_path: Path) -> None:
    lock = OneSlot()
    world = World(tmp_path, FIRST, lock=lock)
    world.publish(dataclasses.replace(SECOND, index=dataclasses.replace(SECOND.index, etcd="3.6.1")), "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    assert lock.etcd == "3.6.1"


def test_a_journal_that_was_lost_gives_back_a_lock_it_may_have_held(tmp_path: Path) -> None:
    lock = OneSlot()
    lock.holder = "me"
    world = World(tmp_path, FIRST, lock=lock)
    world.run(lambda: lock.holder == "")


def test_somebody_who_is_logged_in_delays_the_reboot(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST, people=1)
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Staged))
    begun = world.now
    world.run(lambda: world.running.version == V2)
    assert timedelta(minutes=10) <= world.now - begun < timedelta(minutes=13)


def test_an_older_version_is_installed_by_name_and_stays(tmp_path: Path) -> None:
    world = World(tmp_path, THIRD)
    world.publish(SECOND, "good")
    world.offered = THIRD.target
    world.engine.go_to(SECOND.target)
    world.run(lambda: world.running.version == V2 and idle(world))
    for _ in range(50):
        world.step()
    assert world.running.version == V2
    assert world.engine.memory.hold == "20261202.1 was asked for by name"
    world.engine.unhold()
    world.run(lambda: world.running.version == V3)


def test_nothing_older_is_installed_because_it_is_offered(tmp_path: Path) -> None:
    world = World(tmp_path, SECOND)
    world.publish(FIRST, "good")
    for _ in range(30):
        world.step()
    assert world.running.version == V2
    world.offered = Target(V1, FIRST.index.root_hash, "pull-back")
    world.run(lambda: world.running.version == V1 and idle(world))


def test_held_updates_wait(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.engine.hold("a fair")
    world.publish(SECOND, "good")
    for _ in range(30):
        world.step()
    assert world.running.version == V1
    world.engine.unhold()
    world.run(lambda: world.running.version == V2)


def test_a_short_name_that_a_cut_left_is_mended(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.esp.rename("orlop_20261201.1.efi", "ORLOP_~1.EFI")
    world.step()
    assert world.engine.writer.facts().uki(V1) == Uki(V1)
    assert world.engine.note == "renamed ORLOP_~1.EFI to orlop_20261201.1.efi"


def test_a_uki_that_the_firmware_would_refuse_is_never_published(tmp_path: Path) -> None:
    """What Secure Boot will be asked by: the signature is not there yet, its place is."""
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    asked: list[bytes] = []

    def accepts(uki: Device) -> None:
        asked.append(device.read(uki, 0, 2))
        raise Damaged(f"the UKI of {V2} is not signed by a key of this machine's firmware")

    world.engine.writer.accepts = accepts
    world.run(lambda: len(asked) > 2)
    assert set(asked) == {b"MZ"}, "it is asked of the UKI as it would be started"
    assert "not signed by a key" in world.engine.memory.failure
    assert world.engine.writer.facts().uki(V2) is None and world.running.version == V1
    world.engine.writer.accepts = lambda _: None
    world.run(lambda: world.running.version == V2)


@pytest.mark.parametrize("offered", [THIRD.target, None])
def test_while_a_fetch_fails_a_replacement_or_a_halt_is_noticed_within_the_hour(
    tmp_path: Path, offered: Target | None
) -> None:
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.faults.break_off = 1.0
    world.run(lambda: world.engine.memory.failures > 10)
    while (again := world.engine.memory.retry_at) is None or again < world.now + timedelta(hours=2):
        world.engine.step()
    assert "does not answer" in world.engine.memory.failure, "a check does not hide what it waits for"
    world.publish(THIRD, "good")
    world.offered = offered
    until = world.now + timedelta(hours=1)
    while world.engine.memory.offer != offered:
        assert world.now < until
        world.now += timedelta(minutes=1)
        world.engine.step()
    world.engine.step()
    assert getattr(world.engine.memory.state, "target", None) == offered
    assert world.engine.memory.retry_at is None
