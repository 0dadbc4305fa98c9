"""Somebody asks for something, or the disk fails, while the engine reads a slot: what was under way is gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.model.update.actions import Reboot
from orlop.model.update.boot import Uki
from orlop.model.update.decide import Settings
from orlop.model.update.memory import BY_HAND
from orlop.model.update.reboot import Off
from orlop.model.update.state import Staged, Target
from orlop.node.update.outside import Situation
from orlop.node.update.slot.device import DiskFault
from orlop.node.update.slot.progress import Progress
from simulators.world import World
from tests.unit.node.update.worlds import FIRST, V1, V2, idle, second_runs


def interrupt(world: World, step: str = "") -> list[str]:
    """The engine is wanted elsewhere at the next piece, of this step if one is named, once; where it was then."""
    left_at: list[str] = []

    def go_on(progress: Progress) -> bool:
        if left_at or (step and progress.step != step):
            return True
        left_at.append(progress.step)
        return False

    world.engine.outside.go_on = go_on
    return left_at


def steps(world: World, count: int) -> None:
    for _ in range(count):
        world.step()


@pytest.mark.parametrize("step", ["verifying", "publishing"])
def test_a_staged_older_version_is_what_any_reboot_starts_whenever_the_engine_was_interrupted(
    tmp_path: Path, step: str
) -> None:
    world = second_runs(tmp_path)
    world.settings = Settings(Off())
    world.start_engine()
    world.engine.go_to(Target(V1, FIRST.index.root_hash), BY_HAND)
    left_at = interrupt(world, step)
    steps(world, 12)
    assert left_at == [step]
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
    left_at = interrupt(world)
    steps(world, 1)
    assert len(left_at) == 1 and world.engine.memory.denies(V2) is None
    steps(world, 4)
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
    world.offer = unreachable  # type: ignore[method-assign]
    step = world.step()
    assert step is not None and isinstance(step.action, Reboot)
    assert world.running.version == V1


def unreachable(_situation: Situation) -> Target | None:
    raise AssertionError("nobody is asked")
