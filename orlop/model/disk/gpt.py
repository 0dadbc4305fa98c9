"""The GUID partition table as bytes: read it, change labels and UUIDs in it. Pure; UEFI specification 2.10, chapter 5.

A table is on the disk twice, each copy with its own checksums. Only one is ever changed at a time, the backup first, so
that after any cut one of them is whole: `writes` gives them in that order. (Linux looks at the backup only with
`gpt` on its command line, which is why that word is in os/cmdline.)

Invariant: nothing but labels, UUIDs and checksums ever changes. Sizes, places, types and flags stay as they were made.

The first boot imports this, and pays for each import (`orlop.node.config.owndisk`): dataclasses cost twice what named
tuples do.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from orlop.errors import BadInput

ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_UNUSED = bytes(16)  # the type of a partition that is not there
_SIGNATURE = b"EFI PART"
_MAX_ENTRIES = 1024

Read = Callable[[int, int], bytes]  # so many bytes at that offset


class GptEntry(NamedTuple):
    """A partition: `number` counts from 1, `first` and `last` are sectors, both its own."""

    number: int
    kind: uuid.UUID
    uuid: uuid.UUID
    first: int
    last: int
    flags: int
    label: str


class Table(NamedTuple):
    """A table as one valid copy of it says. `array` is the raw list of entries, which `entries` is read from; it has
    room for so many (`places`).
    """

    sector: int
    sectors: int
    disk: bytes
    first_usable: int
    last_usable: int
    backup: int
    places: int
    array: bytes
    primary_whole: bool
    backup_whole: bool

    @property
    def entries(self) -> tuple[GptEntry, ...]:
        partitions = []
        for number in range(1, self.places + 1):
            raw = self.array[(number - 1) * _ENTRY.size : number * _ENTRY.size]
            if raw[:16] == _UNUSED:
                continue
            kind, own, first, last, flags, label = _ENTRY.unpack(raw)
            text = label.decode("utf-16-le", "replace").split("\0", 1)[0]
            partitions.append(
                GptEntry(number, uuid.UUID(bytes_le=kind), uuid.UUID(bytes_le=own), first, last, flags, text)
            )
        return tuple(partitions)

    def change(self, changes: Mapping[int, tuple[str, uuid.UUID]]) -> Table:
        """With other labels and UUIDs for the partitions of these numbers."""
        array = bytearray(self.array)
        for number, (label, own) in changes.items():
            at = (number - 1) * _ENTRY.size
            kind, _, first, last, flags, _ = _ENTRY.unpack_from(array, at)
            name = label.encode("utf-16-le")
            if not any(kind) or len(name) > 72:
                raise BadInput(f"partition {number} cannot be labelled {label!r}")
            _ENTRY.pack_into(array, at, kind, own.bytes_le, first, last, flags, name)
        return self._replace(array=bytes(array))

    def with_disk(self, own: uuid.UUID) -> Table:
        """With another UUID for the disk itself."""
        return self._replace(disk=own.bytes_le)

    @property
    def disk_uuid(self) -> uuid.UUID:
        return uuid.UUID(bytes_le=self.disk)

    def copies(self) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """The writes, as (offset, bytes), for the backup and for the primary: flush after the first and the second."""
        array_sectors = -(-len(self.array) // self.sector)
        padded = self.array.ljust(array_sectors * self.sector, b"\0")
        spare = self.backup - array_sectors
        backup = [(spare * self.sector, padded), (self.backup * self.sector, self._header(self.backup, 1, spare))]
        primary = [(2 * self.sector, padded), (self.sector, self._header(1, self.backup, 2))]
        return backup, primary

    def _header(self, own: int, other: int, array: int) -> bytes:
        checksum = zlib.crc32(self.array)
        fields = (own, other, self.first_usable, self.last_usable, self.disk, array, self.places, _ENTRY.size, checksum)
        bare = _HEADER.pack(_SIGNATURE, 0x10000, _HEADER.size, 0, 0, *fields)
        whole = _HEADER.pack(_SIGNATURE, 0x10000, _HEADER.size, zlib.crc32(bare), 0, *fields)
        return whole.ljust(self.sector, b"\0")


def writes(before: Table, after: Table) -> Iterator[list[tuple[int, bytes]]]:
    """What turns one table into the other, as (offset, bytes); a flush belongs after each list."""
    if not before.primary_whole:  # what a cut left: the backup is all there is, and must not be touched yet
        yield before.copies()[1]
    yield from after.copies()


def read(read_at: Read, size: int, sector: int) -> Table:
    """The table of a disk of `size` bytes. The primary copy counts, the backup when the primary is damaged.

    Raises BadInput when neither is whole.
    """
    sectors = size // sector
    primary = _copy(read_at, 1, sector, sectors)
    backup_at = primary.backup if primary else sectors - 1
    backup = _copy(read_at, backup_at, sector, sectors)
    table = primary or backup
    if table is None:
        raise BadInput(
            "the disk has no partition table that is whole",
            hint="start from installation media: the machine's data is on the partition `var`",
        )
    same = primary is not None and backup is not None and backup.array == primary.array
    return table._replace(backup=backup_at, primary_whole=primary is not None, backup_whole=same)


def _copy(read_at: Read, lba: int, sector: int, sectors: int) -> Table | None:
    raw = read_at(lba * sector, sector)
    if len(raw) < sector:
        return None
    fields = _HEADER.unpack_from(raw)
    signature, _, header_size, checksum, _, own, other, first, last, disk, array_at, count, entry, array_sum = fields
    if signature != _SIGNATURE or not _HEADER.size <= header_size <= sector or own != lba:
        return None
    bare = raw[:16] + bytes(4) + raw[20:header_size]
    if zlib.crc32(bare) != checksum or entry != _ENTRY.size or not 0 < count <= _MAX_ENTRIES:
        return None
    if not first <= last < sectors or not 0 < array_at < sectors:
        return None
    array = read_at(array_at * sector, count * entry)
    if len(array) != count * entry or zlib.crc32(array) != array_sum:
        return None
    backup = other if lba == 1 else lba
    return Table(sector, sectors, disk, first, last, backup, count, array, primary_whole=True, backup_whole=True)
