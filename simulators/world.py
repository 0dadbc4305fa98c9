"""One machine through its life: boots, updates, faults. What firmware and systemd do between boots is done here.

A boot is what `machine` says: systemd-boot counts the first entry's tries in its file name and starts it; a system that
does not come up ends in another boot. Each boot that comes up is judged once. A healthy one is blessed by renaming its
UKI, as systemd-bless-boot does; one without a verdict is rebooted as orlop-health-guard does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orlop.errors import NoSpace
from orlop.model.release.index import Blob, Index
from orlop.model.update.actions import Step
from orlop.model.update.boot import Uki
from orlop.model.update.decide import Health, Settings
from orlop.model.update.memory import Memory
from orlop.model.update.repair import Repair, Trouble, wanted
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.net.errors import Absent, Unreachable
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.blobs.source import BlobStream
from orlop.node.update.engine import Engine
from orlop.node.update.journal import Journal
from orlop.node.update.outside import Catalog, Keeper, Outside, RebootLock, Situation
from orlop.node.update.slot.progress import Progress
from orlop.node.update.slot.writer import Writer
from simulators import machine
from simulators.machine import MenuEntry, NoSlot, Unbootable, Variables
from simulators.medium import Medium, Pages, PowerCut, Write
from simulators.releases import Release, part

WAIT_STEPS = 6  # of the engine, for which trouble around the machine is waited for in a boot on trial
GUARD_STEPS = 15  # of the engine, in a boot without verdict


class Killed(BaseException):
    """SIGKILL: the process is gone, the kernel and what it had buffered are not."""


@dataclass
class Faults:
    """What goes wrong: servers lie or break with these chances; `power` and `kill` count down to their moment.

    `checkpoint` counts down to a kill too: each checkpoint of the engine is two moments, before it and after it.
    So many requests to reboot as `unheard` says come to nothing, or cannot even be made.
    """

    rng: random.Random
    lie: float = 0.0
    break_off: float = 0.0
    power: int | None = None
    kill: int | None = None
    checkpoint: int | None = None
    unheard: int = 0

    def wrote(self, _write: Write | None) -> None:
        if self.power is not None:
            self.power -= 1
            if self.power < 0:
                self.power = None
                raise PowerCut

    def moved(self) -> None:
        if self.kill is not None:
            self.kill -= 1
            if self.kill < 0:
                self.kill = None
                raise Killed

    def saves(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint -= 1
            if self.checkpoint < 0:
                self.checkpoint = None
                raise Killed


class Checkpoints(Journal):
    """The engine's journal, around whose checkpoints it may be killed."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        super().__init__(folder)
        self._faults = faults

    def save(self, memory: Memory) -> None:
        self._faults.saves()
        super().save(memory)
        self._faults.saves()


@dataclass
class BlobServer:
    """A `BlobSource` with every release's blobs, and the faults."""

    name: str
    releases: dict[Version, Release]
    faults: Faults

    def open(self, path: str, start: int, end: int) -> BlobStream:
        if self.faults.rng.random() < self.faults.break_off:
            raise Unreachable(f"{self.name} does not answer")
        for release in self.releases.values():
            for raw in (release.usr, release.verity, release.uki):
                if path == _blob_of(raw).path:
                    return _Sent(self, raw, start, end)
        raise Absent(f"{self.name} has no {path}")

    def close(self) -> None:
        pass


_BLOBS: dict[bytes, Blob] = {}


def _blob_of(raw: bytes) -> Blob:
    if raw not in _BLOBS:
        _BLOBS[raw] = part(raw).blob
    return _BLOBS[raw]


class _Sent:
    whole = False

    def __init__(self, server: BlobServer, raw: bytes, start: int, end: int) -> None:
        self._server, self._raw, self.position, self._end = server, raw, start, end

    def read_into(self, buffer: memoryview) -> int:
        faults = self._server.faults
        if faults.rng.random() < faults.break_off:
            raise Unreachable(f"{self._server.name} broke off")
        count = min(len(buffer), self._end - self.position, faults.rng.choice((100, 5000, 1 << 20)))
        data = bytearray(self._raw[self.position : self.position + count])
        if data and faults.rng.random() < faults.lie:
            data[faults.rng.randrange(len(data))] ^= 0xFF
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        pass


