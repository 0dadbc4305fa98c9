"""Somebody asks for something, or the disk fails, while the engine reads a slot: what was under way is gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.model.boot import Uki
from orlop.model.decide import Reboot, Settings
from orlop.model.memory import BY_HAND
from orlop.model.reboot import Off
from orlop.model.update import Staged, Target
from orlop.node.update.daemon import Interrupted
from orlop.node.update.device import DiskFault
from orlop.node.update.writer import Progress
from tests.simulators.world import World
from tests.unit.node.update.worlds import FIRST, V1, V2, idle, second_runs


def interrupt(world: World, step: str = "") -> None:
    """The engine is interrupted at the next piece, of this step if one is named, once."""
    due = [True]

    def moved(progress: Progress) -> None:
        if due and (not step or progress.step == step):
            due.clear()
            raise Interrupted

    world.engine.writer.progress.tell = moved


def goes_on(world: World, steps: int) -> int:
    """So many steps; how many of them were interrupted."""
    count = 0
    for _ in range(steps):
        try:
            world.step()
        except Interrupted:
            count += 1
    return count


@pytest.mark.parametrize("step", ["verifying", "publishing"])
def test_a_staged_older_version_is_what_any_reboot_starts_whenever_the_engine_was_interrupted(
    tmp_path: Path, step: str
) -> None:
    world = second_runs(tmp_path)
    world.settings = Settings(Off())
    world.start_engine()
    world.engine.go_to(Target(V1, FIRST.index.root_hash), BY_HAND)
    interrupt(world, step)
    assert goes_on(world, 12) == 1
    assert isinstance(world.engine.memory.state, Staged)
    world.boot()
    assert world.running.version == V1


def test_a_journal_that_is_lost_while_an_older_version_is_staged_leaves_the_running_one_first(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.settings = Settings(Off())
    world.start_engine()
    world.engine.go_to(Target(V1, FIRST.index.root_hash), BY_HAND)
    world.run(lambda: isinstance(world.engine.memory.state, Staged) and world.engine.writer.facts().aside)
    for file in tmp_path.iterdir():
        if file.is_file():
            file.unlink()
    world.start_engine()
    world.run(lambda: idle(world))
    assert world.engine.writer.facts().uki(V2) == Uki(V2)
    world.boot()
    assert world.running.version == V2


def test_a_passed_over_version_is_looked_at_again_after_an_interruption(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    running = world.engine.writer.disk.slots()[0]
    world.medium.corrupt(running.usr.first * 512 + 7000, b"rot")
    world.offered = None
    world.boot()
    assert world.running.version == V1
    interrupt(world)
    assert goes_on(world, 5) == 1
    assert world.engine.memory.denies(V2) is not None


def test_a_slot_that_cannot_be_read_is_tried_ever_later(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.go_to(Target(V1, FIRST.index.root_hash))

    def fails(*_: object) -> None:
        raise DiskFault("the disk is broken")

    world.engine.writer.verify = fails  # type: ignore[assignment]
    failures = set()
    for _ in range(12):
        world.step()
        failures.add(world.engine.memory.failures)
    assert max(failures) > 3


def test_a_rollback_asks_nobody_first(tmp_path: Path) -> None:
    world = second_runs(tmp_path)
    world.engine.roll_back()
    world.engine.check_at = world.now
    world.engine.outside.catalog.offer = unreachable  # type: ignore[method-assign]
    step = world.step()
    assert step is not None and isinstance(step.action, Reboot)
    assert world.running.version == V1


def unreachable() -> Target | None:
    raise AssertionError("nobody is asked")
