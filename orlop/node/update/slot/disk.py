"""The disk's slots: which partitions hold what, their content, their labels.

A slot is a usr partition and the verity partition behind it, in the order of the partition table: the first pair is A,
the second B. On a machine the content is reached through the partitions' own block devices and the table through the
whole disk; in a file both are parts of the file.

Invariant: `relabel` leaves, at every moment, one copy of the table whole; and the partitions of the running slot are
never opened for writing, nor named to `relabel`: whoever holds a `Disk` knows the running root hash.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.model.disk import gpt
from orlop.model.disk.gpt import GptEntry, Table
from orlop.model.release.index import PartName
from orlop.model.words.arch import BUILT
from orlop.model.words.labels import EMPTY_LABEL
from orlop.model.words.version import Version
from orlop.node.update.slot import device
from orlop.node.update.slot.device import Device, DeviceWindow, OpenFile, faults


@dataclass(frozen=True)
class Slot:
    """`usr` and `verity` are partitions; sizes in bytes are the table's sectors times `sector`."""

    usr: GptEntry
    verity: GptEntry
    sector: int

    @property
    def version(self) -> Version | None:
        """What it is labelled with: None when it is empty, half-made, or not ours."""
        try:
            version = Version.parse(self.usr.label.removeprefix("orlop_"))
        except BadInput:
            return None
        return version if self.verity.label == version.verity_label else None

    @property
    def root_hash(self) -> str:
        """Of what it is labelled with: the two UUIDs, one after the other."""
        return self.usr.uuid.hex + self.verity.uuid.hex

    def part(self, name: PartName) -> GptEntry:
        return {"usr": self.usr, "verity": self.verity}[name]

    def room(self, name: PartName) -> int:
        entry = self.part(name)
        return (entry.last - entry.first + 1) * self.sector


class Disk:
    """`whole` is the disk, `open_part` opens a partition of it for reading or (True) for writing."""

    def __init__(
        self, whole: Device, sector: int, open_part: Callable[[GptEntry, bool], Device], *, running_hash: str
    ) -> None:
        self.whole = whole
        self.sector = sector
        self.running_hash = running_hash
        self._open_part = open_part

    def table(self) -> Table:
        return gpt.read(lambda at, size: device.read(self.whole, at, size), self.whole.size, self.sector)

    def slots(self) -> tuple[Slot, Slot]:
        """The running slot, and the other. Raises Missing when the disk has no such pair, or runs something else."""
        entries = self.table().entries
        usr = [e for e in entries if e.kind == BUILT.usr_type]
        verity = [e for e in entries if e.kind == BUILT.verity_type]
        if len(usr) != 2 or len(verity) != 2:
            raise Missing(
                f"the disk has {len(usr)} usr and {len(verity)} verity partitions, updates need two of each",
                hint="install the machine from an Orlop image",
            )
        pair = [Slot(u, v, self.sector) for u, v in zip(usr, verity, strict=True)]
        for slot, other in (pair, pair[::-1]):
            if slot.root_hash == self.running_hash:
                if other.root_hash == self.running_hash:
                    break
                return slot, other
        raise Missing(
            f"no slot, or more than one, holds the running /usr (root hash {self.running_hash[:16]}…)",
            hint="the machine was not started from this disk: updates are only made to the disk it runs from",
        )

    @contextmanager
    def reading(self, entry: GptEntry) -> Iterator[Device]:
        opened = self._open_part(entry, False)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def writing(self, entry: GptEntry) -> Iterator[Device]:
        """Open a partition of the other slot. Any other is a defect."""
        assert entry.number in self._others(), f"partition {entry.number} is not of the slot that is updated"
        opened = self._open_part(entry, True)
        try:
            yield opened
        finally:
            opened.close()

    def clear(self, slot: Slot) -> None:
        """Label the other slot empty, with UUIDs that no UKI asks for. What it holds stays, to be used again."""
        empty = {n: (EMPTY_LABEL, uuid.uuid4()) for n in (slot.usr.number, slot.verity.number)}
        self._relabel(empty)

    def label(self, slot: Slot, version: Version, root_hash: str) -> None:
        """Say that the other slot holds this version: it may be booted from now on."""
        half = len(root_hash) // 2
        self._relabel(
            {
                slot.usr.number: (version.usr_label, uuid.UUID(root_hash[:half])),
                slot.verity.number: (version.verity_label, uuid.UUID(root_hash[half:])),
            }
        )

    def _relabel(self, changes: dict[int, tuple[str, uuid.UUID]]) -> None:
        assert changes.keys() <= self._others(), "only the slot that is updated is ever relabelled"
        table = self.table()
        for writes in gpt.writes(table, table.change(changes)):
            for at, data in writes:
                self.whole.write(data, at)
            self.whole.flush()

    def _others(self) -> set[int]:
        other = self.slots()[1]
        return {other.usr.number, other.verity.number}

    def close(self) -> None:
        self.whole.close()


def in_device(whole: Device, sector: int, running_hash: str) -> Disk:
    """The partitions are windows into the whole."""

    def window(entry: GptEntry, _writable: bool) -> Device:
        return DeviceWindow(whole, entry.first * sector, (entry.last - entry.first + 1) * sector)

    return Disk(whole, sector, window, running_hash=running_hash)


def open_disk(path: Path, running_hash: str) -> Disk:
    """A disk: a block device, or a file that holds one. Raises Missing, DiskFault."""
    opened = OpenFile(path, writable=True)
    with faults(path):
        is_file = not stat.S_ISBLK(path.stat().st_mode)
    if is_file:
        return in_device(opened, opened.sector, running_hash)

    def partition(entry: GptEntry, writable: bool) -> Device:
        return OpenFile(partition_device(path, entry.number), writable=writable)

    return Disk(opened, opened.sector, partition, running_hash=running_hash)


def partition_device(disk: Path, number: int) -> Path:
    """The block device of a partition, as the kernel lists it. Raises Missing, DiskFault."""
    with faults(disk):
        rdev = disk.stat().st_rdev
        folder = Path(f"/sys/dev/block/{os.major(rdev)}:{os.minor(rdev)}")
        children = sorted(folder.iterdir()) if folder.is_dir() else []
    for child in children:
        try:
            if int((child / "partition").read_text()) == number:
                return Path("/dev") / child.name
        except (OSError, ValueError):
            continue
    raise Missing(f"the kernel knows no partition {number} of {disk}", hint="reboot the machine")
