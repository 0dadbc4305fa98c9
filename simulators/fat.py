"""A FAT32 volume, written as Linux's vfat driver writes it and read as firmware reads it.

File data goes to the disk as it comes; the file allocation table, its copy, the folder and the FSInfo sector are kept
dirty in memory and go out at an fsync, in any order. So a power cut before the fsync leaves any part of them. At a
mount what a cut left is mended first, as fsck.fat -a does before the kernel mounts: files with broken chains are cut
short, clusters that belong to nobody are freed.

Only EFI/Linux is used; EFI itself and the root are made once. Source: Microsoft's FAT specification 1.03.
"""

from __future__ import annotations

import functools
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orlop.errors import NoSpace
from orlop.node.update.slot import device
from orlop.node.update.slot.device import Device

SECTOR = 512
RESERVED = 32
END = 0x0FFFFFFF
_BPB = struct.Struct("<3s8sHBHBHHBHHHIIIHHIHH12sBBBI11s8s")
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_LONG = 0x0F
_FOLDER = 0x10
ENTRY = 32


@dataclass
class ListedFile:
    """A file as a reader sees it: `at` is the index of its short entry, `slots` how many entries it has in all."""

    name: str
    first: int
    size: int
    at: int
    slots: int


def format_volume(volume: Device, clusters: int = 7600) -> None:
    """Make an empty volume with the folder EFI/Linux. Smaller than FAT32 may be, so that many can be made in a test."""
    fat_sectors = -(-(clusters + 2) * 4 // SECTOR)
    total = RESERVED + 2 * fat_sectors + clusters
    assert total * SECTOR <= volume.size, "the partition is too small"
    boot = _BPB.pack(
        b"\xeb\x58\x90", b"ORLOPSIM", SECTOR, 1, RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0, total, fat_sectors, 0, 0, 2,
        1, 6, bytes(12), 0x80, 0, 0x29, 0x1234, b"NO NAME    ", b"FAT32   ",
    ).ljust(510, b"\0") + b"\x55\xaa"  # fmt: skip
    info = b"RRaA".ljust(484, b"\0") + b"rrAa" + struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF) + bytes(14) + b"\x55\xaa"
    for sector in (0, 6):
        volume.write(boot + info, sector * SECTOR)
    fat = struct.pack("<IIIII", 0x0FFFFFF8, END, END, END, END)
    for copy in range(2):
        volume.write(fat.ljust(SECTOR, b"\0"), (RESERVED + copy * fat_sectors) * SECTOR)
    data = RESERVED + 2 * fat_sectors
    folders = ((2, 0, b"EFI        ", 3), (3, 2, b"LINUX      ", 4), (4, 3, None, 0))
    for cluster, parent, name, child in folders:
        entries = b""
        if cluster != 2:
            entries += _entry(b".          ", _FOLDER, cluster, 0)
            entries += _entry(b"..         ", _FOLDER, 0 if parent == 2 else parent, 0)
        if name:
            entries += _entry(name, _FOLDER, child, 0)
        volume.write(entries.ljust(SECTOR, b"\0"), (data + cluster - 2) * SECTOR)
    volume.flush()


def _entry(short: bytes, attributes: int, first: int, size: int) -> bytes:
    return _ENTRY.pack(short, attributes, 0, 0, 0, 0, 0, first >> 16, 0, 0, first & 0xFFFF, size)


class Volume:
    """Read a volume, from its bytes alone."""

    def __init__(self, volume: Device) -> None:
        self.volume = volume
        fields = _BPB.unpack(device.read(volume, 0, _BPB.size))
        assert fields[2] == SECTOR and fields[3] == 1 and fields[5] == 2, "not a volume of this simulator"
        self.fat_sectors = fields[14]
        self.data = fields[4] + 2 * self.fat_sectors
        self.clusters = fields[13] - self.data
        raw = device.read(volume, RESERVED * SECTOR, self.fat_sectors * SECTOR)
        self.fat = list(struct.unpack(f"<{len(raw) // 4}I", raw))
        self.folder_chain = self.chain(self._find_folder())
        self.folder = bytearray(b"".join(self.cluster(c) for c in self.folder_chain))

    def _find_folder(self) -> int:
        at = 2
        for wanted in (b"EFI        ", b"LINUX      "):
            raw = b"".join(self.cluster(c) for c in self.chain(at))
            entries = [_ENTRY.unpack_from(raw, n) for n in range(0, len(raw), ENTRY)]
            at = next(e[7] << 16 | e[10] for e in entries if e[0] == wanted)
        return at

    def cluster(self, number: int) -> bytes:
        return device.read(self.volume, (self.data + number - 2) * SECTOR, SECTOR)

    def chain(self, first: int) -> list[int]:
        """The clusters from `first` on, as far as the table leads."""
        found: list[int] = []
        seen = set()
        while 2 <= first < self.clusters + 2 and first not in seen and self.fat[first] & END:
            found.append(first)
            seen.add(first)
            first = self.fat[first] & END
        return found

    def files(self) -> list[ListedFile]:
        """What a reader of the folder sees; a long name whose entries do not fit is not seen, its short one is."""
        found = []
        long: list[bytes] = []
        for n in range(0, len(self.folder), ENTRY):
            raw = bytes(self.folder[n : n + ENTRY])
            if raw[0] == 0:
                break
            if raw[0] == 0xE5:
                long = []
            elif raw[11] == _LONG:
                long = [raw] if raw[0] & 0x40 else [*long, raw]
            else:
                short = raw[:11]
                if not raw[11] & _FOLDER:
                    fields = _ENTRY.unpack(raw)
                    name = long_name(tuple(long), short)
                    slots = 1 + (len(long) if name else 0)
                    plain = (short[:8].rstrip() + b"." + short[8:].rstrip()).decode("ascii", "replace")
                    found.append(ListedFile(name or plain, fields[7] << 16 | fields[10], fields[11], n // ENTRY, slots))
                long = []
        return found

    def read(self, file: ListedFile) -> bytes:
        """The file's bytes, as many of them as its chain holds."""
        return b"".join(self.cluster(c) for c in self.chain(file.first))[: file.size]


@functools.lru_cache(maxsize=4096)
def long_name(entries: tuple[bytes, ...], short: bytes) -> str:
    if not entries:
        return ""
    numbers = [e[0] & 0x3F for e in entries]
    if numbers != list(range(len(entries), 0, -1)) or any(e[13] != _checksum(short) for e in entries):
        return ""
    raw = b"".join(e[1:11] + e[14:26] + e[28:32] for e in reversed(entries))
    return raw.decode("utf-16-le", "replace").split("\0")[0]


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total >> 1 | total << 7) + byte) & 0xFF
    return total


