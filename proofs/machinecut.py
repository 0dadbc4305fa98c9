"""`python -m proofs.powercut --machine`: the same proof with a real kernel's writes, and real boots of cut disks.

A machine in the lab updates itself twice, the second time into a slot that holds an older version, each time from a
boot of the old version to a blessed boot of the new one: so the renames of systemd-boot, in the firmware, and of
systemd-bless-boot are among the writes too. Every cut is judged offline (proofs/replay.py); some are booted, and each
of these must come up by itself, healthy, as the version that was foretold.

The judge is judged as well: the same record without what was written to the slot must be found out.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from orlop.built import ImageFiles
from orlop.errors import Missing, OrlopError
from orlop.files import remove_tree
from orlop.image.build import build
from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.plan import LabPlan
from orlop.lab.wait import wait_verdict
from orlop.machines.vm import make_disk
from orlop.model.words.version import Version
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from proofs.recording import record
from proofs.replay import TORN, Cut, Replay, ReplayTally, Versions, disks
from simulators.findings import DiskState
from simulators.variants import Releases

LAB = "powercut"
DISK_GIB = 12
_PAGE = 4096
_SECONDS = 600.0


@dataclass(frozen=True)
class BootAfterCut:
    cut: Cut
    foretold: str
    version: str
    seconds: float
    trouble: str = ""


@dataclass
class Proof:
    """One recorded update. `spoilt`: how many cuts were found broken once the slot's writes were left out."""

    old: Version
    new: Version
    made: dict[str, int]
    tally: ReplayTally
    spoilt: int
    boots: list[BootAfterCut] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.tally.broken and self.spoilt > 0 and not any(b.trouble for b in self.boots)

    def json(self) -> dict[str, Any]:
        return {
            "old": str(self.old),
            "new": str(self.new),
            "engine": self.made,
            "record": {"writes": self.tally.writes, "flushes": self.tally.flushes, "bytes": self.tally.bytes},
            "judged": dict(self.tally.judged),
            "anew": self.tally.anew,
            "starts": dict(self.tally.starts),
            "broken": self.tally.broken,
            "spoilt": self.spoilt,
            "boots": [
                {
                    "cut": vars(b.cut),
                    "foretold": b.foretold,
                    "version": b.version,
                    "seconds": b.seconds,
                    "trouble": b.trouble,
                }
                for b in self.boots
            ],
        }

    def text(self) -> str:
        tally, made = self.tally, self.made
        lines = [
            f"{self.old} → {self.new}: {made['fetched']} bytes fetched and {made['reused']} reused; "
            f"{tally.writes} writes of {tally.bytes} bytes and {tally.flushes} flushes recorded",
            f"{sum(tally.judged.values())} power cuts judged, {tally.anew} of them anew",
            *(f"  {kind:<32}{count:>9}" for kind, count in sorted(tally.judged.items())),
            *(f"starts {name:<27}{count:>9}" for name, count in sorted(tally.starts.items())),
            f"{'broken':<34}{len(tally.broken):>9}",
            *(f"  {what}" for what in tally.broken[:20]),
            f"without the slot's writes {self.spoilt:>17} would be",
        ]
        for b in self.boots:
            where = f"{b.cut.kind} {b.cut.number}+{b.cut.size}"
            lines.append(
                f"booted {where:<18} {b.foretold:<26} {b.trouble or f'{b.version}, healthy'} ({b.seconds:.0f} s)"
            )
        return "\n".join(lines)


