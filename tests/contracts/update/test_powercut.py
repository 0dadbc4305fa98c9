"""The power-cut proof, small; and that it can fail: writers that do one thing in the wrong order are found out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orlop.model.release.index import Index, PartName
from orlop.model.update import boot
from orlop.model.update.boot import Uki
from orlop.node.update.slot.device import Device
from orlop.node.update.slot.esp import MAGIC
from orlop.node.update.slot.writer import Writer
from proofs.powercut import prove


@pytest.mark.parametrize("seed", range(4))
def test_no_cut_leaves_a_machine_that_does_not_start(tmp_path: Path, seed: int) -> None:
    tally = prove(seed, 1, tmp_path, blocks=48)
    assert tally.broken == []
    assert tally.judged["prefix"] > 40 and tally.judged["torn"] > 250 and tally.judged["lost"] > 40
    assert tally.started["old"] > tally.started["new"] > 0


class LabelsLast(Writer):
    """The UKI may be started before the slot says what it holds."""

    def publish(self, index: Index) -> None:
        name = Uki.fresh(index.version).name
        self.esp.rename(boot.part_name(index.version), name)
        self.esp.stamp(name, MAGIC)
        self.disk.label(self.disk.slots()[1], index.version, index.root_hash)


class TrustsTheName(Writer):
    """The UKI is unveiled before it has its name."""

    def publish(self, index: Index) -> None:
        self.disk.label(self.disk.slots()[1], index.version, index.root_hash)
        self.esp.stamp(boot.part_name(index.version), MAGIC)
        self.esp.rename(boot.part_name(index.version), Uki.fresh(index.version).name)


class LeavesTheOldEntry(Writer):
    """What was in the other slot is still listed while it is overwritten."""

    def _remove(self, name: str) -> None:
        pass


class WritesWhatRuns(Writer):
    """One block of the running slot."""

    @contextmanager
    def _target(self, index: Index, name: PartName) -> Iterator[Device]:
        if name == "usr":
            start = self.disk.slots()[0].usr.first * self.disk.sector
            self.disk.whole.write(random.Random(0).randbytes(100), start + 5000)
        with super()._target(index, name) as target:
            yield target


@pytest.mark.parametrize("make", [LabelsLast, TrustsTheName, LeavesTheOldEntry, WritesWhatRuns])
def test_the_proof_finds_a_writer_that_is_wrong(tmp_path: Path, make: type[Writer]) -> None:
    broken = [what for seed in (3, 1) for what in prove(seed, 1, tmp_path / str(seed), blocks=48, make=make).broken]
    assert broken
