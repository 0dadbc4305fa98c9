"""Every power cut of an update that a booted machine made: its recorded writes, and the disk judged at each point.

    prefix     after each write and each flush
    torn       inside each sector of each write: its first bytes are new, the rest is old
    lost       before each flush: of what was written since the last one, some sectors arrived and some did not

A cut is known by its `Cut`, from which its disk can be made again, to boot it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orlop.model.update.boot import Uki
from orlop.model.words.version import Version
from proofs.recording import SECTOR, Logged, read_log
from simulators import realdisk
from simulators.findings import DiskState, Findings
from simulators.machine import Unbootable
from simulators.realdisk import NO_RELEASE

TORN = "new, torn by systemd-boot"
_START = "start"


@dataclass(frozen=True)
class Cut:
    """`kind` at entry `number` of the record. torn: `size` bytes of the entry arrived; lost: `size` is which loss."""

    kind: str
    number: int
    size: int = 0


@dataclass(frozen=True)
class Versions:
    """`ukis`: the SHA-256 of every UKI there ever was."""

    old: Version
    new: Version
    ukis: frozenset[bytes]


@dataclass
class ReplayTally:
    """How many cuts of each kind, and what starts after them; `anew`: how many needed judging again, because something
    that matters had changed. `samples`: for each thing that starts, cuts after which it does.
    """

    judged: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    anew: int = 0
    writes: int = 0
    flushes: int = 0
    bytes: int = 0
    broken: list[str] = field(default_factory=list)
    samples: dict[str, list[Cut]] = field(default_factory=dict)


class Replay:
    """One pass over a record. `tears`: how many lengths a sector is torn at; `losses`: how many before each flush.
    `spoilt`: leave out what was written to the slots, to see that it is found out.
    """

    def __init__(self, folder: Path, versions: Versions, *, tears: int, losses: int, spoilt: bool = False) -> None:
        self.log, self.versions, self.tears, self.losses = folder / "writes.log", versions, tears, losses
        self.state = DiskState(folder / "start.raw")
        self.disk = Findings(self.state)
        self.loader = realdisk.loader_digest(self.disk)
        self._without = realdisk.slots(self.disk) if spoilt else ()
        self.tally = ReplayTally()
        self._rng = random.Random(1)
        self._flushed, self._flushed_disk = self.state.copy(), self.disk
        self._since: list[Logged] = []

    def run(self) -> ReplayTally:
        label = self._judge(self.disk, Cut("prefix", 0))
        self._flushed_disk = self.disk.over(self._flushed)
        for n, entry in enumerate(read_log(self.log)):
            if entry.flushes:
                self._flush(n)
                self._count(Cut("prefix", n), label)
            if entry.data and not any(at <= entry.at < end for at, end in self._without):
                label = self._write(n, entry, label)
        self._flush(n)
        return self.tally

    def _write(self, n: int, entry: Logged, label: str) -> str:
        tally = self.tally
        tally.writes, tally.bytes = tally.writes + 1, tally.bytes + entry.size
        if self.disk.depends(_START, entry.at, entry.size):
            for done in range(0, entry.size, SECTOR):
                label = self._tear(n, entry, done, label)
        else:
            tally.judged["torn"] += self.tears * (entry.size // SECTOR)
            tally.starts[label] += self.tears * (entry.size // SECTOR)
            self.state.write(entry.at, entry.data)
            self.disk.changed(entry.at, entry.size)
        self._since.append(entry)
        return self._judge(self.disk, Cut("prefix", n + 1))

    def _tear(self, n: int, entry: Logged, done: int, label: str) -> str:
        """Every length of one sector, then all of it."""
        at, new = entry.at + done, entry.data[done : done + SECTOR]
        if not self.disk.depends(_START, at, SECTOR):
            self._count(Cut("torn", n, done), label, self.tears)
        else:
            old = self.state.read(at, SECTOR)
            for length in sorted(self._rng.sample(range(1, SECTOR), self.tears)):
                self._put(at, new[:length] + old[length:])
                self._judge(self.disk, Cut("torn", n, done + length))
            self._put(at, new)
            return self._judge(self.disk, Cut("torn", n, done + SECTOR))
        self._put(at, new)
        return label

    def _put(self, at: int, data: bytes) -> None:
        self.state.write(at, data)
        self.disk.changed(at, len(data))

    def _flush(self, n: int) -> None:
        self.tally.flushes += 1
        if self._since:
            is_felt = any(self._flushed_disk.depends(_START, e.at, e.size) for e in self._since)
            for k in range(self.losses):
                cut = Cut("lost", n, k)
                if is_felt:
                    state = lose(self._flushed, self._since, cut)
                    disk = self._flushed_disk.over(state)
                    for entry in self._since:
                        disk.changed(entry.at, entry.size)
                    self._judge(disk, cut)
                else:
                    self._count(cut, self._judge(self._flushed_disk, None))
        self._flushed, self._since = self.state.copy(), []
        self._flushed_disk = self.disk.over(self._flushed)

    def _judge(self, disk: Findings, cut: Cut | None) -> str:
        """What starts. `cut` None: it was counted already."""
        if cut and disk.depends(_START, 0, 0):
            self.tally.anew += 1
        try:
            label = judge(disk, self.versions, self.loader)
        except Unbootable as e:
            label = TORN if is_theirs(str(e)) else "nothing that may"
            if cut and label != TORN:
                self.tally.broken.append(f"{cut}: {e}")
        if cut:
            self._count(cut, label)
        return label

    def _count(self, cut: Cut, label: str, times: int = 1) -> None:
        self.tally.judged[cut.kind] += times
        self.tally.starts[label] += times
        kept = self.tally.samples.setdefault(label, [])
        if len(kept) < 4000:
            kept.append(cut)
        elif self._rng.random() < 0.01:
            kept[self._rng.randrange(len(kept))] = cut


def judge(disk: Findings, versions: Versions, loader: bytes) -> str:
    """What starts, in words. Raises Unbootable when what must hold does not (`proofs.powercut` says what)."""
    found = disk.find(_START, lambda: realdisk.start(disk, versions.ukis, loader))
    entry = found.entry
    if entry.version not in (versions.old, versions.new):
        raise Unbootable(f"{entry.version} starts, which is neither the old version nor the new")
    kept = [name for name in found.listed if (uki := Uki.parse(name)) and uki.version == versions.old]
    if not kept:
        raise Unbootable(f"{versions.old} has no entry any more")
    if entry.version == versions.old:
        return "old"
    uki = Uki.parse(entry.file)
    if uki is None:
        return "new, by its short name"
    return "new, blessed" if uki.blessed else f"new, {uki.left} tries left"


def is_theirs(trouble: str) -> bool:
    """Whether the UKI that is not whole has a name that systemd-boot alone gives, when it counts a try. The firmware
    then writes size and place of the file anew, and a sector can be torn inside them: no care of ours can help that.
    """
    uki = Uki.parse(trouble.removesuffix(NO_RELEASE)) if trouble.endswith(NO_RELEASE) else None
    return uki is not None and uki.done > 0


def lose(flushed: DiskState, since: Sequence[Logged], cut: Cut) -> DiskState:
    """Some of the sectors arrived. The same cut always loses the same."""
    rng = random.Random(f"{cut.number} {cut.size}")
    arrive = rng.choice((0.1, 0.5, 0.9))
    state = flushed.copy()
    for entry in since:
        step = SECTOR if entry.size <= 1 << 16 else 1 << 14
        for done in range(0, entry.size, step):
            if entry.flags & 2 or rng.random() < arrive:
                state.write(entry.at + done, entry.data[done : done + step])
    return state


def disks(folder: Path, cuts: Sequence[Cut]) -> Iterator[tuple[Cut, DiskState]]:
    """The disk after each of the cuts, in the order of the record. It is valid until the next is asked for."""
    wanted: dict[int, list[Cut]] = {}
    for cut in cuts:
        wanted.setdefault(cut.number, []).append(cut)
    state = DiskState(folder / "start.raw")
    flushed, since = state.copy(), list[Logged]()
    for n, entry in enumerate(read_log(folder / "writes.log")):
        for cut in wanted.pop(n, ()):
            if cut.kind == "lost":
                yield cut, lose(flushed, since, cut)
            else:
                after = state.copy()
                after.write(entry.at, entry.data[: cut.size])
                yield cut, after
        if entry.flushes:
            flushed, since = state.copy(), []
        if entry.data:
            state.write(entry.at, entry.data)
            since.append(entry)
    for left in wanted.values():
        for cut in left:
            yield cut, state