def prove(ws: Workspace, steps: Steps, *, tears: int, losses: int, boots: int, updates: int = 2) -> list[Proof]:
    """Record `updates` updates and judge all cuts of them; `boots` of each are started. Raises OrlopError."""
    image = build(ws, steps)
    releases = Releases(ws, image)
    with steps.step("Making the releases"):
        folders = [image, *(releases.make(n) for n in range(1, updates + 1))]
    ukis = frozenset(hashlib.sha256(_uki(folder).read_bytes()).digest() for folder in folders)
    found = []
    with _machine(ws, steps, image) as node, tempfile.TemporaryDirectory(prefix="powercut-", dir=ws.cache) as top:
        for old, new in pairwise(folders):
            folder = Path(top) / new.name
            folder.mkdir()
            versions = Versions(Version.parse(old.name), Version.parse(new.name), ukis)
            with steps.step(f"Recording the update from {old.name} to {new.name}"):
                made = record(node, folder, new, steps)
            with steps.step("Judging every power cut"):
                tally = Replay(folder, versions, tears=tears, losses=losses).run()
                spoilt = Replay(folder, versions, tears=0, losses=0, spoilt=True).run()
            proof = Proof(versions.old, versions.new, made, tally, len(spoilt.broken))
            kept = node.at.disk.rename(folder / "after.qcow2")
            with steps.step(f"Booting {boots} of them"):
                chosen = choose(tally, boots)
                for cut, state in disks(folder, list(chosen)):
                    proof.boots.append(_boot(node, folder, cut, state, chosen[cut], versions))
                    steps.note(f"{cut.kind} {cut.number}: {proof.boots[-1].trouble or 'healthy'}")
            kept.rename(node.at.disk)
            found.append(proof)
            remove_tree(folder)
            if new is not folders[-1]:
                node.start()
                wait_verdict(node, steps, timeout=_SECONDS)
    return found


def _uki(folder: Path) -> Path:
    return ImageFiles(folder, Version.parse(folder.name)).uki


@contextmanager
def _machine(ws: Workspace, steps: Steps, image: Path) -> Iterator[Node]:
    with suppress(Missing):
        lab.down(ws, LAB)
    config = NodeConfig()
    for unit in ("orlop-update.service", "orlop-update.socket"):
        config = config.link(f"/etc/systemd/system/{unit}", "/dev/null")
    plan = LabPlan(images.resolve(ws, str(image)), name=LAB, memory_mib=1024, disk_gib=DISK_GIB, config=config)
    with lab.running(ws, steps, plan, timeout=_SECONDS) as there:
        yield there.node("n1")


def choose(tally: ReplayTally, count: int) -> dict[Cut, str]:
    """Cuts to boot, and what must start: as many of each thing that starts, of each the kinds in turn."""
    rng, chosen = random.Random(1), dict[Cut, str]()
    pools = {label: rng.sample(cuts, len(cuts)) for label, cuts in sorted(tally.samples.items())}
    kinds = ("torn", "lost", "prefix")
    while len(chosen) < count and any(pools.values()):
        for label, pool in pools.items():
            had = sum(1 for what in chosen.values() if what == label)
            cut = next((c for c in pool if c.kind == kinds[had % len(kinds)]), pool[0] if pool else None)
            if cut and len(chosen) < count:
                pool.remove(cut)
                chosen[cut] = label
    return chosen


def _boot(node: Node, folder: Path, cut: Cut, state: DiskState, label: str, versions: Versions) -> BootAfterCut:
    """Start the machine from the disk as the cut left it."""
    raw = folder / "cut.raw"
    raw.unlink(missing_ok=True)
    sdk_run(
        node.paths.ws,
        ["cp", "--sparse=always", folder / "start.raw", raw],
        what="making the disk of a power cut",
        binds=[folder],
    )
    with raw.open("r+b") as f:
        for page, data in state.pages.items():
            f.seek(page * _PAGE)
            f.write(data)
    node.at.disk.unlink(missing_ok=True)
    make_disk(node.paths.tools, raw, node.at.disk, DISK_GIB)
    begun = time.monotonic()
    node.start()
    trouble = version = ""
    try:
        version = wait_verdict(node, Steps(), timeout=_SECONDS).version
        wanted = versions.old if label in ("old", TORN) else versions.new
        if version != str(wanted):
            trouble = f"came up as {version}, not as {wanted}"
    except OrlopError as e:
        trouble = e.message
    finally:
        if node.running:
            node.power_cut()
        raw.unlink()
        node.at.disk.unlink()
    return BootAfterCut(cut, label, version, time.monotonic() - begun, trouble)
