"""A machine that breaks long after its boot was good: it is mended where that is known to help, and no version is
blamed.
"""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from orlop.model.update.decide import Settings
from orlop.model.update.reboot import Off, Window
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, SECOND, V2, OneSlot, idle, second_runs

NIGHT = Settings(Window(frozenset(range(7)), time(2), timedelta(hours=1), ZoneInfo("UTC")))
DAYS = timedelta(days=3)


def live(world: World, hours: float) -> int:
    """Let it live for so long; how often it rebooted."""
    before, end = world.reboots, world.now + timedelta(hours=hours)
    while world.now < end:
        world.step()
        world.now += timedelta(minutes=2)
    return world.reboots - before


def unharmed(world: World) -> None:
    assert world.running.version == V2 and world.is_blessed()
    assert world.engine.memory.denied == () and world.engine.memory.excused == ()


def test_errors_of_var_reboot_it_at_once_whatever_window_and_lock_say(tmp_path: Path) -> None:
    lock = OneSlot()
    world = second_runs(tmp_path, lock)
    world.now, world.settings = world.now + DAYS, NIGHT
    world.engine.settings = NIGHT
    lock.holder = "another"
    world.ails.add("storage")
    assert live(world, 0.2) == 1
    unharmed(world)
    assert world.ails == set()


@pytest.mark.parametrize(("what", "most"), [("storage", 24 * 6), ("podman", 4)])
def test_what_a_reboot_does_not_mend_costs_few(tmp_path: Path, what: str, most: int) -> None:
    world = second_runs(tmp_path)
    world.now += DAYS
    world.stays = True
    world.ails.add(what)
    assert 1 <= live(world, 24) <= most
    unharmed(world)


def test_what_endangers_nothing_waits_for_the_window_and_the_lock_and_gives_it_back(tmp_path: Path) -> None:
    lock = OneSlot()
    world = second_runs(tmp_path, lock)
    lock.said.clear()
    world.settings = world.engine.settings = NIGHT
    world.now = (world.now + DAYS).replace(hour=12)
    world.ails.add("podman")
    assert live(world, 13) == 0
    lock.holder = "another"
    assert live(world, 1.5) == 0
    lock.holder = ""
    assert live(world, 24) == 1
    assert lock.said == ["taken", "given back"]
    unharmed(world)


@pytest.mark.parametrize("what", ["var", "network", "workload:web.service", "system:a.service", "time", "image"])
def test_what_a_reboot_does_not_mend_is_not_rebooted_for(tmp_path: Path, what: str) -> None:
    world = second_runs(tmp_path)
    world.now += DAYS
    world.ails.add(what)
    assert live(world, 24) == 0
    unharmed(world)


def test_who_turned_reboots_off_is_only_told(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.now += DAYS
    world.settings = world.engine.settings = Settings(Off())
    world.ails |= {"storage", "podman"}
    assert live(world, 24) == 0


def test_a_first_version_that_is_bad_for_it_is_mended_too(tmp_path: Path) -> None:
    """There is no other to go back to, and so no verdict that leads on."""
    world = World(tmp_path, FIRST, tries=3)
    world.trouble = {"storage"}
    world.boot()
    world.run(lambda: world.verdict.good is False)
    world.trouble.clear()
    world.ails = {"storage"}
    assert live(world, 1) == 1
    assert world.is_blessed() and world.engine.memory.denied == ()


def test_a_version_on_trial_is_not_rebooted_for_it_and_not_denied(tmp_path: Path) -> None:
    """Its verdict leads on: /var has errors, it goes back, and is tried again when they are mended."""
    world = World(tmp_path, FIRST)
    world.publish(SECOND, "good")
    world.trouble = {"storage"}
    world.run(lambda: world.running.version == V2)
    world.run(lambda: world.running.version != V2 and idle(world), limit=60)
    assert world.engine.memory.denied == ()
    excused = world.engine.memory.excuses(V2)
    assert excused is not None and "the machine's own" in excused.reason
    world.trouble.clear()
    world.now += timedelta(hours=2)
    world.run(lambda: world.running.version == V2 and idle(world))
    unharmed(world)


def test_a_release_that_waits_is_taken_up_although_the_machine_ails(tmp_path: Path) -> None:
    world = World(tmp_path, FIRST)
    world.stays = True
    world.ails = {"var", "podman"}
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    unharmed(world)