@dataclass
class _Dirty:
    fat: set[int] = field(default_factory=set)  # sectors of the table
    folder: set[int] = field(default_factory=set)  # sectors of the folder


class FatEsp:
    """An `Esp`. A new one is a new mount: nothing but the bytes on the volume counts."""

    def __init__(self, volume: Device, rng: random.Random) -> None:
        self._v = Volume(volume)
        self._rng = rng
        self._dirty = _Dirty()
        self._mend()

    def _mend(self) -> None:
        """What fsck.fat -a does for the folder: no chain shorter than its file, none shared, none that nobody has."""
        used = {2, 3, *self._v.folder_chain}
        for file in self._v.files():
            chain = [c for c in self._v.chain(file.first) if c not in used]
            room = len(chain) * SECTOR
            if file.size > room or (file.first and not chain):
                self._set_file(file.at, chain[0] if chain else 0, min(file.size, room))
            if chain and self._v.fat[chain[-1]] & END < 0xFFFFFF8:
                self._set_fat(chain[-1], END)
            used.update(chain)
        for cluster in range(2, self._v.clusters + 2):
            if self._v.fat[cluster] and cluster not in used:
                self._set_fat(cluster, 0)
        self._sync()

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(f.name for f in self._v.files()))

    def free(self) -> int:
        return self._v.fat[2 : self._v.clusters + 2].count(0) * SECTOR

    def size(self, name: str) -> int:
        return self._get(name).size

    def _get(self, name: str) -> ListedFile:
        found = next((f for f in self._v.files() if f.name == name), None)
        if found is None:
            raise FileNotFoundError(name)
        return found

    @contextmanager
    def reading(self, name: str) -> Iterator[Device]:
        yield _File(self, name)

    @contextmanager
    def writing(self, name: str, size: int) -> Iterator[Device]:
        if name not in self.names():
            self._add(name, 0, 0)
        file = _File(self, name)
        if file.size > size:
            self._resize(name, size)
        yield file

    def stamp(self, name: str, data: bytes) -> None:
        self._write(name, data, 0)
        self._sync()

    def rename(self, old: str, new: str) -> None:
        """As vfat_rename: the new entries are made, then the old ones removed; all durable after the sync."""
        file = self._get(old)
        if new in self.names():
            self.remove(new)
        self._add(new, file.first, file.size)
        self._delete(file)
        self._sync()

    def remove(self, name: str) -> None:
        if name not in self.names():
            return
        file = self._get(name)
        self._delete(file)
        for cluster in self._v.chain(file.first):
            self._set_fat(cluster, 0)
        self._sync()

    # the folder

    def _add(self, name: str, first: int, size: int) -> None:
        short = self._alias(name)
        units = name.encode("utf-16-le")
        count = -(-len(name) // 13)
        units = (units + b"\0\0").ljust(count * 26, b"\xff")[: count * 26]
        entries = [
            bytes([n | (0x40 if n == count else 0)]) + p[:10] + bytes([_LONG, 0, _checksum(short)]) + p[10:22] + b"\0\0"
            + p[22:26]
            for n in range(count, 0, -1)
            for p in [units[(n - 1) * 26 : n * 26]]
        ]  # fmt: skip
        raw = b"".join(entries) + _entry(short, 0x20, first, size)
        at = self._gap(count + 1)
        self._put(at * ENTRY, raw)

    def _alias(self, name: str) -> bytes:
        have = {bytes(self._v.folder[n : n + 11]) for n in range(0, len(self._v.folder), ENTRY)}
        extension = name.rpartition(".")[2].upper()[:3].ljust(3)
        for n in range(1, 1000):
            tail = f"~{n}"
            short = (name.upper()[: 8 - len(tail)] + tail).ljust(8).encode() + extension.encode()
            if short not in have:
                return short
        raise AssertionError

    def _gap(self, count: int) -> int:
        free = 0
        for n in range(len(self._v.folder) // ENTRY):
            free = free + 1 if self._v.folder[n * ENTRY] in (0, 0xE5) else 0
            if free == count:
                return n - count + 1
        new = self._allocate(self._v.folder_chain[-1])
        self._v.folder_chain.append(new)
        self._v.folder += bytes(SECTOR)
        self._dirty.folder.add(len(self._v.folder_chain) - 1)
        return self._gap(count)

    def _delete(self, file: ListedFile) -> None:
        for n in range(file.at - file.slots + 1, file.at + 1):
            self._put(n * ENTRY, b"\xe5")

    def _set_file(self, at: int, first: int, size: int) -> None:
        raw = bytes(self._v.folder[at * ENTRY : (at + 1) * ENTRY])
        fields = list(_ENTRY.unpack(raw))
        fields[7], fields[10], fields[11] = first >> 16, first & 0xFFFF, size
        self._put(at * ENTRY, _ENTRY.pack(*fields))

    def _put(self, at: int, raw: bytes) -> None:
        self._v.folder[at : at + len(raw)] = raw
        self._dirty.folder.update(range(at // SECTOR, -(-(at + len(raw)) // SECTOR)))

    # clusters

    def _set_fat(self, cluster: int, value: int) -> None:
        self._v.fat[cluster] = value
        self._dirty.fat.add(cluster * 4 // SECTOR)

    def _allocate(self, last: int) -> int:
        try:
            cluster = self._v.fat.index(0, 5, self._v.clusters + 2)
        except ValueError:
            raise NoSpace("no space left on the ESP") from None
        self._set_fat(cluster, END)
        if last:
            self._set_fat(last, cluster)
        return cluster

    def fill(self, name: str, spare: int) -> None:
        """A file that takes all but `spare` bytes of the volume; what is in it does not matter."""
        free = [c for c in range(5, self._v.clusters + 2) if not self._v.fat[c]]
        taken = free[: max(1, len(free) - spare // SECTOR)]
        for cluster, following in zip(taken, [*taken[1:], END], strict=True):
            self._set_fat(cluster, following)
        self._add(name, taken[0], len(taken) * SECTOR)
        self._sync()

    def _resize(self, name: str, size: int) -> None:
        file = self._get(name)
        chain = self._v.chain(file.first)
        keep = -(-size // SECTOR)
        for cluster in chain[keep:]:
            self._set_fat(cluster, 0)
        if chain[:keep]:
            self._set_fat(chain[keep - 1], END)
        self._set_file(file.at, file.first if keep else 0, size)

    def _write(self, name: str, data: bytes, at: int) -> None:
        file = self._get(name)
        chain = self._v.chain(file.first)
        while len(chain) * SECTOR < at + len(data):
            chain.append(self._allocate(chain[-1] if chain else 0))
        first = chain[0]
        end = max(file.size, at + len(data))
        while data:
            inside = at % SECTOR
            part = data[: SECTOR - inside]
            self._v.volume.write(part, (self._v.data + chain[at // SECTOR] - 2) * SECTOR + inside)
            data, at = data[len(part) :], at + len(part)
        self._set_file(file.at, first, end)

    def _sync(self) -> None:
        """Everything dirty, in any order, then a flush."""
        writes = []
        for n in self._dirty.fat:
            raw = struct.pack("<128I", *self._v.fat[n * 128 : (n + 1) * 128])
            writes += [(RESERVED + copy * self._v.fat_sectors + n, raw) for copy in range(2)]
        for n in self._dirty.folder:
            raw = bytes(self._v.folder[n * SECTOR : (n + 1) * SECTOR])
            writes.append((self._v.data + self._v.folder_chain[n] - 2, raw))
        self._rng.shuffle(writes)
        for sector, raw in writes:
            self._v.volume.write(raw, sector * SECTOR)
        self._v.volume.flush()
        self._dirty = _Dirty()


class _File:
    """An open file, as a `Device`."""

    def __init__(self, esp: FatEsp, name: str) -> None:
        self._esp, self._name = esp, name

    @property
    def size(self) -> int:
        return self._esp.size(self._name)

    def read_into(self, buffer: memoryview, at: int) -> int:
        raw = self._esp._v.read(self._esp._get(self._name))[at : at + len(buffer)]
        buffer[: len(raw)] = raw
        return len(raw)

    def write(self, data: bytes | memoryview, at: int) -> None:
        self._esp._write(self._name, bytes(data), at)

    def start_writing(self, at: int, size: int) -> None:
        pass

    def flush(self) -> None:
        self._esp._sync()

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass
