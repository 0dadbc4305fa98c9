"""A machine's disk, and what its firmware, boot loader and kernel would do with the bytes on it.

What is here is written against the same sources as the engine's rules but shares no code with its writing side: it
reads the partition table as Linux does with `gpt` on its command line (the primary copy, else the backup), the ESP as
firmware does, chooses as systemd-boot 257 does — every `.efi` file counts, ours or not — and believes a slot only when
the whole verity tree leads to the root hash in the UKI.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
import struct
import uuid
import zlib
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Protocol

from orlop.model.disk.gpt import ESP_TYPE
from orlop.model.update.boot import Uki
from orlop.model.words.arch import BUILT
from orlop.model.words.version import TRIES, Version
from orlop.node.update.slot import device
from orlop.node.update.slot.device import Device, DeviceWindow
from orlop.node.update.slot.disk import Disk, in_device
from simulators.fat import FatEsp, Volume, format_volume
from simulators.medium import SECTOR, Medium, Pages
from simulators.releases import Release, make_tree

MIB = 1 << 20
ESP_SIZE = 4 * MIB
USR_SIZE = 1 * MIB
VERITY_SIZE = 64 << 10
SIZE = MIB + ESP_SIZE + 2 * (USR_SIZE + VERITY_SIZE) + MIB
PARTITIONS = (
    (ESP_TYPE, ESP_SIZE, "esp"),
    (BUILT.usr_type, USR_SIZE, "_empty"),
    (BUILT.verity_type, VERITY_SIZE, "_empty"),
    (BUILT.usr_type, USR_SIZE, "_empty"),
    (BUILT.verity_type, VERITY_SIZE, "_empty"),
)


class Unbootable(Exception):
    """The machine does not come up, and why."""


def write_table(whole: Device) -> None:
    """An empty Orlop disk's partition table, from the UEFI specification alone."""
    entries, at = b"", MIB // SECTOR
    for n, (kind, size, label) in enumerate(PARTITIONS):
        last = at + size // SECTOR - 1
        own = uuid.UUID(bytes=hashlib.sha256(bytes([n])).digest()[:16], version=4)
        entries += struct.pack("<16s16sQQQ72s", kind.bytes_le, own.bytes_le, at, last, 0, label.encode("utf-16-le"))
        at = last + 1
    array = entries.ljust(128 * 128, b"\0")
    last_lba = whole.size // SECTOR - 1
    usable = (2048, last_lba - 33)
    for own_lba, other, array_lba in ((1, last_lba, 2), (last_lba, 1, last_lba - 32)):
        head = struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x10000, 92, 0, 0, own_lba, other, *usable, bytes(16), array_lba, 128, 128, zlib.crc32(array),
        )  # fmt: skip
        head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
        whole.write(array, array_lba * SECTOR)
        whole.write(head.ljust(SECTOR, b"\0"), own_lba * SECTOR)
    mbr = struct.pack("<446xBBHBBHII48xH", 0, 0, 2, 0xEE, 0xFF, 0xFFFF, 1, min(last_lba, 0xFFFFFFFF), 0xAA55)
    whole.write(mbr, 0)


def install(first: Release, second: Release | None = None, *, fill: int = 0, tries: int | None = None) -> Medium:
    """A disk with the first release in slot A and, if given, the second in B, both blessed. Nothing of it is logged.

    `tries`: the first has yet to prove itself, and so many are left of three. `fill`: so many other files are in the
    folder EFI/Linux, so that the entries of ours lie elsewhere in its sectors.
    """
    medium = Medium(SIZE)
    write_table(medium)
    esp, *slots = windows(medium)
    format_volume(esp)
    mounted = FatEsp(esp, random.Random(0))
    for n in range(fill):
        with mounted.writing(f"other{n}.txt", 0) as file:
            file.flush()
    labels = {}
    for number, found in enumerate(filter(None, (first, second))):
        slots[2 * number].write(found.usr, 0)
        slots[2 * number + 1].write(found.verity, 0)
        root = found.index.root_hash
        labels[2 * number + 2] = (found.version.usr_label, uuid.UUID(root[:32]))
        labels[2 * number + 3] = (found.version.verity_label, uuid.UUID(root[32:]))
        part = f"orlop_{found.version}.part"
        with mounted.writing(part, len(found.uki)) as file:
            file.write(found.uki, 0)
            file.flush()
        left = tries if found is first else None
        mounted.rename(part, Uki(found.version, left, 0 if left is None else TRIES - left).name)
    for writes in in_device(medium, SECTOR, "").table().change(labels).copies():
        for at, data in writes:
            medium.write(data, at)
    medium.flush()
    medium.log.clear()
    return medium


