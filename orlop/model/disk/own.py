"""What of a disk is its machine's own, and making it so at the first boot. Pure.

Every machine begins with the same bytes, and so with the same UUIDs of the disk and the ESP and the same serial number
of the ESP's file system. Firmware and boot loader say which disk was booted by the ESP's UUID: two disks with the
image's cannot be told apart. So the first boot draws new ones, for the two partitions that are still empty as well. The
UUIDs of /usr follow from its root hash and stay; /var has had its own since it was made.

Invariants: the ESP has the UUID of the disk (udev knows that one before it has seen a partition: 65-orlop-disk.rules).
The disk's UUID is the last thing that is written, and with it all others of the table: as long as it is the image's, a
boot begins anew. After a cut at any write the table is, in one copy at least, the image's or the machine's.
Sources: UEFI specification 2.10, chapter 5; Microsoft's FAT specification 1.03.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orlop.errors import BadInput
from orlop.model.disk import gpt
from orlop.model.disk.gpt import ESP_TYPE, GptEntry, Table
from orlop.model.words.labels import EMPTY_LABEL

# systemd-repart draws the disk's UUID from its seed: HMAC-SHA256(seed, "disk-uuid"), a UUID of version 4
IMAGE_SEED = uuid.UUID("81e01234-caaf-4bb2-aa39-4b53f03cfa29")
IMAGE_DISK = uuid.UUID("1efca47a-f064-4441-b17a-5c796cf12012")
_BOOT_SECTOR = 512  # bytes of a FAT's first sector that say what it is, whatever the disk's sectors are


class Fresh(NamedTuple):
    """What is drawn by chance: the disk's UUID, one for each empty partition, and a volume's serial number."""

    disk: uuid.UUID
    empty: tuple[uuid.UUID, ...]
    serial: int


def needed(table: Table) -> bool:
    """Whether the disk still has the UUID that every image has, or a cut left one copy of its table behind."""
    return table.disk_uuid == IMAGE_DISK or not (table.primary_whole and table.backup_whole)


def writes(read_at: gpt.Read, table: Table, fresh: Fresh, *, again: bool = False) -> Iterator[list[tuple[int, bytes]]]:
    """What makes the disk the machine's own, as (offset, bytes); a flush belongs after each list. `again`: even if it
    is already, as when it was copied.

    Raises BadInput when the disk has no ESP that is a FAT32 volume.
    """
    if table.disk_uuid != IMAGE_DISK and not again:
        yield from gpt.writes(table, table)
        return
    esp = next((e for e in table.entries if e.kind == ESP_TYPE), None)
    if esp is None:
        raise BadInput("the disk has no ESP")
    yield list(_serial(read_at, esp, table.sector, fresh.serial))
    empty = [e.number for e in table.entries if e.label == EMPTY_LABEL]
    changes = {esp.number: (esp.label, fresh.disk)}
    changes |= {number: (EMPTY_LABEL, own) for number, own in zip(empty, fresh.empty, strict=False)}
    yield from gpt.writes(table, table.change(changes).with_disk(fresh.disk))


def _serial(read_at: gpt.Read, esp: GptEntry, sector: int, serial: int) -> Iterator[tuple[int, bytes]]:
    """Four bytes of one sector, and of its copy: whichever of them a cut leaves, they are a serial number."""
    start = esp.first * sector
    boot = read_at(start, _BOOT_SECTOR)
    if len(boot) < _BOOT_SECTOR or boot[510:] != b"\x55\xaa" or boot[82:90] != b"FAT32   ":
        raise BadInput("the ESP is not a FAT32 volume")
    bytes_per_sector, copy = struct.unpack_from("<H", boot, 11)[0], struct.unpack_from("<H", boot, 50)[0]
    places = (start + copy * bytes_per_sector, start) if copy else (start,)
    for at in places:
        whole = read_at(at, sector)
        yield at, whole[:67] + struct.pack("<I", serial) + whole[71:]


def draw(random: Callable[[int], bytes], count: int) -> Fresh:
    """`random(n)`: so many bytes by chance; `count`: of empty partitions."""
    drawn = [uuid.UUID(bytes=random(16), version=4) for _ in range(count + 1)]
    return Fresh(drawn[0], tuple(drawn[1:]), int.from_bytes(random(4), "little"))
