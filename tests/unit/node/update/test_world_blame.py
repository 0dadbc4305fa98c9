"""What is wrong around a machine while it tries a release: waited for, compared, and never a good release's fault."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orlop.model.update.boot import Uki
from orlop.model.update.state import Booted, Reverted
from simulators.world import WAIT_STEPS, World
from tests.unit.node.update.worlds import FIRST, SECOND, THIRD, V1, V2, V3, OneSlot, idle


def on_trial(folder: Path, *trouble: str, lock: OneSlot | None = None) -> World:
    """The first boot of a good release, with something wrong around the machine."""
    world = World(folder, FIRST, lock=lock)
    world.trouble = set(trouble)
    world.publish(SECOND, "good")
    world.run(lambda: isinstance(world.engine.memory.state, Booted))
    return world


def test_trouble_that_passes_within_the_limit_is_waited_for(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    step = world.step()
    assert step is not None and step.reason.endswith("waiting for its health verdict; network is bad")
    world.trouble.clear()
    world.run(lambda: idle(world))
    assert world.running.version == V2 and world.is_blessed() and world.reboots == 2


@pytest.mark.parametrize("kind", ["network", "var", "time", "image", "data"])
def test_what_is_as_bad_under_the_version_before_is_not_the_releases_fault_and_comes_again(
    tmp_path: Path, kind: str
) -> None:
    lock = OneSlot()
    world = on_trial(tmp_path, kind, lock=lock)
    world.run(lambda: world.running.version == V1 and idle(world), limit=WAIT_STEPS + 10)
    memory = world.engine.memory
    excused = memory.excuses(V2)
    assert memory.denied == () and excused is not None
    assert excused.reason == f"{kind} is bad; {kind} is bad under {V1} too"
    world.run(lambda: lock.holder == "")
    said = [step.reason for _ in range(3) if (step := world.step())]
    assert any(f"{V2} is tried again at " in reason for reason in said)
    assert world.engine.writer.facts().names == (Uki(V1).name,)
    world.trouble.clear()
    world.now += timedelta(hours=1)
    world.run(lambda: world.running.version == V2 and idle(world))
    assert world.engine.memory.excused == ()


def test_trouble_that_lasts_is_met_ever_later(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    began, boots = world.now, []
    while world.now - began < timedelta(days=3):
        before = world.reboots
        world.step()
        if world.running.version == V2 and world.reboots > before:
            boots.append(world.now)
        world.now += timedelta(minutes=5)
    assert 5 <= len(boots) <= 8
    assert world.engine.memory.denied == ()


def test_what_only_the_new_version_has_is_denied_and_the_list_says_what_was_compared(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    world.run(lambda: world.running.version == V2 and world.verdict.good is False)
    world.trouble.clear()  # as it is when the old version has a driver that the new one lacks
    world.run(lambda: world.running.version == V1 and idle(world))
    denied = world.engine.memory.denies(V2)
    assert denied is not None and denied.reason == f"network is bad; compared with {V1}, where network is well"
    assert denied.excerpt == f"the console of {V2}", "what the failed version said is kept with it"


def test_a_version_of_which_nothing_is_known_is_excused_when_var_is_full(tmp_path: Path) -> None:
    """/var was full: its verdict could not be remembered."""
    world = on_trial(tmp_path, "var")
    journal = world.engine.journal.path.read_bytes()
    world.run(lambda: world.running.version == V1)
    world.engine.journal.path.write_bytes(journal)
    world.start_engine()
    world.run(lambda: idle(world))
    assert world.engine.memory.denied == () and world.engine.memory.excuses(V2) is not None


def test_a_newer_release_does_not_wait_for_the_comparison(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    world.hung.add(V1)  # it never comes to a verdict
    world.run(lambda: world.running.version == V1)
    world.run(lambda: isinstance(world.engine.memory.state, Reverted))
    for _ in range(10):
        world.step()
    assert isinstance(world.engine.memory.state, Reverted)
    world.trouble.clear()
    world.publish(THIRD, "good")
    world.now += timedelta(minutes=6)
    world.run(lambda: world.running.version == V3 and idle(world))


def test_a_dead_version_is_off_the_disk_before_the_comparison_when_what_runs_is_unproven_too(tmp_path: Path) -> None:
    """That one hangs: it is rebooted until its tries are used up, and the dead one would be started for ever."""
    world = World(tmp_path, FIRST, tries=3, kind="hung")
    world.publish(SECOND, "dead")
    world.run(lambda: isinstance(world.engine.memory.state, Reverted))
    world.step()
    assert world.engine.writer.facts().uki(V2) is None
    for _ in range(20):
        world.boot()
    assert world.running.version == V1


def test_an_excused_version_comes_by_name_at_once(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    world.run(lambda: world.engine.memory.excuses(V2) is not None)
    world.trouble.clear()
    assert world.engine.go_to(SECOND.target)
    world.run(lambda: world.running.version == V2 and idle(world))


def test_an_excused_version_that_is_allowed_is_tried_at_once(tmp_path: Path) -> None:
    world = on_trial(tmp_path, "network")
    world.run(lambda: world.engine.memory.excuses(V2) is not None)
    world.trouble.clear()
    world.engine.allow(V2)
    world.run(lambda: world.running.version == V2 and idle(world))
