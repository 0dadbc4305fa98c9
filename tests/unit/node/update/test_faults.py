"""Anything may go wrong at any moment: something healthy still starts, whole, and a good release ends all trouble.

Two properties of one machine. Safety, after every step: the disk, started over and over, ends in a version that is
healthy; or, where none ever was, in one that comes up and whose engine looks for a way on. Liveness, from every state:
once the trouble is over, a good release that is offered runs and is blessed within so many steps and boots, by itself
and by name. The worlds begin badly too.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orlop.errors import OrlopError
from orlop.model.release.index import BLOCK
from orlop.model.update.memory import Memory
from orlop.model.words.version import Version
from orlop.node.update.journal import NAME
from simulators import machine
from simulators.releases import release
from simulators.world import Faults, World

BLOCKS, UKI = 16, 3000
# every release a run can meet, made once: each like the one before it
CHAIN = [release("20261201.1", blocks=BLOCKS, uki=UKI)]
for _number in range(2, 15):
    CHAIN.append(release(f"20261201.{_number}", blocks=BLOCKS, uki=UKI, like=CHAIN[-1]))
LAST = len(CHAIN) - 3  # the others are for the good releases that end a machine's trouble
FILLER = "filler"
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where a journal's fsync costs nothing
AROUND = ("network", "var", "time", "image", "data")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
STEPS, BOOTS = 150, 12  # within which the trouble must have ended


class AnythingGoesWrong(RuleBasedStateMachine):
    """The rules are what happens to a machine; the invariant is what must be true whatever happened."""

    @initialize(
        seed=st.integers(0, 1 << 16),
        kind=st.sampled_from(["good", "good", "unhealthy", "hung"]),
        tries=st.none() | st.integers(1, 3),
        updated=st.booleans(),
        trouble=st.sets(st.sampled_from(AROUND), max_size=2),
        away=st.booleans(),
        years=st.sampled_from([0, 0, -30, 9]),
    )
    def start(
        self, seed: int, kind: str, tries: int | None, updated: bool, trouble: set[str], away: bool, years: int
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        tries = tries if kind == "good" else tries or 3
        self.world = World(
            self.folder / "state", CHAIN[0], seed, now=NOW + timedelta(days=365 * years),
            tries=tries, kind=kind, away=away, trouble=trouble,
        )  # fmt: skip
        self.next = 1
        self.settled: Version | None = None
        self.said = False  # somebody has wanted an older version (a journal may remember), or a slot of what ran rots
        if (
            updated and kind == "good" and not trouble and not away
        ):  # most of a machine's life both slots hold a good version
            self.a_release_comes_out("good")
            self.world.run(lambda: self.world.running.version == CHAIN[1].version and self.world.is_blessed())

    def teardown(self) -> None:
        """Whatever became of it, there is a way out."""
        if not hasattr(self, "world"):
            return
        try:
            self.a_good_release_ends_all_trouble(by_name=self.world.seed % 2 == 0)
        finally:
            shutil.rmtree(self.folder)

    def a_good_release_ends_all_trouble(self, by_name: bool) -> None:
        world = self.world
        world.faults = Faults(world.rng)
        world.medium.before_write = world.faults.wrote
        world.away = False
        world.trouble.clear()
        world.ails, world.stays = set(), False
        world.start_engine()
        good = CHAIN[self.next]
        self.next += 1
        if by_name:
            world.offered, before = None, world.offered
            world.releases[good.version] = good
            world.healthy.add(good.version)
            world.engine.go_to(good.target)
            world.offered = before
        else:
            world.publish(good, "good")
            world.engine.unhold()
            world.now += timedelta(minutes=6)
        boots = world.reboots
        world.run(lambda: world.running.version == good.version and world.is_blessed(), STEPS)
        assert world.reboots - boots <= BOOTS
        self.something_healthy_is_bootable()

    @rule(count=st.integers(1, 8))
    def time_passes(self, count: int) -> None:
        for _ in range(count):
            self.world.step()

    @precondition(lambda self: self.next < LAST)
    @rule(kind=st.sampled_from(["good", "good", "good", "unhealthy", "dead", "hung"]))
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
        self.said = True
        world.faults.unheard = 20
        if by_hand:
            self.somebody_rolls_back()
        else:
            world.offered = replace(world.releases[other].target, why="pull-back")
            world.now += timedelta(minutes=6)
        self.time_passes(8)
        if kind != "none" and self.next < LAST:
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
        """What runs is healthy, and nobody has just rolled back from it: if the other slot rots, this one comes up.

        Not one on trial that is the older of the two: three starts that are cut off besides would be a second fault.
        """
        facts = self.world.engine.writer.facts()
        mine = facts.uki(facts.running)
        if facts.running not in self.world.healthy or mine is None or mine.bad:
            return False
        return mine.blessed or facts.other is None or facts.other < facts.running

    @precondition(_is_what_is_left)
    @rule(seed=st.integers(0, 1 << 16))
    def the_other_slot_rots(self, seed: int) -> None:
        rng = random.Random(seed)
        disk = machine.disk_of(self.world.medium, self.world.running.root_hash)
        other = disk.slots()[1]
        entry = rng.choice((other.usr, other.verity))
        at = rng.randrange(0, 3 * BLOCK if entry == other.verity else BLOCKS * BLOCK)
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
        self.said = True
        self.world.medium.corrupt((mine.verity if tree else mine.usr).first * 512, b"rot" + garbage)
        self.world.cut()

    @rule(years=st.integers(-40, 40))
    def the_clock_is_wrong(self, years: int) -> None:
        self.world.now = datetime(2026 + years, 6, 1, tzinfo=UTC)

    @rule()
    def no_repository_answers(self) -> None:
        self.world.away = True
        self.time_passes(4)
        self.world.away = False

    @rule(what=st.sets(st.sampled_from(AROUND)))
    def something_is_wrong_around_the_machine(self, what: set[str]) -> None:
        self.world.trouble = what

    @rule(what=st.sets(st.sampled_from(["storage", "podman", "system:a.service", "var"])), stays=st.booleans())
    def something_breaks_while_it_runs(self, what: set[str], stays: bool) -> None:
        self.world.ails, self.world.stays = what, stays
        self.world.up_since -= timedelta(hours=12)

    @rule()
    def what_was_wrong_with_versions_that_come_up_is_mended(self) -> None:
        self.world.mend()

    @rule()
    def somebody_reboots_it(self) -> None:
        self.world.step()
        self.world.medium.flush()
        self.world.boot()

    @rule(number=st.integers(1, LAST))
    def somebody_names_a_version(self, number: int) -> None:
        version = Version.parse(f"20261201.{number}")
        if version in self.world.releases:
            self.said |= version < self.world.running.version
            with contextlib.suppress(OrlopError):
                self.world.engine.go_to(self.world.releases[version].target)

    @rule()
    def somebody_rolls_back(self) -> None:
        self.said = True
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
    def a_blessed_version_is_not_left_for_an_older_one_unless_somebody_said_so(self) -> None:
        if not hasattr(self, "world"):
            return
        running = self.world.running.version
        if self.settled is not None and running < self.settled:
            assert self.said, f"{self.settled} was blessed, and {running} runs"
        self.settled = running if self.world.is_blessed() else self.settled


AnythingGoesWrong.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestAnythingGoesWrong = AnythingGoesWrong.TestCase


class ForLong(AnythingGoesWrong):
    """The same, far longer."""


ForLong.TestCase.settings = settings(max_examples=2000, stateful_step_count=50)
TestAnythingGoesWrongForLong = pytest.mark.long(pytest.mark.timeout(3600)(ForLong.TestCase))
