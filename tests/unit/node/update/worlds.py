"""Three releases, each like the one before it, and worlds that run them."""

from __future__ import annotations

from pathlib import Path

from orlop.cluster.lock import LockRefused
from orlop.model.update.state import Idle
from orlop.model.words.version import Version
from orlop.node.update.outside import RebootLock
from simulators.releases import release
from simulators.world import World

V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
FIRST = release(str(V1), blocks=64)
SECOND = release(str(V2), blocks=64, like=FIRST)
THIRD = release(str(V3), blocks=64, like=SECOND)


def idle(world: World) -> bool:
    return world.engine.memory.state == Idle() and world.engine.memory.checked_at is not None


def second_runs(folder: Path, lock: RebootLock | None = None) -> World:
    world = World(folder, FIRST, lock=lock)
    world.publish(SECOND, "good")
    world.run(lambda: world.running.version == V2 and idle(world))
    return world


class OneSlot:
    """A reboot lock with one slot, which this machine or `other` may hold."""

    def __init__(self) -> None:
        self.holder = self.etcd = ""
        self.said: list[str] = []

    def take(self, etcd: str = "") -> None:
        self.etcd = etcd
        if self.holder not in ("", "me"):
            raise LockRefused(f"{self.holder} holds the lock")
        self.holder = "me"
        self.said.append("taken")

    def give_back(self) -> None:
        if self.holder == "me":
            self.holder = ""
            self.said.append("given back")


def rot(world: World) -> None:
    """A sector of the slot that does not run goes bad."""
    other = world.engine.writer.disk.slots()[1]
    world.medium.corrupt(other.usr.first * 512 + 7000, b"rot")
