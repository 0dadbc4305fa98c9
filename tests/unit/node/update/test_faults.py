"""Anything may go wrong at any moment, and something healthy still starts, whole: old or new."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orlop.errors import OrlopError
from orlop.model.index import BLOCK
from orlop.model.memory import Memory
from orlop.model.version import Version
from orlop.node.update.journal import NAME
from tests.simulators import machine
from tests.simulators.releases import release
from tests.simulators.world import World

# every release a run can meet, made once: each like the one before it
CHAIN = [release("20261201.1", blocks=48)]
for _day in range(2, 12):
    CHAIN.append(release(f"202612{_day:02}.1", blocks=48, like=CHAIN[-1]))
FILLER = "filler"


class AnythingGoesWrong(RuleBasedStateMachine):
    """The rules are what happens to a machine; the invariant is what must be true whatever happened."""

    @initialize(seed=st.integers(0, 1 << 16), updated=st.booleans())
    def start(self, seed: int, updated: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder / "state", CHAIN[0], seed)
        self.next = 1
        if updated:  # most of a machine's life both slots hold a good version
            self.a_release_comes_out("good")
            self.world.run(lambda: self.world.running.version == CHAIN[1].version and self.world.is_blessed())

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 12))
    def time_passes(self, count: int) -> None:
        for _ in range(count):
            self.world.step()

    @precondition(lambda self: self.next < len(CHAIN))
    @rule(kind=st.sampled_from(["good", "good", "good", "unhealthy", "dead"]))
    def a_release_comes_out(self, kind: str) -> None:
        self.world.publish(CHAIN[self.next], kind)
        self.next += 1
        self.world.now += timedelta(minutes=6)

    @rule(writes=st.integers(0, 200))
    def the_power_fails_while_it_works(self, writes: int) -> None:
        self.world.faults.power = writes
        for _ in range(8):
            self.world.step()
        if self.world.faults.power is not None:
            self.world.cut()

    @rule()
    def the_power_fails_now(self) -> None:
        self.world.cut()

    @rule(moves=st.integers(0, 30))
    def the_engine_is_killed(self, moves: int) -> None:
        self.world.faults.kill = moves
        for _ in range(5):
            self.world.step()
        self.world.faults.kill = None

    @rule(count=st.integers(1, 20))
    def the_reboot_does_not_come(self, count: int) -> None:
        self.world.faults.unheard = count
        self.time_passes(4)

    @precondition(lambda self: self.world.engine.writer.facts().other in self.world.healthy)
    @rule(by_hand=st.booleans(), kind=st.sampled_from(["none", "good", "unhealthy", "dead"]))
    def the_reboot_back_does_not_come(self, by_hand: bool, kind: str) -> None:
        """And perhaps another release does."""
        world, other = self.world, self.world.engine.writer.facts().other
        assert other
        world.faults.unheard = 20
        if by_hand:
            self.somebody_rolls_back()
        else:
            world.offered = replace(world.releases[other].target, why="pull-back")
            world.now += timedelta(minutes=6)
        self.time_passes(8)
        if kind != "none" and self.next < len(CHAIN):
            self.a_release_comes_out(kind)
            if by_hand:
                self.somebody_names_a_version(self.next)
            self.time_passes(6)

    @rule(lie=st.sampled_from([0.0, 0.05, 1.0]), break_off=st.sampled_from([0.0, 0.2, 0.9]))
    def servers_misbehave(self, lie: float, break_off: float) -> None:
        self.world.faults.lie, self.world.faults.break_off = lie, break_off

    @rule(keep=st.floats(0, 1), garbage=st.binary(max_size=40))
    def the_journal_is_damaged(self, keep: float, garbage: bytes) -> None:
        path = self.folder / "state" / NAME
        with contextlib.suppress(FileNotFoundError):
            raw = path.read_bytes()
            path.write_bytes(raw[: int(len(raw) * keep)] + garbage)
        self.world.start_engine()

    @rule()
    def var_is_full(self) -> None:
        path = self.folder / "state" / NAME
        path.parent.mkdir(exist_ok=True)
        aside = path.with_name("aside")
        if path.exists():
            path.rename(aside)
        path.symlink_to("/dev/full")
        for _ in range(6):
            self.world.step()
            if self.world.engine.memory == Memory():  # it was started anew, and read what is full
                break
        path.unlink()
        if aside.exists():
            aside.rename(path)
        self.world.start_engine()

    @rule(spare=st.sampled_from([0, 1000, 20_000, 1 << 20, 1 << 21]))
    def something_fills_the_esp(self, spare: int) -> None:
        if self.world.esp.free() > spare + 1024:
            self.world.esp.fill(FILLER, spare)
        for _ in range(4):
            self.world.step()
        self.world.esp.remove(FILLER)

    def _is_what_is_left(self) -> bool:
        """What runs is healthy, and nobody has just rolled back from it: if the other slot rots, this one comes up."""
        mine = self.world.engine.writer.facts().uki(self.world.running.version)
        return self.world.running.version in self.world.healthy and mine is not None and not mine.bad

    @precondition(_is_what_is_left)
    @rule(seed=st.integers(0, 1 << 16))
    def the_other_slot_rots(self, seed: int) -> None:
        rng = random.Random(seed)
        disk = machine.disk_of(self.world.medium, self.world.running.root_hash)
        other = disk.slots()[1]
        entry = rng.choice((other.usr, other.verity))
        at = rng.randrange(0, 3 * BLOCK if entry == other.verity else 48 * BLOCK)
        self.world.medium.corrupt(entry.first * 512 + at, rng.randbytes(3))

    def _could_go_back(self) -> bool:
        """Both slots are blessed and whole."""
        world = self.world
        listed = machine.entries(world.medium.durable)
        for entry in listed:
            with contextlib.suppress(machine.Unbootable):
                machine.check(world.medium.durable, entry, {r.uki for r in world.releases.values()})
                continue
            return False
        return len(listed) == 2 and all(e.left < 0 and e.version in world.healthy for e in listed)

    @precondition(_could_go_back)
    @rule(tree=st.booleans(), garbage=st.binary(min_size=1, max_size=8))
    def the_running_slot_rots_and_the_power_fails(self, tree: bool, garbage: bytes) -> None:
        mine = machine.disk_of(self.world.medium, self.world.running.root_hash).slots()[0]
        self.world.medium.corrupt((mine.verity if tree else mine.usr).first * 512, b"rot" + garbage)
        self.world.cut()

    @rule(years=st.integers(-40, 40))
    def the_clock_is_wrong(self, years: int) -> None:
        self.world.now = datetime(2026 + years, 6, 1, tzinfo=UTC)

    @rule(day=st.integers(1, 11))
    def somebody_names_a_version(self, day: int) -> None:
        version = Version.parse(f"202612{day:02}.1")
        if version in self.world.releases:
            with contextlib.suppress(OrlopError):
                self.world.engine.go_to(self.world.releases[version].target)

    @rule()
    def somebody_rolls_back(self) -> None:
        with contextlib.suppress(OrlopError):
            self.world.engine.roll_back()

    @rule(held=st.booleans())
    def somebody_holds_updates(self, held: bool) -> None:
        self.world.engine.hold("testing") if held else self.world.engine.unhold()

    @invariant()
    def something_healthy_is_bootable(self) -> None:
        if hasattr(self, "world"):
            self.world.destiny(self.world.medium.durable)

    @invariant()
    def what_runs_is_never_older_unless_somebody_said_so(self) -> None:
        if hasattr(self, "world"):
            assert self.world.running.version in self.world.releases


AnythingGoesWrong.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestAnythingGoesWrong = AnythingGoesWrong.TestCase