def windows(whole: Device) -> list[DeviceWindow]:
    found, at = [], MIB
    for _, size, _ in PARTITIONS:
        found.append(DeviceWindow(whole, at, size))
        at += size
    return found


def disk_of(medium: Device, running_hash: str) -> Disk:
    return in_device(medium, SECTOR, running_hash)


def esp_of(medium: Device, rng: random.Random) -> FatEsp:
    return FatEsp(windows(medium)[0], rng)


class View:
    """A `Device` over bytes that are only read."""

    def __init__(self, pages: Pages) -> None:
        self._pages, self.size = pages, pages.size

    def read_into(self, buffer: memoryview, at: int) -> int:
        found = self._pages.read(at, len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def write(self, data: bytes | memoryview, at: int) -> None:
        raise AssertionError(f"{len(data)} bytes are written at {at} while a machine's boot is judged")

    def start_writing(self, at: int, size: int) -> None: ...

    def flush(self) -> None: ...

    def forget(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class MenuEntry:
    """A file that systemd-boot lists."""

    file: str
    content: bytes
    version: Version
    root_hash: str
    left: int
    done: int

    def tried(self) -> MenuEntry:
        return replace(self, left=max(self.left - 1, 0), done=self.done + 1)


def entries(pages: Pages) -> list[MenuEntry]:
    """In systemd-boot's order. Raises Unbootable when there is none."""
    esp = _partition(pages, lambda kind, _: kind == ESP_TYPE)
    volume = Volume(esp)
    found = [e for f in volume.files() if (e := _entry(f.name, volume.read(f)))]
    if not found:
        raise Unbootable("systemd-boot finds no entry")
    return sorted(found, key=ORDER)


_TRIES = re.compile(r".*\+(\d+)(?:-(\d+))?\.efi", re.IGNORECASE)


def _entry(name: str, content: bytes) -> MenuEntry | None:
    if not name.lower().endswith(".efi") or name.lower().startswith("auto-"):
        return None
    about = re.search(rb"IMAGE_VERSION=(\S+) usrhash=([0-9a-f]{64})", content[:4096])
    if not content.startswith(b"MZ") or not about:
        return None  # it has no sections: systemd-boot does not list it
    m = _TRIES.fullmatch(name)
    left, done = (int(m[1]), int(m[2] or 0)) if m else (-1, -1)
    return MenuEntry(name, content, Version.parse(about[1].decode()), about[2].decode(), left, done)


def _compare(a: MenuEntry, b: MenuEntry) -> int:
    """boot_entry_compare of systemd 257 for equal sort keys and no machine-id."""
    for x, y in (((a.left == 0), (b.left == 0)), (b.version, a.version)):
        if x != y:
            return -1 if x < y else 1  # type: ignore[operator]
    if (
        a.file.lower() != b.file.lower()
    ):  # by name downwards; among names of one version ours differ in the counter only
        return -1 if a.file.lower() > b.file.lower() else 1
    if a.left < 0 or b.left < 0:
        return 0
    return -1 if (-a.left, a.done) < (-b.left, b.done) else 1


@dataclass
class Variables:
    """What firmware keeps: how often the initrd failed in a row, and an entry that is started once."""

    version: Version | None = None
    failures: int = 0
    once: Version | None = None

    def first(self, listed: list[MenuEntry]) -> MenuEntry:
        """What systemd-boot starts, of entries in its order."""
        once, self.once = self.once, None
        return next((entry for entry in listed if entry.version == once), listed[0])

    def failed(self, entry: MenuEntry, listed: list[MenuEntry]) -> None:
        """As os/initrd/tree/usr/lib/orlop/report-failure."""
        self.failures = self.failures + 1 if entry.version == self.version else 1
        self.version = entry.version
        if entry.left < 0 and self.failures >= 3:
            self.once = next((e.version for e in listed if e.version != entry.version), None)


class NoSlot(Unbootable):
    """The initrd comes up, and finds no /usr to go on with."""


ORDER = functools.cmp_to_key(_compare)
_TREES: dict[tuple[bytes, bytes], tuple[bytes, str]] = {}


def check(pages: Pages, entry: MenuEntry, ukis: Container[bytes]) -> None:
    """Load the UKI, find its slot, check all of it. Raises Unbootable or NoSlot. `ukis` were ever released."""
    if entry.content not in ukis:
        raise Unbootable(f"{entry.file} is not the UKI of any release")
    half = len(entry.root_hash) // 2
    usr_id, tree_id = uuid.UUID(entry.root_hash[:half]), uuid.UUID(entry.root_hash[half:])
    usr = _partition(pages, lambda kind, own: kind == BUILT.usr_type and own == usr_id)
    tree = _partition(pages, lambda kind, own: kind == BUILT.verity_type and own == tree_id)
    head = device.read(tree, 0, 4096)
    count, salt_size = struct.unpack_from("<QH", head, 72)
    salt = head[88 : 88 + salt_size] if salt_size <= 256 else b""
    if head[:8] != b"verity\0\0" or not 0 < count <= USR_SIZE // 4096:
        raise NoSlot(f"{entry.version}: no verity superblock")
    data = device.read(usr, 0, count * 4096)
    key = (hashlib.sha256(data).digest(), salt)
    made = _TREES.get(key) or _TREES.setdefault(key, make_tree(data, salt))
    if made[1] != entry.root_hash or device.read(tree, 4096, len(made[0]) - 4096) != made[0][4096:]:
        raise NoSlot(f"{entry.version}: the verity tree does not lead to the root hash")


class LookedAt(Protocol):
    """A disk that is only looked at."""

    @property
    def size(self) -> int: ...

    def read(self, at: int, size: int) -> bytes: ...


def table_of(pages: LookedAt) -> list[tuple[uuid.UUID, uuid.UUID, int, int]]:
    """(type, UUID, first byte, size) of each partition, as Linux finds them. Raises Unbootable."""
    last = pages.size // SECTOR - 1
    for lba in (1, last):
        head = pages.read(lba * SECTOR, 92)
        bare = head[:16] + bytes(4) + head[20:]
        if head[:8] != b"EFI PART" or zlib.crc32(bare) != struct.unpack_from("<I", head, 16)[0]:
            continue
        (own,) = struct.unpack_from("<Q", head, 24)
        at, count, size, checksum = struct.unpack_from("<QIII", head, 72)
        array = pages.read(at * SECTOR, count * size)
        if own != lba or zlib.crc32(array) != checksum:
            continue
        found = []
        for n in range(0, len(array), size):
            kind, mine, start, end = struct.unpack_from("<16s16sQQ", array, n)
            if kind != bytes(16):
                ids = uuid.UUID(bytes_le=kind), uuid.UUID(bytes_le=mine)
                found.append((*ids, start * SECTOR, (end - start + 1) * SECTOR))
        return found
    raise Unbootable("neither copy of the partition table is whole")


def _partition(pages: Pages, wanted: object) -> DeviceWindow:
    assert callable(wanted)
    for kind, own, start, size in table_of(pages):
        if wanted(kind, own):
            return DeviceWindow(View(pages), start, size)
    raise Unbootable("a partition that is needed is not in the table")
