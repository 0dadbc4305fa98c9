"""One machine through its life: boots, updates, faults. What firmware and systemd do between boots is done here.

A boot is what `machine` says: systemd-boot counts the first entry's tries in its file name and starts it; a system that
is not healthy ends in another boot. A healthy one is blessed by renaming its UKI, as systemd-bless-boot does.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orlop.errors import NoSpace
from orlop.model.boot import Uki
from orlop.model.decide import Health, Settings, Step
from orlop.model.index import Blob, Index
from orlop.model.memory import Memory
from orlop.model.update import Booted, Healthy, Target
from orlop.model.version import Version
from orlop.node.update.engine import Engine, Outside, RebootLock
from orlop.node.update.fetch import Fetcher
from orlop.node.update.journal import Journal
from orlop.node.update.source import Absent, Stream, Unreachable
from orlop.node.update.writer import Progress, Writer
from tests.simulators import machine
from tests.simulators.machine import Entry, NoSlot, Unbootable, Variables
from tests.simulators.medium import Medium, Pages, PowerCut, Write
from tests.simulators.releases import Release, part


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

    def moved(self, _progress: Progress) -> None:
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
class Server:
    """A `Source` with every release's blobs, and the faults."""

    name: str
    releases: dict[Version, Release]
    faults: Faults

    def open(self, path: str, start: int, end: int) -> Stream:
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

    def __init__(self, server: Server, raw: bytes, start: int, end: int) -> None:
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
    """`healthy` are the versions that judge themselves healthy, `dead` those that never get that far."""

    folder: Path
    first: Release
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    now: datetime = datetime(2026, 12, 1, tzinfo=UTC)
    lock: RebootLock | None = None
    people: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.faults = Faults(self.rng)
        self.releases = {self.first.version: self.first}
        self.healthy = {self.first.version}
        self.dead: set[Version] = set()
        self.offered: Target | None = None
        self.medium: Medium = machine.install(self.first, fill=self.seed % 9)
        self.medium.before_write = self.faults.wrote
        self.reboots = 0
        self.variables = Variables()
        self.boot()

    # what the engine meets

    def offer(self) -> Target | None:
        return self.offered

    def index(self, target: Target) -> Index:
        return self.releases[target.version].index

    def fetcher(self, target: Target) -> Fetcher:
        assert target.version in self.releases
        servers = [Server(f"server {n}", self.releases, self.faults) for n in range(2)]
        return Fetcher(servers, sleep=lambda _: None)

    def health(self) -> Health:
        good = self.running.version in self.healthy
        return Health(good, "" if good else "a unit failed")

    def reboot(self) -> None:
        if self.faults.unheard > 0:
            self.faults.unheard -= 1
            if self.faults.unheard % 2:
                raise NoSpace("no space left to ask for a reboot")
            return
        self.reboot_wanted = True

    # the machine

    def publish(self, release: Release, kind: str) -> None:
        """`kind`: good, unhealthy (it comes up and knows that it is not well), dead (it never gets that far)."""
        self.releases[release.version] = release
        self.offered = release.target
        if kind == "good":
            self.healthy.add(release.version)
        if kind == "dead":
            self.dead.add(release.version)

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
        self.reboots += 1
        self.reboot_wanted = False
        self.esp = machine.esp_of(self.medium, self.rng)
        self.start_engine()

    def _why_not(self, pages: Pages, entry: Entry, listed: list[Entry], variables: Variables) -> str:
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

    def _start(self, listed: list[Entry]) -> Entry:
        """What systemd-boot chooses; its tries are counted as the firmware's FAT driver does it."""
        entry = self.variables.first(listed)
        uki = Uki.parse(entry.file)
        if uki and not uki.blessed:
            firmware = machine.esp_of(self.medium, self.rng)
            firmware.rename(entry.file, uki.tried().name)
        return entry

    def start_engine(self) -> None:
        progress = Progress(tell=self.faults.moved)
        disk = machine.disk_of(self.medium, self.running.root_hash)
        writer = Writer(disk, self.esp, self.running.version, progress)
        outside = Outside(
            lambda: self.now, self, self.reboot, self.health, lambda: self.people, self.lock,
            random=random.Random(self.rng.random()),
        )  # fmt: skip
        self.engine = Engine(writer, Checkpoints(self.folder, self.faults), outside, self.settings)

    def step(self) -> Step | None:
        """One step of the engine; None when the power was cut or the process killed in it."""
        self.now += timedelta(seconds=30)
        try:
            step = self.engine.step()
            if self.engine.memory.retry_at:
                self.now = max(self.now, self.engine.memory.retry_at)
            self.bless()
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
        """As systemd-bless-boot, once the boot is complete: a rename, which the power may fail in too."""
        if not isinstance(self.engine.memory.state, Healthy | Booted):
            return
        mine = self.engine.writer.facts().uki(self.running.version)
        if mine and not mine.blessed and self.running.version in self.healthy:
            self.esp.rename(mine.name, mine.bless().name)

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
        """The healthy version that this disk ends up in, if left alone. Raises Unbootable when there is none."""
        listed = machine.entries(pages)
        variables = dataclasses.replace(self.variables)
        for _ in range(12):
            listed.sort(key=machine.ORDER)
            entry = variables.first(listed)
            why = self._why_not(pages, entry, listed, variables)
            if not why and entry.version in self.healthy:
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