@dataclass
class World:
    """`healthy` are the versions that judge themselves healthy, `dead` those that never get that far.

    `hung` are those that come up and never come to a verdict. `tries`: the first version has so many left, and is well
    or of another `kind` (`publish`); None: it was blessed long ago. `away`: no repository answers. `trouble` is what is
    wrong around the machine, as `orlop.model.update.blame` has it: a boot on trial waits for its end before it has a
    verdict. Both, and a clock that is wrong, may be so from the first boot on. `ails` is what broke since the boot; a
    reboot mends it, unless it `stays`.
    """

    folder: Path
    first: Release
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    now: datetime = datetime(2026, 12, 1, tzinfo=UTC)
    lock: RebootLock | None = None
    people: int = 0
    tries: int | None = None
    kind: str = "good"
    away: bool = False
    trouble: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.faults = Faults(self.rng)
        self.releases = {self.first.version: self.first}
        self.healthy: set[Version] = set()
        self.dead: set[Version] = set()
        self.hung: set[Version] = set()
        self.proven = self.tries is None
        self._is(self.first.version, self.kind)
        self.catalog: Catalog = self
        self.offered: Target | None = None
        self.ails: set[str] = set()
        self.stays = False
        self.medium: Medium = machine.install(self.first, fill=self.seed % 9, tries=self.tries)
        self.medium.before_write = self.faults.wrote
        self.reboots = 0
        self.counted: Uki | None = None  # the name that systemd-boot gave what it started, if it counted a try
        self.variables = Variables()
        self.boot()

    # what the engine meets

    def offer(self, _situation: Situation) -> Target | None:
        if self.away:
            raise Unreachable("no repository answers")
        return self.offered

    def index(self, target: Target, _situation: Situation) -> Index:
        return self.releases[target.version].index

    def fetcher(self, target: Target) -> Fetcher:
        assert target.version in self.releases
        servers = [BlobServer(f"server {n}", self.releases, self.faults) for n in range(2)]
        return Fetcher(servers, sleep=lambda _: None)

    def go_on(self, _progress: Progress) -> bool:
        self.faults.moved()
        return True

    def health(self) -> Health:
        """This boot's verdict."""
        return self.verdict

    def repair(self) -> Repair | None:
        """The reboot that would mend what broke."""
        troubles = [Trouble(what, f"{what} is broken", timedelta(hours=1)) for what in sorted(self.ails)]
        return wanted(troubles, self.now - self.up_since)

    def reboot(self) -> None:
        if self.faults.unheard > 0:
            self.faults.unheard -= 1
            if self.faults.unheard % 2:
                raise NoSpace("no space left to ask for a reboot")
            return
        self.reboot_wanted = True

    # the machine

    def publish(self, release: Release, kind: str) -> None:
        """`kind`: good, unhealthy (it comes up and knows that it is not well), hung, dead (it never gets that far)."""
        self.releases[release.version] = release
        self.offered = release.target
        self._is(release.version, kind)

    def _is(self, version: Version, kind: str) -> None:
        for name, kinds in (("good", self.healthy), ("dead", self.dead), ("hung", self.hung)):
            if kind == name:
                kinds.add(version)

    def mend(self) -> None:
        """What was wrong around the versions that come up is put right: their next boots are good."""
        self.healthy |= self.releases.keys() - self.dead
        self.hung.clear()

    def boot(self) -> None:
        """Firmware, systemd-boot, kernel, initrd; again until something comes up. Then the engine starts."""
        for _ in range(12):
            listed = machine.entries(self.medium.durable)
            entry = self._start(listed)
            why = self._why_not(self.medium.durable, entry, listed, self.variables)
            if not why and entry.version not in self.dead:
                break
            assert entry.left >= 0 or self.variables.failures, f"{entry.file} {why}, and nothing counts its tries"
        else:
            raise Unbootable("nothing came up in twelve boots")
        self.running = entry
        self.steps = 0
        self.up_since = self.now
        self.ails = self.ails if self.stays else set()
        self.verdict = self._judge()
        self.reboots += 1
        self.reboot_wanted = False
        self.esp = machine.esp_of(self.medium, self.rng)
        self.start_engine()

    def _judge(self) -> Health:
        if self.running.version in self.hung:
            return Health()
        if self.running.version not in self.healthy:
            return Health(False, "a unit failed", ("system:a.service", *sorted(self.trouble)))
        if not self.trouble:
            return Health(True)
        around = tuple(sorted(self.trouble))
        waits = self.counted is not None and self.steps < WAIT_STEPS
        return Health(None if waits else False, f"{' '.join(around)} is bad", () if waits else around)

    def _guard(self) -> None:
        """A boot without verdict, as orlop-health-guard sees to it."""
        self.steps += 1
        if self.verdict.good is None:
            self.verdict = self._judge()
        if self.verdict.good is not None or self.steps <= GUARD_STEPS or self.counted is None:
            return
        ukis = (uki for n in self.engine.writer.facts().names if (uki := Uki.parse(n)))
        others = [uki for uki in ukis if uki.version != self.running.version]
        aside = any(u.bad and not u.done and u.version > self.running.version for u in others)
        if not self.counted.bad or aside or any(not u.bad for u in others):
            self.reboot_wanted = True

    def _why_not(self, pages: Pages, entry: MenuEntry, listed: list[MenuEntry], variables: Variables) -> str:
        """Why the entry gets not even to its services; empty when it does."""
        try:
            machine.check(pages, entry, self._ukis())
        except NoSlot as e:
            variables.failed(entry, listed)
            return str(e)
        except Unbootable as e:
            variables.failures = 0
            return str(e)
        variables.failures = 0
        return ""

    def _start(self, listed: list[MenuEntry]) -> MenuEntry:
        """What systemd-boot chooses; its tries are counted as the firmware's FAT driver does it, if there is room."""
        entry = self.variables.first(listed)
        uki = Uki.parse(entry.file)
        self.counted = None
        if uki and not uki.blessed:
            firmware = machine.esp_of(self.medium, self.rng)
            with contextlib.suppress(NoSpace):
                firmware.rename(entry.file, uki.tried().name)
                self.counted = uki.tried()
        return entry

    def start_engine(self, keeper: Keeper | None = None) -> Engine:
        """A new process of it; `keeper` is who drives it, the world itself unless given."""
        keeper = keeper or self
        disk = machine.disk_of(self.medium, self.running.root_hash)
        writer = Writer(disk, self.esp, self.running.version)
        outside = Outside(
            lambda: self.now, self.catalog, keeper.reboot, self.health, lambda: self.people, self.lock,
            repair=keeper.repair, random=random.Random(self.rng.random()), go_on=keeper.go_on,
            console=lambda version: f"the console of {version}",
        )  # fmt: skip
        self.engine = Engine(writer, Checkpoints(self.folder, self.faults), outside, self.settings)
        return self.engine

    def step(self) -> Step | None:
        """One step of the engine; None when the power was cut or the process killed in it."""
        self.now += timedelta(seconds=30)
        try:
            step = self.engine.step()
            if self.engine.memory.retry_at:
                self.now = max(self.now, self.engine.memory.retry_at)
            self.bless()
            self._guard()
            if self.reboot_wanted:
                self.medium.flush()
                self.boot()
        except PowerCut:
            self.cut()
            return None
        except Killed:
            self.start_engine()
            return None
        return step

    def bless(self) -> None:
        """As systemd-bless-boot, once the boot is complete: a rename, which the power may fail in too.

        It knows the UKI by the name that it was started by, or by that with no tries left. Where the folder has no room
        for another name its unit fails, and the next boot is blessed instead.
        """
        if not self.verdict.good or self.counted is None:
            return
        for name in (self.counted.name, self.counted.demoted().name):
            if name in self.esp.names():
                with contextlib.suppress(NoSpace):
                    self.esp.rename(name, self.counted.bless().name)
                    self.proven = True
                return

    def is_blessed(self) -> bool:
        mine = self.engine.writer.facts().uki(self.running.version)
        return mine is not None and mine.blessed

    def cut(self) -> None:
        """The power fails now."""
        self.faults.power = None
        self.medium.cut(self.rng)
        self.destiny(self.medium.durable)
        self.boot()

    def _ukis(self) -> set[bytes]:
        return {r.uki for r in self.releases.values()}

    def destiny(self, pages: Pages) -> Version:
        """The healthy version that this disk ends up in, if left alone. Raises Unbootable when there is none.

        While no version was ever blessed, it may be any that comes up: its engine then looks for a way on.
        """
        listed = machine.entries(pages)
        variables = dataclasses.replace(self.variables)
        for _ in range(12):
            listed.sort(key=machine.ORDER)
            entry = variables.first(listed)
            why = self._why_not(pages, entry, listed, variables)
            if not why and entry.version in self.healthy:
                return entry.version
            if not why and entry.version not in self.dead and not self.proven:
                return entry.version
            if entry.left < 0 and not variables.failures:
                raise Unbootable(f"{entry.file} {why or 'is not healthy'}, and would be started for ever")
            listed = [e.tried() if e == entry and e.left >= 0 else e for e in listed]
        raise Unbootable("no healthy version is reached in twelve boots")

    def run(self, until: Callable[[], bool], limit: int = 200) -> None:
        """Steps until something is so."""
        for _ in range(limit):
            if until():
                return
            self.step()
        raise AssertionError(f"not after {limit} steps: {self.engine.memory}")
