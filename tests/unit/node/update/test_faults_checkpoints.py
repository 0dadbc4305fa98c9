"""`kill -9` of the engine before and after each of its checkpoints: the update ends as it would have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.model.update.boot import Uki
from orlop.model.update.state import Idle
from orlop.model.words.version import Version
from simulators.releases import release
from simulators.world import Killed, World

V1, V2 = (Version.parse(f"2026120{n}.1") for n in (1, 2))
FIRST = release(str(V1), blocks=32)
SECOND = release(str(V2), blocks=32, like=FIRST)
MANY = 1 << 20


def idle(world: World) -> bool:
    return world.engine.memory.state == Idle() and world.engine.memory.checked_at is not None


def stays(world: World) -> None:
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and world.is_blessed() and idle(world))
    assert world.engine.writer.facts().names == (Uki(V1).name, Uki(V2).name)


def ends_in_the_old_version(world: World) -> None:
    world.run(lambda: world.engine.memory.denies(V2) is not None and idle(world))
    assert world.running.version == V1 and world.is_blessed()


def is_left_again(world: World) -> None:
    world.publish(SECOND, "unhealthy")
    ends_in_the_old_version(world)


def never_comes_up(world: World) -> None:
    world.publish(SECOND, "dead")
    ends_in_the_old_version(world)


def is_rolled_back(world: World) -> None:
    """Who asks and gets no answer asks again."""
    stays(world)
    try:
        world.engine.roll_back()
    except Killed:
        world.start_engine()
        if world.engine.memory.denies(V2) is None:
            world.engine.roll_back()
    world.run(lambda: world.running.version == V1 and world.is_blessed() and idle(world))
    assert world.engine.memory.denies(V2) is not None


def tell(folder: Path, story: Callable[[World], None], moment: int) -> int | None:
    """The story with a kill at that moment of it; how many moments were left at its end, None after a kill."""
    world = World(folder, FIRST)
    world.faults.checkpoint = moment
    story(world)
    world.destiny(world.medium.durable)
    return world.faults.checkpoint


@pytest.mark.parametrize("story", [stays, is_left_again, never_comes_up, is_rolled_back], ids=lambda s: s.__name__)
def test_a_kill_at_any_checkpoint_changes_nothing(tmp_path: Path, story: Callable[[World], None]) -> None:
    left = tell(tmp_path / "whole", story, MANY)
    assert left is not None and left < MANY - 10
    for moment in range(MANY - left):
        assert tell(tmp_path / str(moment), story, moment) is None
