"""The power-cut proof: `python -m proofs.powercut [--json]`. docs/guide/cannot-brick.md says what it shows.

A complete update of a small disk is recorded, write by write and flush by flush: from the offer of a release to the
reboot; every second time into a slot that holds an older version. Then the power is cut, offline, at every point of
the record:

    prefix     after each write and each flush
    torn       inside each sector of each write: its first bytes are new, the rest is old
    lost       before each flush: of what was written since the last one, some sectors arrived and some did not

and the disk is judged as the firmware, systemd-boot 257 and dm-verity would (simulators/machine.py):

    1  what starts first is whole, and is the old version or the new
    2  the old version is still there, whole, and starts when the new one does not
    3  the new one starts only with its tries counted
    4  what else systemd-boot lists is whole too
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orlop.model.release.index import Index
from orlop.model.update.decide import Settings
from orlop.model.update.state import Rebooting, Target
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.blobs.source import FolderSource
from orlop.node.update.engine import Engine
from orlop.node.update.journal import Journal
from orlop.node.update.outside import Outside, Situation
from orlop.node.update.slot.writer import Writer
from orlop.steps import Steps
from orlop.workspace import Workspace
from proofs import machinecut
from simulators import machine
from simulators.machine import Unbootable
from simulators.medium import SECTOR, Log, Medium, Pages, Write, sectors
from simulators.releases import Release, release

LOSSES = 12  # arbitrary losses judged before each flush


@dataclass
class Shelf:
    """A catalog with one release in a folder."""

    release: Release
    folder: Path

    def offer(self, _situation: Situation) -> Target | None:
        return self.release.target

    def index(self, target: Target, _situation: Situation) -> Index:
        assert target.version == self.release.version
        return self.release.index

    def fetcher(self, target: Target) -> Fetcher:
        assert target.version == self.release.version
        return Fetcher([FolderSource(self.folder)])


@dataclass
class CutTally:
    """`judged` counts the states by the kind of cut, `started` by what starts; `broken` says what is wrong."""

    judged: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def record(
    medium: Medium, old: Release, new: Release, folder: Path, rng: random.Random, make: type[Writer] = Writer
) -> Log:
    """Drive the engine from the offer of `new` to the reboot; every write and flush it did to the disk."""
    new.publish(folder / "server")
    now = [datetime(2026, 12, 1, tzinfo=UTC)]
    rebooted: list[bool] = []
    writer = make(machine.disk_of(medium, old.index.root_hash), machine.esp_of(medium, rng), old.version)
    outside = Outside(lambda: now[0], Shelf(new, folder / "server"), lambda: rebooted.append(True))
    engine = Engine(writer, Journal(folder / "state"), outside, Settings())
    while not rebooted:
        engine.step()
        now[0] += timedelta(seconds=1)
        assert not engine.memory.failure, engine.memory.failure
    assert isinstance(engine.memory.state, Rebooting)
    return medium.log


def states(start: Pages, log: Log, rng: random.Random, tears: int) -> Iterator[tuple[str, str, Pages]]:
    """(kind, where, disk) for every cut. `tears`: how many lengths a sector is torn at."""
    pages = start.copy()
    flushed, since = start.copy(), list[Write]()
    for n, write in enumerate(log):
        if write is None:
            for k in range(LOSSES if since else 0):
                yield "lost", f"before flush {n}, loss {k}", _lost(flushed, since, rng)
            flushed, since = pages.copy(), []
            yield "prefix", f"after flush {n}", pages
            continue
        for at, piece in sectors(write):
            for length in _lengths(len(piece), tears, rng):
                torn = pages.copy()
                torn.write(at, piece[:length])
                yield "torn", f"write {n}, sector {at // SECTOR}, {length} bytes of it", torn
            pages.write(at, piece)
        since.append(write)
        yield "prefix", f"after write {n}", pages


def _lengths(size: int, tears: int, rng: random.Random) -> list[int]:
    return list(range(1, size)) if tears >= size else sorted(rng.sample(range(1, size), tears))


def _lost(flushed: Pages, since: list[Write], rng: random.Random) -> Pages:
    after = flushed.copy()
    arrive = rng.choice((0.1, 0.5, 0.9))
    for write in since:
        for at, piece in sectors(write):
            if rng.random() < arrive:
                after.write(at, piece)
    return after


def judge(pages: Pages, old: Release, new: Release, past: Release | None = None) -> str:
    """What starts. Raises Unbootable when one of the sentences does not hold. `past` was in the other slot before."""
    ukis = {r.uki for r in (old, new, past) if r}
    listed = machine.entries(pages)
    first = listed[0]
    machine.check(pages, first, ukis)
    if first.version not in (old.version, new.version):
        raise Unbootable(f"{first.version} starts, which is neither the old version nor the new")
    kept = next((e for e in listed if e.version == old.version), None)
    if kept is None:
        raise Unbootable(f"{old.version} has no entry any more")
    machine.check(pages, kept, ukis)
    for entry in listed:
        machine.check(pages, entry, ukis)
    if first.version == new.version and first.left < 0:
        raise Unbootable(f"{first.file} of {new.version} starts without its tries being counted")
    return "old" if first.version == old.version else "new"


def prove(seed: int, tears: int, folder: Path, *, blocks: int = 96, make: type[Writer] = Writer) -> CutTally:
    """One recorded update, every cut of it. `make`: another writer, to see what the proof finds in it."""
    rng = random.Random(seed)
    past = release("20261130.1", blocks=blocks) if seed % 2 else None
    old = release("20261201.1", blocks=blocks, like=past)
    new = release("20261202.1", blocks=blocks, like=old, seed=seed)
    medium = machine.install(old, past, fill=seed % 12)
    start = medium.durable.copy()
    log = record(medium, old, new, folder, rng, make)
    tally = CutTally()
    for kind, where, pages in states(start, log, rng, tears):
        tally.judged[kind] += 1
        try:
            tally.started[judge(pages, old, new, past)] += 1
        except Unbootable as e:
            tally.broken.append(f"seed {seed}, {kind}, {where}: {e}")
    return tally


def main() -> int:
    """Print what was judged; exit status 1 when any cut broke one of the sentences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--seeds", type=int, default=3, help="updates that are recorded, each with other content")
    parser.add_argument("--tears", type=int, default=4, help="lengths a sector is torn at; 512 is every one")
    parser.add_argument("--machine", action="store_true", help="the updates of a booted machine, recorded by QEMU")
    parser.add_argument("--boots", type=int, default=8, help="with --machine: cuts of each update that are booted")
    args = parser.parse_args()
    if args.machine:
        return _machine(args)
    total = CutTally()
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            tally = prove(seed, args.tears, Path(folder))
        total.judged += tally.judged
        total.started += tally.started
        total.broken += tally.broken
    print(json.dumps(_json(total), indent=2) if args.json else _text(total))
    return 1 if total.broken else 0


def _machine(args: argparse.Namespace) -> int:
    proofs = machinecut.prove(Workspace.find(), Steps(), tears=args.tears, losses=LOSSES, boots=args.boots)
    found = json.dumps([p.json() for p in proofs], indent=2) if args.json else "\n\n".join(p.text() for p in proofs)
    print(found)
    return 0 if all(p.ok for p in proofs) else 1


def _json(tally: CutTally) -> dict[str, Any]:
    return {"judged": dict(tally.judged), "starts": dict(tally.started), "broken": tally.broken}


def _text(tally: CutTally) -> str:
    lines = [f"{sum(tally.judged.values())} power cuts judged"]
    lines += [f"  {kind:<8}{count:>9}" for kind, count in sorted(tally.judged.items())]
    lines += [f"{'starts ' + name:<10}{count:>9}" for name, count in sorted(tally.started.items())]
    lines += [f"broken    {len(tally.broken):>9}", *(f"  {what}" for what in tally.broken[:20])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
